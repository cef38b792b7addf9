//! The life of the network helper: started with the first container, restarted when it is killed, ended with the last.

use std::collections::HashSet;
use std::fs;
use std::os::fd::AsFd as _;

use rustix::process::{Pid, Signal, kill_process};

use super::*;
use crate::support::world::*;

/// The process ids of the helper: one if a container is on a network.
fn helpers(dhow: &Dhow) -> Vec<Pid> {
    let named = |process: &crate::support::leaks::Process| process.command.starts_with("dhow: network");
    dhow.processes().into_iter().filter(named).map(|process| process.pid).collect()
}

fn helper(dhow: &Dhow) -> Pid {
    let found = helpers(dhow);
    assert_eq!(found.len(), 1, "one helper serves all: {:?}", dhow.processes());
    found[0]
}

fn descriptors(pid: Pid) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// The network namespaces of gateways, in which threads of the helper live.
fn namespaces(pid: Pid) -> Vec<fs::File> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().map(|task| task.unwrap().path());
    let inside = tasks
        .filter(|task| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "dhow-gateway"));
    let found: Vec<_> = inside.map(|task| fs::File::open(task.join("ns/net")).unwrap()).collect();
    assert!(!found.is_empty());
    found
}

/// Private memory of the process in KiB.
fn memory(pid: Pid) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let sum = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    };
    sum("Private_Clean:") + sum("Private_Dirty:")
}

