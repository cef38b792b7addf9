//! Containers that share namespaces, one of which is on a network.

use super::*;
use crate::support::world::*;

each_mode_in_world! {
    fn a_shared_network_is_used_by_both(dhow, world) {
        dhow.cmd("network create crew").ok();
        serve(dhow, "first", "--network crew -p 8080:7000 -p 8081:7001");
        serve_on(dhow, "second", "--network container:first", "7001");
        dhow.cmd("run -d --name mate --network crew net sleep 1000").ok();
        for port in [7000, 7001] {
            assert_eq!(inside(dhow, "mate", &format!("ask first:{port} whoami")).get("result"), "ok", "{port}");
        }
        assert_eq!(world.at_peer(&format!("ask {HOST}:8081 whoami")).get("result"), "ok");
        assert_eq!(inside(dhow, "second", &format!("ask {PEER}:{PORT} whoami")).get("result"), "ok");
        assert_eq!(inside(dhow, "second", "ask 127.0.0.1:7000 whoami").get("result"), "ok");
        // With its owner the network goes, and the other keeps running.
        end(dhow, "first");
        assert_ne!(inside(dhow, "second", &format!("connect {PEER}:{PORT} 500")).get("result"), "ok");
        end(dhow, "second mate");
        dhow.cmd("network rm crew").ok();
    }

    fn processes_are_shared_and_networks_are_not(dhow, _world) {
        for kind in ["--pid", "--ipc"] {
            serve(dhow, "first", "--ipc shareable");
            dhow.cmd("run -d --name second").words(&format!("{kind} container:first")).words("net sleep 1000").ok();
            assert_ne!(address(dhow, "second", "bridge"), address(dhow, "first", "bridge"));
            assert_eq!(inside(dhow, "second", &format!("ask {PEER}:{PORT} whoami")).get("result"), "ok", "{kind}");
            let there = address(dhow, "first", "bridge");
            assert_eq!(inside(dhow, "second", &format!("ask {there}:7000 whoami")).get("result"), "ok", "{kind}");
            end(dhow, "second first");
        }
    }

    fn beside_one_without_networks_there_are_none(dhow, _world) {
        for mode in ["none", "host"] {
            dhow.cmd("run -d --name first --ipc shareable --network").arg(mode).words("net sleep 1000").ok();
            for kind in ["--pid", "--ipc"] {
                let kin = format!("run --rm {kind} container:first");
                dhow.cmd(&kin).words("net true").fails(125, &["is on no network", "--network none"]);
                dhow.cmd(&kin).words("--network none net true").ok();
            }
            dhow.cmd("run --rm --network container:first --pid container:first net true").ok();
            end(dhow, "first");
        }
    }

    fn who_is_left_deeper_is_wired_again_when_the_helper_is_killed(dhow, _world) {
        dhow.cmd("run -d --name first --ipc shareable net sleep 1000").ok();
        dhow.cmd("run -d --name second --ipc container:first net sleep 1000").ok();
        end(dhow, "first");
        let line = format!("ask {PEER}:{PORT} whoami");
        assert_eq!(inside(dhow, "second", &line).get("result"), "ok");
        let helpers = || dhow.processes().into_iter().filter(|process| process.command.starts_with("dhow: network"));
        let old = helpers().next().unwrap().pid;
        rustix::process::kill_process(old, rustix::process::Signal::KILL).unwrap();
        until("there is another helper", || helpers().any(|process| process.pid != old));
        until("it is connected again", || inside(dhow, "second", &line).all("result") == ["ok"]);
        // Others find the same user namespace.
        assert_eq!(probe(dhow, &line).get("result"), "ok");
        end(dhow, "second");
    }
}
