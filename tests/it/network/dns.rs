//! DNS inside containers: the names of other containers, and everything else as the host resolves it.

use super::*;
use crate::support::name_server::NameServer;
use crate::support::world::*;

/// The records of an answer, without TTLs.
fn records(answer: &Facts) -> Vec<String> {
    let mut all: Vec<String> = answer
        .all("answer")
        .iter()
        .map(|line| {
            let mut words = line.split(' ');
            let kind = words.next().unwrap();
            format!("{kind} {}", words.nth(1).unwrap())
        })
        .collect();
    all.sort();
    all
}

each_mode_in_world! {
    fn what_the_host_resolves_is_resolved(dhow, world) {
        world.names.set("a.example", &["192.0.2.9", "2001:db8:1::9"]);
        world.names.alias("b.example", "a.example.");
        world.names.reverse("9.2.0.192.in-addr.arpa", "a.example.");
        world.names.long_text("long.example", 3000);
        world.host.write_etc("resolv.conf", &format!("search example\nnameserver {PEER}\noptions timeout:1\n"));
        dhow.cmd("network create crew").ok();
        for options in ["", "--network crew"] {
            let ask = |line: &str| probe_on(dhow, options, line);
            for name in ["a.example", "b.example", "a"] {
                let mut found = ask(&format!("resolve {name}")).all("address").to_vec();
                found.sort();
                assert_eq!(found, ["192.0.2.9", "2001:db8:1::9"], "{name} {options}");
            }
            assert_eq!(records(&ask("dns b.example A")), ["A 192.0.2.9", "CNAME a.example."]);
            assert_eq!(records(&ask("dns b.example A tcp")), ["A 192.0.2.9", "CNAME a.example."]);
            assert_eq!(records(&ask("dns 9.2.0.192.in-addr.arpa PTR")), ["PTR a.example."]);
            assert_eq!(ask("dns nobody.example A").get("code"), "3");
            let nothing = ask("dns a.example PTR");
            assert_eq!((nothing.get("code"), nothing.all("answer").len()), ("0", 0));
            // Too long for a datagram: the asker is told so and comes again.
            let cut = ask("dns long.example TXT");
            assert_eq!((cut.get("truncated"), cut.get("code")), ("1", "0"));
            assert_eq!(ask("dns long.example TXT tcp").all("answer").len(), 30);
            let output = dhow.cmd("run --rm").words(options).words("net busybox nslookup a.example").ok();
            assert!(output.out().contains("192.0.2.9"), "{}", output.out());
        }
        let seen = world.names.asked();
        assert!(seen.iter().any(|question| question.tcp) && seen.iter().any(|question| !question.tcp));
        assert!(seen.iter().all(|question| question.from.ip().to_string() == HOST), "{seen:?}");
        dhow.cmd("network rm crew").ok();
    }

    fn containers_know_each_other_by_name(dhow, world) {
        dhow.cmd("network create --ipv6 --subnet 10.202.0.0/24 --subnet 2001:db8:78::/64 crew").ok();
        serve(dhow, "one", "--network crew --network-alias both --hostname eins");
        serve(dhow, "two", "--network crew --network-alias both --network-alias zwei");
        let [one, two] = ["one", "two"].map(|name| address(dhow, name, "crew"));
        let one6 = inspect(dhow, "one", ".NetworkSettings.Networks.crew.GlobalIPv6Address");
        world.names.asked();
        dhow.cmd("run -d --name asker --network crew net sleep 1000").ok();
        let ask = |line: &str| inside(dhow, "asker", line);
        let id = inspect(dhow, "one", ".Id");
        for name in ["one", "ONE", "one.crew", &id[..12]] {
            assert_eq!(records(&ask(&format!("dns {name} A"))), [format!("A {one}")], "{name}");
            assert_eq!(records(&ask(&format!("dns {name} AAAA"))), [format!("AAAA {one6}")], "{name}");
            assert_eq!(records(&ask(&format!("dns {name} A tcp"))), [format!("A {one}")], "{name}");
        }
        assert_eq!(records(&ask("dns zwei A")), [format!("A {two}")]);
        // Both have it, and take turns at being the first.
        let mut wanted = [format!("A {one}"), format!("A {two}")];
        wanted.sort();
        let mut first = std::collections::BTreeSet::new();
        until("both come first at times", || {
            let answer = ask("dns both A");
            assert_eq!(records(&answer), wanted);
            first.insert(answer.all("answer")[0].clone());
            first.len() == 2
        });
        let reversed: Vec<&str> = one.split('.').rev().collect();
        let answer = ask(&format!("dns {}.in-addr.arpa PTR", reversed.join(".")));
        assert_eq!(records(&answer), ["PTR one.crew."]);
        // What a container is asked for by name is nobody else's business.
        let seen = world.names.asked();
        assert!(seen.is_empty(), "{seen:?}");
        assert_eq!(ask("transfer two:7000 3000000 3000000").get("result"), "ok");
        assert_eq!(ask(&format!("transfer [{one6}]:7000 3000000 3000000")).get("result"), "ok");
        // Names come and go with their containers.
        dhow.cmd("rename two second").ok();
        assert_eq!(records(&ask("dns second A")), [format!("A {two}")]);
        end(dhow, "one");
        assert_eq!(ask("dns one A").get("code"), "3");
        assert_eq!(records(&ask("dns both A")), [format!("A {two}")]);
        end(dhow, "second asker");
        dhow.cmd("network rm crew").ok();
    }

    fn on_the_default_network_there_are_no_names(dhow, _world) {
        serve(dhow, "one", "");
        assert_eq!(probe(dhow, "dns one A").get("code"), "3");
        let answer = probe_on(dhow, "--link one:uno", "ask uno:7000 whoami");
        assert_eq!(answer.get("result"), "ok", "{answer:?}");
        end(dhow, "one");
    }

    fn links_are_names_of_one_asker(dhow, _world) {
        dhow.cmd("network create crew").ok();
        serve(dhow, "one", "--network crew");
        let one = address(dhow, "one", "crew");
        assert_eq!(records(&probe_on(dhow, "--network crew --link one:uno", "dns uno A")), [format!("A {one}")]);
        assert_eq!(probe_on(dhow, "--network crew", "dns uno A").get("code"), "3");
        end(dhow, "one");
        // The other may come later, and again with another address.
        dhow.cmd("run -d --name asker --network crew --link late:uno net sleep 1000").ok();
        assert_eq!(inside(dhow, "asker", "dns uno A").get("code"), "3");
        for _ in 0..2 {
            serve(dhow, "late", "--network crew");
            let late = address(dhow, "late", "crew");
            assert_eq!(records(&inside(dhow, "asker", "dns uno A")), [format!("A {late}")]);
            end(dhow, "late");
        }
        end(dhow, "asker");
        dhow.cmd("network rm crew").ok();
    }

    fn another_resolver_takes_effect_at_once(dhow, world) {
        let other = NameServer::start(&world.peer, &[FAR, FAR6]);
        let own = NameServer::start(&world.host, &["127.0.0.53"]);
        for (names, address) in [(&world.names, "192.0.2.10"), (&other, "192.0.2.11"), (&own, "192.0.2.12")] {
            names.set("a.example", &[address]);
        }
        dhow.cmd("network create crew").ok();
        for options in ["", "--network crew"] {
            world.host.write_etc("resolv.conf", &format!("nameserver {PEER}\n"));
            dhow.cmd("run -d --name asker").words(options).words("net sleep 1000").ok();
            let resolved = || inside(dhow, "asker", "resolve a.example").get("address").to_owned();
            assert_eq!(resolved(), "192.0.2.10");
            for (server, address) in [(FAR, "192.0.2.11"), ("127.0.0.53", "192.0.2.12"), (FAR6, "192.0.2.11"), (PEER, "192.0.2.10")] {
                world.host.write_etc("resolv.conf", &format!("# made by a test\nnameserver {server}\n"));
                assert_eq!(resolved(), address, "{server} {options}");
            }
            // Changed in place, as an editor does it.
            world.host.call(|| std::fs::write("/etc/resolv.conf", format!("nameserver {FAR}\n"))).unwrap();
            assert_eq!(resolved(), "192.0.2.11");
            end(dhow, "asker");
        }
        // It is asked for the container, and not reached by it.
        assert!(!own.asked().is_empty());
        dhow.cmd("network rm crew").ok();
    }

    fn a_resolver_that_is_silent_or_missing_is_passed_by(dhow, world) {
        world.names.set("a.example", &["192.0.2.10"]);
        let mute = NameServer::start(&world.peer, &[FAR]);
        mute.be_silent(true);
        for first in [FAR, "198.51.100.1", UNREACHABLE, "127.0.0.99"] {
            let text = format!("nameserver {first}\nnameserver {PEER}\noptions timeout:1\n");
            world.host.write_etc("resolv.conf", &text);
            assert_eq!(probe(dhow, "resolve a.example").get("address"), "192.0.2.10", "{first}");
        }
        world.host.write_etc("resolv.conf", "nameserver 127.0.0.99\n");
        let answer = probe(dhow, "dns a.example A");
        assert_eq!(answer.get("code"), "2", "nobody to ask is a failure of the server: {answer:?}");
        // Without a file, or a server in it, the host itself is asked; once there is one again, that.
        dhow.cmd("run -d --name asker net sleep 1000").ok();
        world.host.write_etc("resolv.conf", "search example\n");
        assert_eq!(inside(dhow, "asker", "dns a.example A").get("code"), "2");
        world.host.call(|| std::fs::remove_file("/etc/resolv.conf")).unwrap();
        assert_eq!(inside(dhow, "asker", "dns a.example A").get("code"), "2");
        world.host.write_etc("resolv.conf", &format!("nameserver {PEER6}\n"));
        assert_eq!(inside(dhow, "asker", "dns a.example A").get("code"), "0");
        end(dhow, "asker");
    }

    fn resolvers_of_the_containers_own(dhow, world) {
        let other = NameServer::start(&world.peer, &[FAR]);
        other.set("a.example", &["192.0.2.11"]);
        world.names.set("a.example", &["192.0.2.10"]);
        dhow.cmd("network create crew").ok();
        for options in ["", "--network crew"] {
            let options = format!("{options} --dns {FAR} --dns-search example --dns-option ndots:1");
            let answer = probe_on(dhow, &options, "resolve a.example -- net resolve a");
            assert_eq!(answer.all("address"), ["192.0.2.11", "192.0.2.11"], "{options}");
            let text = dhow.cmd("run --rm").words(&options).words("net cat /etc/resolv.conf").ok().out();
            assert!(text.contains("search example") && text.contains("ndots:1"), "{text}");
        }
        dhow.cmd("network rm crew").ok();
    }

    fn a_container_may_be_a_name_server_itself(dhow, _world) {
        dhow.cmd("network create crew").ok();
        serve_on(dhow, "names", "--network crew -p 8053:53/udp", "53");
        let answer = probe_on(dhow, "--network crew", "udp names:53 hello");
        assert_eq!(answer.get("answer"), "hello", "{answer:?}");
        end(dhow, "names");
        dhow.cmd("network rm crew").ok();
    }

    fn many_questions_at_once(dhow, world) {
        world.names.set("a.example", &["192.0.2.10"]);
        dhow.cmd("run -d --name asker net sleep 1000").ok();
        let script = "for i in 1 2 3 4 5 6 7 8; do (for j in 1 2 3 4 5; do /probe net dns a.example A | grep 192.0.2.10 >/dev/null && echo y; done) & done; wait";
        let output = dhow.cmd("exec asker").sh(script).ok();
        assert_eq!(output.lines().len(), 40);
        end(dhow, "asker");
    }
}
