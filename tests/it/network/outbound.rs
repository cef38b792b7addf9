//! Outgoing connections: data arrives intact, and failures are the same as on the host.

use std::io::Read as _;

use super::*;
use crate::support::world::*;

/// Targets where connections fail, and the error.
fn failures() -> Vec<(String, &'static str)> {
    [
        (format!("{FAR}:9"), "!111"),
        (format!("{UNREACHABLE}:9"), "!113"),
        (format!("{PROHIBITED}:9"), "!113"),
        (format!("{NO_ROUTE}:9"), "!101"),
        (format!("[{FAR6}]:9"), "!111"),
        (format!("[{UNREACHABLE6}]:9"), "!101"),
        (format!("[{PROHIBITED6}]:9"), "!13"),
        (format!("[{NO_ROUTE6}]:9"), "!101"),
    ]
    .into()
}

each_mode_in_world! {
    fn the_world_is_as_it_is_drawn(dhow, world) {
        for address in [PEER, FAR] {
            let answer = probe_on(dhow, "--network host", &format!("ask {address}:{PORT} whoami"));
            assert!(answer.get("answer").starts_with(&format!("{HOST} ")), "{answer:?}");
        }
        for address in [PEER6, FAR6] {
            let answer = probe_on(dhow, "--network host", &format!("ask [{address}]:{PORT} whoami"));
            assert!(answer.get("answer").starts_with(&format!("{HOST6} ")), "{answer:?}");
        }
        for (target, expected) in failures() {
            let answer = world.at_host(&format!("connect {target} 0"));
            assert_eq!(answer.get("result"), expected, "{target}");
        }
        world.names.set("a.example", &["192.0.2.9", "2001:db8:1::9"]);
        let answer = probe_on(dhow, "--network host", "resolve a.example");
        let mut found = answer.all("address").to_vec();
        found.sort();
        assert_eq!(found, ["192.0.2.9", "2001:db8:1::9"]);
        world.names.long_text("long.example", 2000);
        let answer = world.at_host(&format!("dns long.example TXT {PEER}"));
        assert_eq!((answer.get("truncated"), answer.get("code")), ("1", "0"));
        let answer = world.at_host(&format!("dns long.example TXT {PEER} tcp"));
        assert_eq!((answer.get("truncated"), answer.all("answer").len()), ("0", 20));
    }

    fn transfers_arrive_whole_both_ways(dhow, _world) {
        for target in [format!("{PEER}:{PORT}"), format!("[{FAR6}]:{PORT}")] {
            for sizes in ["0 0 1", "1 1 1", "65537 3 4", "0 5000000 1", "5000000 0 1", "12000000 9000000 3"] {
                let answer = probe(dhow, &format!("transfer {target} {sizes}"));
                assert_eq!(answer.get("result"), "ok", "{target} {sizes}: {answer:?}");
            }
        }
    }

    fn the_other_side_sees_the_host(dhow, _world) {
        let answer = probe(dhow, &format!("ask {FAR}:{PORT} whoami"));
        assert!(answer.get("answer").starts_with(&format!("{HOST} ")), "{answer:?}");
        let answer = probe(dhow, &format!("ask [{PEER6}]:{PORT} whoami"));
        assert!(answer.get("answer").starts_with(&format!("{HOST6} ")), "{answer:?}");
        // What it connects to is what it asked for, and its own address is the container's.
        let answer = probe(dhow, &format!("connect {FAR}:{PORT} 0"));
        assert_eq!(answer.get("peer"), format!("{FAR}:{PORT}"));
        assert!(answer.get("local").starts_with("172.17."), "{answer:?}");
    }

    fn what_fails_on_the_host_fails_alike_and_at_once(dhow, _world) {
        for (target, expected) in failures() {
            // A packet that was lost would take longer.
            let answer = soon(900, || probe(dhow, &format!("connect {target} 0")));
            assert_eq!(answer.get("result"), expected, "{target}");
        }
    }

    fn what_does_not_answer_times_out_as_on_the_host(dhow, world) {
        let slow = [
            (format!("{BLACKHOLE}:9"), "!110"), (format!("[{BLACKHOLE6}]:9"), "!110"),
            // The peer's own network, where nobody has these addresses.
            ("192.0.2.77:9".to_owned(), "!113"), ("[2001:db8:1::77]:9".to_owned(), "!113"),
        ];
        let asked: Vec<_> = slow
            .iter()
            .map(|(target, _)| start(dhow, "--sysctl net.ipv4.tcp_syn_retries=2", &format!("connect {target} 0")))
            .collect();
        // While they wait, others do not.
        let answer = probe(dhow, &format!("ask {FAR}:{PORT} whoami"));
        assert_eq!(answer.get("result"), "ok");
        assert!(answer.get("ms").parse::<u32>().unwrap() < 3000, "nobody waits for another's connection: {answer:?}");
        std::thread::scope(|scope| {
            for (target, expected) in &slow {
                scope.spawn(move || {
                    let answer = world.at_host(&format!("connect {target} 0"));
                    assert_eq!(answer.get("result"), *expected, "{target} from the host: {answer:?}");
                });
            }
        });
        for ((target, expected), asked) in slow.iter().zip(asked) {
            let answer = Facts::parse(&asked.wait().out());
            assert_eq!(answer.get("result"), *expected, "{target}: {answer:?}");
        }
    }

    fn ends_and_resets_pass_both_ways(dhow, world) {
        for target in [format!("{FAR}:{PORT}"), format!("[{FAR6}]:{PORT}")] {
            assert_eq!(probe(dhow, &format!("ask {target} reset")).get("result"), "!104");
            let answer = probe(dhow, &format!("ask {target} close"));
            assert_eq!((answer.get("result"), answer.get("answer")), ("ok", ""));
            // The container ends its half and still hears; then the other way round.
            for size in ["0", "1", "3000000"] {
                let answer = probe(dhow, &format!("half {target} {size}"));
                assert_eq!(answer.get("answer"), answer.get("sent"), "{answer:?}");
                let answer = probe(dhow, &format!("bye {target} {size}"));
                assert_eq!(answer.get("answer"), "bye");
                world.server().expect(&format!("after-bye={}", answer.get("sent")));
            }
            assert_eq!(probe(dhow, &format!("abort {target}")).get("result"), "ok");
        }
        let seen = world.server().expect("released=");
        assert!(!seen.contains("released=0"), "a reset is no orderly end: {seen}");
    }

    fn a_container_that_ends_resets_its_connections(dhow, world) {
        let running = dhow.cmd("run --rm --name cc net /probe net ask").arg(format!("{PEER}:{PORT}")).arg("hold").start();
        until("the connection is made", || world.connections(PORT) > 0);
        dhow.cmd("kill cc").ok();
        running.wait();
        until("the connection is gone", || world.connections(PORT) == 0);
    }

    fn what_a_container_said_before_it_ended_arrives(dhow, world) {
        let (listener, port) = world.listen();
        let said = start(dhow, "", &format!("leave {PEER}:{port} 700000"));
        let (mut slow, _) = listener.accept().unwrap();
        // Nothing is read before the container has ended.
        let said = Facts::parse(&said.wait().out());
        assert_eq!(said.get("result"), "ok", "{said:?}");
        let mut heard = Vec::new();
        slow.read_to_end(&mut heard).unwrap();
        assert_eq!(heard.len(), 700_000);
    }

    fn slow_and_stalled_ones_hold_nobody_up(dhow, world) {
        let slow = start(dhow, "", &format!("ask {PEER}:{PORT} slow 20 100"));
        // A server that never reads: the sender comes to a stop instead of filling anybody's memory.
        let (listener, port) = world.listen();
        let stuffing = start(dhow, "", &format!("stuff {PEER}:{port} 1500"));
        let (stalled, _) = listener.accept().unwrap();
        let answer = probe(dhow, &format!("transfer {PEER}:{PORT} 1000000 1000000"));
        assert_eq!(answer.get("result"), "ok");
        assert_eq!(Facts::parse(&slow.wait().out()).get("answer"), "abcdefghijklmnopqrst");
        let answer = Facts::parse(&stuffing.wait().out());
        let bytes: u64 = answer.get("bytes").parse().unwrap();
        assert!(bytes > 1 << 16 && bytes < 64 << 20, "{bytes} bytes went to somebody who does not read");
        drop(stalled);
    }

    fn datagrams_come_back_to_who_asked(dhow, _world) {
        for (target, host) in [(format!("{FAR}:{PORT}"), HOST), (format!("[{FAR6}]:{PORT}"), HOST6)] {
            let answer = probe(dhow, &format!("udp {target} whoami"));
            assert!(answer.get("answer").starts_with(&format!("{host} ")), "{answer:?}");
            for size in [10, 1000, 1472, 1473, 9000, 60000] {
                let answer = probe(dhow, &format!("udp-hash {target} {size}"));
                assert_eq!(answer.get("result"), "ok", "{target} {size} bytes: {answer:?}");
            }
            let answer = probe(dhow, &format!("udp {target} size 40000"));
            assert_eq!(answer.all("bytes"), ["40000"], "{target}: {answer:?}");
            let answer = probe(dhow, &format!("udp-many {target} 256"));
            assert_eq!(answer.all("answered"), ["256"], "{target}: {answer:?}");
        }
        for target in [format!("{FAR}:9"), format!("[{FAR6}]:9")] {
            assert_eq!(probe(dhow, &format!("udp {target} nobody")).get("result"), "!111", "{target}");
        }
    }

    fn pings_are_answered_and_refused_as_the_host_is(dhow, world) {
        let ping = |options: &str, target: &str| {
            dhow.cmd("run --rm net busybox ping -c 1 -W 2").words(options).arg(target).output()
        };
        for (options, target) in [("", PEER), ("", FAR), ("", PEER6), ("", FAR6), ("-s 4000", FAR)] {
            // Any packet may get lost.
            let answered = (0..4).any(|_| ping(options, target).out().contains("1 packets received"));
            assert!(answered, "{target} {options}");
        }
        assert_ne!(ping("", BLACKHOLE).code, 0);
        for (target, said) in [(PEER, "ok"), (FAR6, "ok"), (UNREACHABLE, "!113"), (UNREACHABLE6, "!101")] {
            let answer = probe(dhow, &format!("ping {target}"));
            assert_eq!(answer.get("result"), said, "{target}: {answer:?}");
        }
        // Where the host lets users not ping, nothing else suffers.
        world.host.sysctl("net.ipv4.ping_group_range", "1 0");
        for (target, said) in [(PEER, "!113"), (PEER6, "!13")] {
            let answer = probe(dhow, &format!("ping {target}"));
            assert_eq!(answer.get("result"), said, "{target} is forbidden at once: {answer:?}");
        }
        assert_eq!(probe(dhow, &format!("ask {PEER}:{PORT} whoami")).get("result"), "ok");
    }

    fn packets_have_the_size_that_the_way_takes(dhow, world) {
        dhow.cmd("network create --ipv6 -o com.docker.network.driver.mtu=1400 narrow").ok();
        // What goes further than to a neighbour or the host is as long as any network takes it.
        for (options, mtu, out) in [("", "65520", "1500"), ("--network narrow", "1400", "1400")] {
            let output = dhow.cmd("run --rm").words(options).words("net cat /sys/class/net/eth0/mtu").ok();
            assert_eq!(output.out(), mtu);
            let targets = [(HOST.into(), mtu), (format!("[{HOST6}]"), mtu), (PEER.into(), out), (format!("[{PEER6}]"), out)];
            for (target, longest) in targets {
                let answer = probe_on(dhow, options, &format!("mtu {target}:{PORT}"));
                assert_eq!(answer.get("mtu"), longest, "{target} {options}");
            }
        }
        world.host.ip("link set eth0 mtu 1300");
        world.peer.ip("link set eth0 mtu 1300");
        for target in [format!("{FAR}:{PORT}"), format!("[{FAR6}]:{PORT}")] {
            for options in ["", "--network narrow"] {
                let answer = probe_on(dhow, options, &format!("transfer {target} 2000000 2000000"));
                assert_eq!(answer.get("result"), "ok", "{target} {options}");
                // Whoever sends more than the way takes is told so, as by any router, and then sends fragments.
                let answer = probe_on(dhow, options, &format!("udp-hash {target} 1350"));
                assert_eq!(answer.get("result"), "ok", "{target} {options}");
                assert_eq!(answer.all("told"), ["!90"], "{target} {options}");
            }
        }
    }

    fn two_thousand_connections_at_once(dhow, _world) {
        let options = "--ulimit nofile=8192:8192";
        let answer = probe_on(dhow, options, &format!("many {PEER}:{PORT} 2000"));
        assert_eq!((answer.get("result"), answer.get("answered")), ("ok", "2000"), "{answer:?}");
    }

    fn idle_connections_are_kept(dhow, world) {
        // What would come after hours comes after seconds.
        for (name, value) in [("time", "1"), ("intvl", "1"), ("probes", "2")] {
            world.host.sysctl(&format!("net.ipv4.tcp_keepalive_{name}"), value);
        }
        let answer = probe(dhow, &format!("many {PEER}:{PORT} 5 5000"));
        assert_eq!(answer.get("answered"), "5", "{answer:?}");
    }
}
