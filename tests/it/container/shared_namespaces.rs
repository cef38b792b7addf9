//! Containers that share namespaces with another: `--network`, `--pid` and `--ipc container:NAME`.

use crate::support::probe::{self, Facts};
use crate::support::{Dhow, Image, each_mode, fixtures};

/// Starts the idle container `first` with `options`.
fn first(dhow: &Dhow, options: &str) {
    dhow.load(&Image::new([fixtures::busybox_layer(), probe::layer()]), "probed");
    let words = format!("{options} probed");
    dhow.cmd("run -d --network none --name first")
        .args(words.split_whitespace())
        .args(["sleep", "61234"])
        .ok();
}

/// The namespaces of a container with these options.
fn namespaces(dhow: &Dhow, options: &str) -> Facts {
    Facts::of(dhow.cmd("run --rm").args(options.split_whitespace()).args(["probed", "/probe", "namespaces"]))
}

each_mode! {
    fn the_namespaces_are_the_others(dhow) {
        first(dhow, "--ipc shareable");
        let other = Facts::of(dhow.cmd("exec first /probe namespaces"));
        for (options, shared) in [
            ("--network container:first", &["net"][..]),
            ("--network none --pid container:first", &["pid"]),
            ("--network none --ipc container:first", &["ipc"]),
            ("--network container:first --pid container:first --ipc container:first", &["net", "pid", "ipc"]),
        ] {
            let own = namespaces(dhow, options);
            for kind in ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"] {
                assert_eq!(own.get(kind) == other.get(kind), shared.contains(&kind), "{options}: {kind}");
            }
        }
        dhow.cmd("rm -f first").ok();
    }

    fn a_network_is_shared_with_its_names(dhow) {
        first(dhow, "-h boat");
        dhow.cmd("exec -d first sh -c").arg("nc -l -p 7777 -e echo hello").ok();
        let script = "hostname; until nc -w 5 127.0.0.1 7777 </dev/null; do :; done";
        assert_eq!(dhow.cmd("run --rm --network container:first probed").sh(script).ok().out(), "boat\nhello");
        let id = dhow.cmd("inspect -f {{.Id}} first").ok().out();
        dhow.cmd("create --name second --network container:first probed true").ok();
        assert_eq!(dhow.cmd("inspect -f {{.HostConfig.NetworkMode}} second").ok().out(), format!("container:{id}"));
        for (option, what) in [("-h other", "hostname"), ("--dns 192.0.2.1", "dns"), ("--add-host a:192.0.2.1", "host-to-IP")] {
            dhow.cmd("run --network container:first").args(option.split(' ')).args(["probed", "true"]).fails(125, &["conflicting options", what]);
        }
        dhow.cmd("rm -f first").ok();
        dhow.cmd("start second").fails(1, &["No such container"]);
        dhow.cmd("rm second").ok();
    }

    fn processes_are_seen_and_told_apart(dhow) {
        first(dhow, "");
        dhow.cmd("run -d --network none --name second --pid container:first probed sleep 62345").ok();
        let seen = dhow.cmd("exec second ps -o args").ok().out();
        assert!(seen.contains("sleep 61234") && seen.contains("sleep 62345"), "{seen}");
        dhow.cmd("exec first").sh("kill -0 1 && test -r /proc/1/cmdline").ok();
        let top = dhow.cmd("top second").ok().out();
        assert!(top.contains("sleep 62345") && !top.contains("sleep 61234"), "{top}");
        assert_eq!(dhow.cmd("exec second").sh("{ echo x >/proc/sys/kernel/hostname; } 2>/dev/null || echo masked").ok().out(), "masked");
        dhow.cmd("pause second").ok();
        assert_eq!(dhow.cmd("exec first").sh("ps -o stat,args | grep '[s]leep 61234' | cut -c1").ok().out(), "S");
        dhow.cmd("unpause second").ok();
        dhow.cmd("rm -f second").ok();
        dhow.cmd("exec first true").ok();
        // With the first container's process table everything in it ends.
        dhow.cmd("run -d --network none --name second --pid container:first probed sleep 62345").ok();
        dhow.cmd("rm -f first").ok();
        assert_eq!(dhow.cmd("wait second").ok().out(), "137");
        dhow.cmd("rm -f second").ok();
    }

    fn memory_is_shared_where_it_is_shareable(dhow) {
        first(dhow, "--ipc shareable --shm-size 1m");
        dhow.cmd("exec first").sh("echo shared >/dev/shm/file").ok();
        let script = "cat /dev/shm/file; df -k /dev/shm | tail -1 | tr -s ' ' | cut -d ' ' -f 2";
        assert_eq!(dhow.run("--ipc container:first probed").sh(script).ok().out(), "shared\n1024");
        dhow.cmd("rm -f first").ok();
        first(dhow, "");
        dhow.run("--ipc container:first probed true").fails(125, &["non-shareable IPC"]);
        dhow.cmd("rm -f first").ok();
    }

    fn the_other_must_run_and_be_one(dhow) {
        first(dhow, "");
        dhow.cmd("run -d --network none --name second probed sleep 1000").ok();
        dhow.cmd("run --rm --network container:first --pid container:second probed true").fails(125, &["two different containers"]);
        dhow.cmd("run --rm --network container:absent probed true").fails(125, &["No such container: absent"]);
        dhow.cmd("stop -t 0 second").ok();
        dhow.cmd("run --rm --network container:second probed true").fails(125, &["cannot join network of a non running container"]);
        dhow.cmd("run --rm --network none --pid container:second probed true").fails(125, &["cannot join PID of a non running container"]);
        dhow.cmd("rm -f first").ok();
        dhow.cmd("rm -f second").ok();
    }

    fn users_are_mapped_alike_whatever_the_other_has(dhow) {
        first(dhow, "--userns keep-id");
        let own = dhow.cmd("run --rm --network container:first probed").sh("id -u; touch /f; stat -c %u /f /bin/busybox").ok().out();
        assert_eq!(own, "0\n0\n0");
        let other = dhow.cmd("run --rm --network container:first --userns keep-id probed id -u").ok().out();
        assert_eq!(other, dhow.account.uid.to_string());
        dhow.cmd("rm -f first").ok();
    }

    fn who_lies_in_wait_gets_nothing_of_the_host(dhow) {
        dhow.load(&Image::new([fixtures::busybox_layer(), probe::layer()]), "probed");
        dhow.cmd("run -d --network none --privileged --name first probed /probe spy /stop").ok();
        for _ in 0..20 {
            dhow.cmd("run --rm --network none -e A=secret --pid container:first probed true").ok();
        }
        dhow.cmd("exec first touch /stop").output();
        dhow.cmd("wait first").ok();
        let logs = dhow.cmd("logs first").ok().out();
        let facts = Facts::parse(logs.trim_start_matches("spying\n"));
        assert!(facts.get("seen").parse::<u32>().unwrap() >= 5, "{facts:?}");
        for line in facts.all("got") {
            let (kind, value) = line.split_once(' ').unwrap();
            let harmless = match kind {
                "exe" | "opened" => ["/bin/busybox", "/probe", "/memfd:dhow-stub (deleted)"].contains(&value),
                "cwd" | "root" => value == "/",
                "fd" => ["pipe", "/dev/null", "/dev/pts/0"].contains(&value) || value.starts_with("/proc/"),
                _ => !value.contains("DHOW_ROOT") && !value.contains("run --rm"),
            };
            assert!(harmless, "{line}");
        }
        dhow.cmd("rm first").ok();
    }
}
