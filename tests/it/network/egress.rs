//! Egress rules: allowed destinations are reached, all others refused at once, and the log has both.

use super::*;
use crate::support::world::*;

each_mode_in_world! {
    fn only_what_is_allowed_is_reached(dhow, world) {
        world.names.set("good.example", &[FAR, FAR6]);
        world.names.set("deep.sub.example", &[FAR]);
        world.names.set("bad.example", &[PEER]);
        let create = format!("network create --ipv6 --egress-allow good.example:{PORT} --egress-allow *.sub.example --egress-allow 192.0.2.2/32 jail");
        dhow.cmd(&create).ok();
        let run = |line: &str| probe_on(dhow, "--network jail", line);
        // Known only by name: before anybody asked for the name it is an address as any other.
        assert_eq!(run(&format!("connect {FAR}:{PORT}")).get("result"), "!111");
        assert_eq!(run(&format!("ask good.example:{PORT} whoami")).get("result"), "ok");
        assert_eq!(run("connect good.example:9").get("result"), "!111");
        for target in [format!("bad.example:{PORT}"), format!("{PEER}:{PORT}"), format!("[{PEER6}]:{PORT}"), format!("{UNREACHABLE}:9")] {
            let answer = soon(900, || run(&format!("connect {target}")));
            assert_eq!(answer.get("result"), "!111", "{target}");
        }
        assert_eq!(run(&format!("udp good.example:{PORT} hello")).get("answer"), "hello");
        assert_eq!(run(&format!("udp {PEER}:{PORT} hello 1500")).get("result"), "!111");
        assert_eq!(run(&format!("ask deep.sub.example:{PORT} whoami")).get("result"), "ok");
        // Neighbours are no way out, and are as free as anywhere.
        serve(dhow, "mate", "--network jail");
        assert_eq!(run("ask mate:7000 whoami").get("result"), "ok");
        // The host's own address is allowed by its number.
        let listener = world.host.call(|| std::net::TcpListener::bind("0.0.0.0:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(run(&format!("connect {HOST}:{port}")).get("result"), "ok");
        end(dhow, "mate");
        dhow.cmd("network rm jail").ok();
    }

    fn what_was_asked_for_is_written_down(dhow, world) {
        world.names.set("good.example", &[FAR]);
        dhow.cmd("network create --egress-allow good.example jail").ok();
        let log = dhow.home().join("egress.log");
        let line = format!("ask good.example:{PORT} whoami -- net connect {PEER}:{PORT} -- net udp good.example:{PORT} hello -- net connect good.example:9");
        let options = format!("--network jail --egress-log {}", log.display());
        assert_eq!(probe_on(dhow, &options, &line).all("result"), ["ok", "!111", "ok", "!111"]);
        let text = std::fs::read_to_string(&log).unwrap();
        for part in ["good.example", FAR, PEER, "7000", "udp"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(text.matches(&format!("{PEER}:{PORT}")).count(), 1, "what is denied has not failed, too: {text}");
        use std::os::unix::fs::MetadataExt as _;
        assert_eq!(std::fs::metadata(&log).unwrap().uid(), dhow.account.uid);
        // On the default network too, where nothing is forbidden; what was written before stays.
        let options = format!("--egress-log {}", log.display());
        assert_eq!(probe_on(dhow, &options, &format!("connect {PEER}:{PORT}")).get("result"), "ok");
        let more = std::fs::read_to_string(&log).unwrap();
        assert!(more.starts_with(&text) && more.len() > text.len(), "{more}");
        dhow.cmd("network rm jail").ok();
    }

    fn the_log_has_the_name_of_the_day(dhow, world) {
        world.names.set("good.example", &[FAR]);
        let log = dhow.home().join("egress.log");
        dhow.cmd("run -d --name first --egress-log").arg(&log).words("net sleep 1000").ok();
        inside(dhow, "first", "resolve good.example");
        dhow.cmd("rename first second").ok();
        assert_eq!(inside(dhow, "second", &format!("connect {FAR}:{PORT}")).get("result"), "ok");
        assert_eq!(inside(dhow, "second", "dns good.example A").get("code"), "0");
        end(dhow, "second");
        let text = std::fs::read_to_string(&log).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let of = |container: &str, kind: &str| {
            lines.iter().filter(|line| line["container"] == container && line["kind"] == kind).collect::<Vec<_>>()
        };
        assert!(!of("first", "dns").is_empty() && of("second", "dns").len() == 1, "{text}");
        // What was asked for under the old name is not forgotten.
        let reached = of("second", "tcp");
        assert!(reached.len() == 1 && reached[0]["name"] == "good.example" && reached[0]["result"] == "reached", "{text}");
    }

    fn what_makes_no_sense_is_refused(dhow, _world) {
        for wrong in ["", "exa mple", "example.org:0", "example.org:70000", "300.1.1.1/8", "10.0.0.0/40", "*.*.org", ":80"] {
            dhow.cmd("network create --egress-allow").arg(wrong).arg("jail").fails(1, &[wrong]);
        }
    }
}