each_mode_in_world! {
    fn it_is_gone_with_the_last_container(dhow, world) {
        assert!(helpers(dhow).is_empty());
        dhow.cmd("run --rm --network none net true").ok();
        dhow.cmd("run --rm --network host net true").ok();
        assert!(helpers(dhow).is_empty(), "nobody needs one");
        dhow.cmd("network create crew").ok();
        serve(dhow, "ann", "-p 8080:7000");
        serve(dhow, "bob", "--network crew");
        let first = helper(dhow);
        end(dhow, "ann");
        assert_eq!(helper(dhow), first);
        assert_eq!(probe_on(dhow, "--network crew", "ask bob:7000 whoami").get("result"), "ok");
        end(dhow, "bob");
        dhow.settle();
        assert!(world.listening().is_empty());
        // And it comes again.
        assert_eq!(probe(dhow, &format!("ask {PEER}:{PORT} whoami")).get("result"), "ok");
        dhow.settle();
        dhow.cmd("network rm crew").ok();
    }

    fn killed_under_traffic_it_comes_back_with_all_it_had(dhow, world) {
        world.names.set("a.example", &["192.0.2.9"]);
        dhow.cmd("network create crew").ok();
        serve(dhow, "web", "--network crew -p 8080:7000 -p 8081:7000/udp");
        dhow.cmd("run -d --name client --network crew net sleep 1000").ok();
        dhow.cmd("run -d --name other net sleep 1000").ok();
        let addresses = || ["web", "client"].map(|name| address(dhow, name, "crew"));
        let before = addresses();
        for round in 0..3 {
            let out = dhow.cmd("exec client /probe net transfer").arg(format!("{PEER}:{PORT}")).words("4000000000 4000000000").start();
            let held = dhow.cmd("exec client /probe net ask").arg(format!("{PEER}:{PORT}")).arg("hold").start();
            until("there is traffic", || world.connections(PORT) >= 2);
            let killed = helper(dhow);
            kill_process(killed, Signal::KILL).unwrap();
            // What it carried breaks, and says so.
            for broken in [out, held] {
                let answer = Facts::parse(&broken.wait().out());
                assert_ne!(answer.get("result"), "ok", "round {round}: {answer:?}");
            }
            until("the published port is back", || {
                world.at_peer(&format!("ask {HOST}:8080 whoami")).all("answer").first().is_some_and(|answer| answer.starts_with(PEER))
            });
            until("names and neighbours are back", || {
                inside(dhow, "client", "ask web:7000 whoami -- net resolve a.example").all("result") == ["ok", "ok"]
            });
            for name in ["client", "other", "web"] {
                until("the way out is back", || {
                    inside(dhow, name, &format!("ask {PEER}:{PORT} whoami")).get("result") == "ok"
                });
            }
            assert_eq!(world.at_peer(&format!("udp {HOST}:8081 hello")).get("answer"), "hello");
            assert_ne!(helper(dhow), killed);
            assert_eq!(addresses(), before);
        }
        end(dhow, "web client other");
        dhow.cmd("network rm crew").ok();
    }

    fn killed_while_containers_start_it_fails_none(dhow, _world) {
        dhow.cmd("run -d --name anchor net sleep 1000").ok();
        let script = format!("for i in $(seq 60); do /probe net ask {PEER}:{PORT} whoami | grep -q result=ok && exit 0; sleep 0.3; done; exit 1");
        for _ in 0..3 {
            let starting: Vec<_> = (0..4).map(|_| dhow.cmd("run --rm net").sh(&script).start()).collect();
            for pid in helpers(dhow) {
                // It may have ended by itself.
                let _ = kill_process(pid, Signal::KILL);
            }
            for started in starting {
                let output = started.wait();
                assert_eq!(output.code, 0, "{} {}", output.out(), output.err());
            }
        }
        end(dhow, "anchor");
    }

    fn a_supervisor_that_is_killed_gives_everything_back(dhow, world) {
        serve(dhow, "web", "-p 8080:7000");
        let pid = inspect(dhow, "web", ".State.Pid");
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let supervisor = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().parse().unwrap();
        kill_process(Pid::from_raw(supervisor).unwrap(), Signal::KILL).unwrap();
        dhow.settle();
        world.until_silent();
        serve(dhow, "again", "-p 8080:7000");
        assert_eq!(world.at_peer(&format!("ask {HOST}:8080 whoami")).get("result"), "ok");
        end(dhow, "again web");
    }

    fn sixty_four_starts_at_once_have_an_address_each(dhow, _world) {
        dhow.cmd("network create --subnet 10.210.0.0/24 crew").ok();
        let line = "run -d --network crew net sleep 1000";
        let starting: Vec<_> = (0..64).map(|_| dhow.cmd(line).limit(Duration::from_secs(120)).start()).collect();
        let mut names = Vec::new();
        for started in starting {
            let output = started.wait();
            assert_eq!(output.code, 0, "{}", output.err());
            names.push(output.out());
        }
        let shown = dhow.cmd("inspect -f {{.NetworkSettings.Networks.crew.IPAddress}}").args(&names).ok().lines();
        assert_eq!(shown.iter().collect::<HashSet<_>>().len(), 64, "{shown:?}");
        // They are what the containers have, too.
        let have = dhow.cmd("exec").arg(&names[63]).words("ip addr show eth0").ok().out();
        assert!(have.contains(&shown[63]), "{have}");
        let answer = inside(dhow, &names[0], &format!("connect {}:7000", shown[63]));
        assert_eq!(answer.get("result"), "!111", "it is there, and nothing listens");
        assert_eq!(helpers(dhow).len(), 1);
        dhow.cmd("rm -f").args(&names).limit(Duration::from_secs(120)).ok();
        dhow.cmd("network rm crew").ok();
    }

    fn rules_that_come_to_see_frames_of_the_bridge_break_nothing(dhow, world) {
        serve(dhow, "web", "-p 8080:7000");
        serve(dhow, "peer", "");
        // As it is by default where the module `br_netfilter` is loaded while containers run.
        let settings = ["iptables", "ip6tables"].map(|name| format!("/proc/sys/net/bridge/bridge-nf-call-{name}"));
        if !std::path::Path::new(&settings[0]).exists() {
            return crate::support::leave_out("this kernel's rules never see frames of bridges");
        }
        for namespace in namespaces(helper(dhow)) {
            let settings = settings.clone();
            let change = move || {
                rustix::thread::move_into_link_name_space(namespace.as_fd(), None).unwrap();
                settings.iter().for_each(|path| fs::write(path, "1").unwrap());
            };
            std::thread::spawn(change).join().unwrap();
        }
        let web = address(dhow, "web", "bridge");
        for target in [format!("{FAR}:{PORT}"), format!("[{FAR6}]:{PORT}"), format!("{web}:7000")] {
            let answer = inside(dhow, "peer", &format!("transfer {target} 3000000 3000000 2"));
            assert_eq!(answer.get("result"), "ok", "{target}: {answer:?}");
            for size in [10, 9000] {
                let answer = inside(dhow, "peer", &format!("udp-hash {target} {size}"));
                assert_eq!(answer.get("result"), "ok", "{target}: {answer:?}");
            }
        }
        assert_eq!(inside(dhow, "peer", &format!("connect {FAR}:9")).get("result"), "!111");
        let answer = world.at_peer(&format!("transfer {HOST}:8080 3000000 3000000 2"));
        assert_eq!(answer.get("result"), "ok", "{answer:?}");
        end(dhow, "web peer");
    }

    fn it_stays_small_whatever_containers_do(dhow, world) {
        serve(dhow, "web", "-p 8080:7000 --ulimit nofile=8192:8192");
        dhow.cmd("run -d --name rogue --ulimit nofile=8192:8192 net sleep 1000").ok();
        let pid = helper(dhow);
        let (few, small) = (descriptors(pid), memory(pid));
        // Connections that come to nothing, as fast as they can be asked for, and datagrams to everywhere.
        let script = format!("for i in 1 2 3 4; do /probe net spray {BLACKHOLE} 1500 & /probe net udp-spray {BLACKHOLE} 3000 & done; wait");
        let flood = dhow.cmd("exec rogue").sh(&script).start();
        let mut times: Vec<u32> = Vec::new();
        for _ in 0..5 {
            let answer = inside(dhow, "web", &format!("ask {PEER}:{PORT} whoami"));
            assert_eq!(answer.get("result"), "ok", "{answer:?}");
            times.push(answer.get("ms").parse().unwrap());
        }
        flood.wait();
        times.sort_unstable();
        assert!(times[2] < 3000, "others suffer: {times:?}");
        let (many, large) = (descriptors(pid), memory(pid));
        assert!(many < few + 3000, "{many} descriptors");
        assert!(large < small + 32_000, "{large} kB");
        let answer = world.at_peer(&format!("many {HOST}:8080 1000"));
        assert_eq!(answer.get("answered"), "1000", "{answer:?}");
        end(dhow, "rogue");
        // What was asked for the rogue goes with it.
        until("descriptors are given back", || descriptors(pid) < few + 64);
        assert_eq!(helper(dhow), pid);
        end(dhow, "web");
    }
}
