//! Limits: what is refused, what is discarded with a warning, `update`, `stats`, and cgroups in a delegated directory.

use std::fs;
use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::account::is_root;
use crate::support::process::Running;
use crate::support::{Cmd, Dhow, Mode, each_mode, leave_out};

const LOOP: &str = "while :; do sleep 0.05; done";

each_mode! {
    fn limits_that_cannot_hold_are_said_and_discarded(dhow) {
        dhow.with_busybox();
        let limits = "-m 64m --pids-limit 9 --cpus 0.5 --cpu-shares 512 --cpuset-cpus 0";
        let output = dhow.run(limits).arg("busybox").args(["echo", "ran"]).output();
        assert_eq!((output.code, output.out().as_str()), (0, "ran"), "{}", output.err());
        if output.err().is_empty() {
            return leave_out("needs a machine whose tests have no cgroup of their own");
        }
        for words in [
            "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.",
            "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.",
            "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.",
            "Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.",
            "Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.",
        ] {
            assert_eq!(output.err().matches(words).count(), 1, "{words}: {}", output.err());
        }
        // What would change it is said once, behind the last, with a command.
        let reasons = output.err().lines().filter(|line| line.ends_with(')') && line.contains('`')).count();
        assert_eq!(reasons, 1, "{}", output.err());
    }

    fn no_limit_costs_no_word(dhow) {
        dhow.with_busybox();
        dhow.run("-m 0 --pids-limit -1 --cpus 0 --cpu-shares 0 --memory-swappiness -1 busybox true").ok();
    }

    fn impossible_limits_are_refused(dhow) {
        dhow.with_busybox();
        for (flags, words) in [
            ("-m 5m", "Minimum memory limit allowed is 6MB"),
            ("-m 64m --memory-swap 32m", "Minimum memoryswap limit should be larger than memory limit, see usage"),
            ("--memory-swap 64m", "You should always set the Memory limit when using Memoryswap limit, see usage"),
            ("-m 64m --memory-reservation 65m", "Minimum memory limit can not be less than memory reservation"),
            ("-m lots", "invalid size"),
            ("--cpus 4096", "range of CPUs is from 0.01 to"),
            ("--cpus 1 --cpu-quota 5000", "Conflicting options: Nano CPUs and CPU Quota cannot both be set"),
            ("--cpu-period 5", "CPU cfs period can not be less than 1ms"),
            ("--cpuset-cpus 0-", "Invalid value 0- for cpuset cpus"),
            ("--cpuset-cpus 8000", "Requested CPUs are not available - requested 8000"),
            ("--cpu-shares -5", "invalid CPU shares (-5)"),
            ("--cpu-rt-runtime 1000", "kernel does not support CPU real-time scheduler"),
            ("--blkio-weight 5", "Range of blkio weight is from 10 to 1000"),
            ("--blkio-weight-device /dev/sda", "bad format"),
            ("--device-read-bps sda:1mb", "bad format for device path"),
            ("--device-write-iops /dev/sda:fast", "invalid rate for device"),
            ("--memory-swappiness 101", "Valid memory swappiness range is 0-100"),
            ("--io-maxiops 5", "only supported on a Docker daemon running on windows"),
            ("--cgroup-parent jobs", "should be a valid slice"),
        ] {
            dhow.run(flags).args(["busybox", "true"]).fails(125, &[words]);
        }
        assert_eq!(dhow.cmd("ps -aq").ok().out(), "", "nothing was made");
    }

    fn what_version_two_lacks_is_said(dhow) {
        dhow.with_busybox();
        for (flags, words) in [
            ("--kernel-memory 64m", "kernel memory limit capabilities or the cgroup is not mounted. Limitation discarded."),
            ("--memory-swappiness 50", "Memory swappiness discarded."),
            ("--oom-kill-disable", "OomKillDisable discarded."),
            ("--device-cgroup-rule=c=1:3=rwm", "Rule discarded."),
        ] {
            let words_of = flags.split(' ').map(|word| word.replace("c=1:3=rwm", "c 1:3 rwm"));
            dhow.run("").args(words_of).args(["busybox", "true"]).warns(words).ok();
        }
    }

    fn limits_are_kept_shown_and_changed(dhow) {
        dhow.with_busybox();
        let flags = "-m 64m --cpus 0.5 --pids-limit 9 --cpu-shares 512 --blkio-weight 300 --device-read-bps /dev/null:1mb";
        dhow.cmd("create --network none --name sloop").args(flags.split(' ')).args(["busybox", "true"]).output();
        let shown = || dhow.cmd("inspect sloop").ok().json()[0]["HostConfig"].clone();
        let config = shown();
        assert_eq!((&config["Memory"], &config["MemorySwap"]), (&(64 << 20).into(), &(128 << 20).into()));
        assert_eq!((&config["NanoCpus"], &config["PidsLimit"]), (&500_000_000.into(), &9.into()));
        assert_eq!((&config["CpuShares"], &config["BlkioWeight"]), (&512.into(), &300.into()));
        assert_eq!(config["BlkioDeviceReadBps"][0]["Rate"], 1 << 20);
        let output = dhow.cmd("update -m 32m --pids-limit -1 --restart on-failure:3 sloop").output();
        assert_eq!((output.code, output.out().as_str()), (0, "sloop"), "{}", output.err());
        let config = shown();
        assert_eq!((&config["Memory"], &config["MemorySwap"]), (&(32 << 20).into(), &(128 << 20).into()));
        assert_eq!((&config["PidsLimit"], &config["NanoCpus"]), (&(-1).into(), &500_000_000.into()));
        assert_eq!((&config["RestartPolicy"]["Name"], &config["RestartPolicy"]["MaximumRetryCount"]), (&"on-failure".into(), &3.into()));
        dhow.cmd("update -m 256m sloop").fails(1, &["Cannot update container", "update the memoryswap at the same time"]);
        dhow.cmd("update --cpu-quota 5000 sloop").fails(1, &["CPU Quota cannot be updated as NanoCPUs has already been set"]);
        assert_eq!(shown(), config);
        dhow.cmd("update sloop").fails(1, &["you must provide one or more flags"]);
        dhow.cmd("update --restart sometimes sloop").fails(125, &["sometimes"]);
        dhow.cmd("update --restart always no-such").fails(1, &["No such container: no-such"]);
        dhow.cmd("create --rm --network none --name cutter busybox true").ok();
        dhow.cmd("update --restart always cutter").fails(1, &["AutoRemove is enabled"]);
    }

    fn a_running_container_learns_of_its_new_policy(dhow) {
        dhow.with_busybox();
        dhow.cmd("run -d --network none --name sloop busybox").sh(LOOP).ok();
        assert_eq!(dhow.cmd("update --restart on-failure:1 sloop").ok().out(), "sloop");
        // Its first process cannot be killed by signal from inside, so that from outside counts as a failure.
        let pid: i32 = dhow.cmd("inspect -f {{.State.Pid}} sloop").ok().out().parse().unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        until("it runs again", || dhow.cmd("inspect -f {{.RestartCount}}:{{.State.Status}} sloop").ok().out() == "1:running");
        dhow.cmd("rm -f sloop").ok();
    }

    fn stats_have_dockers_columns(dhow) {
        dhow.with_busybox();
        let heading = "CONTAINER ID   NAME      CPU %     MEM USAGE / LIMIT   MEM %     NET I/O   BLOCK I/O   PIDS";
        assert_eq!(dhow.cmd("stats --no-stream").ok().out(), heading);
        dhow.cmd("run -d --network none --name sloop busybox").sh("while :; do :; done").ok();
        dhow.cmd("create --network none --name idle busybox true").ok();
        let table = dhow.cmd("stats --no-stream").ok().lines();
        assert!(table.len() == 2 && table[0].starts_with("CONTAINER ID") && table[1].contains("sloop"), "{table:?}");
        let json = dhow.cmd("stats --no-stream --format json sloop").ok().json();
        let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["BlockIO", "CPUPerc", "Container", "ID", "MemPerc", "MemUsage", "Name", "NetIO", "PIDs"]);
        assert_eq!((&json["Name"], &json["Container"], &json["PIDs"]), (&"sloop".into(), &"sloop".into(), &"1".into()));
        let percent: f64 = json["CPUPerc"].as_str().unwrap().trim_end_matches('%').parse().unwrap();
        assert!(percent > 1.0, "it is busy: {json}");
        let used = json["MemUsage"].as_str().unwrap();
        assert!(!used.starts_with("0B /") && !used.ends_with("/ 0B"), "{used}");
        let all = dhow.cmd("stats --no-stream -a --no-trunc").args(["--format", "{{.Name}} {{len .ID}} {{.MemUsage}}"]).ok().lines();
        assert!(all.len() == 2 && all.iter().any(|line| line == "idle 64 0B / 0B"), "{all:?}");
        // Each has its own processes, wherever these are counted.
        dhow.cmd("run -d --network none --name pair busybox").sh("sleep 1000 & exec sleep 1000").ok();
        dhow.cmd("run -d --network none --name host --pid host busybox sleep 1000").ok();
        until("both sleep", || dhow.cmd("top pair").ok().lines().iter().filter(|line| line.ends_with("sleep 1000")).count() == 2);
        let each = dhow.cmd("stats --no-stream --format").arg("{{.Name}} {{.PIDs}}").ok().lines();
        assert_eq!(each, ["host 1", "pair 2", "sloop 1"]);
        dhow.cmd("rm -f pair host").ok();
        dhow.cmd("stats --no-stream no-such").fails(1, &["No such container: no-such"]);
        let live = dhow.cmd("stats sloop").start();
        live.expect("\x1b[J");
        dhow.cmd("rm -f sloop").ok();
        assert_eq!(live.wait().code, 0, "the live picture ends with its last container");
        let live = dhow.cmd("stats").start();
        live.expect("\x1b[J");
        live.signal(Signal::INT);
        assert_eq!(live.wait().code, 130);
    }

    fn a_container_without_a_cgroup_is_paused_by_signals(dhow) {
        dhow.with_busybox();
        dhow.cmd("run -d --network none --name sloop busybox").sh(&format!("({LOOP}) & {LOOP}")).ok();
        dhow.cmd("pause sloop").ok();
        let pid = dhow.cmd("inspect -f {{.State.Pid}} sloop").ok().out();
        let stopped = || states_inside(&pid).iter().all(|state| matches!(state, 'T' | 'Z'));
        assert!(stopped() && states_inside(&pid).len() >= 2);
        dhow.cmd("pause sloop").fails(1, &["is already paused"]);
        dhow.cmd("unpause sloop").ok();
        until("it goes on", || states_inside(&pid).contains(&'S'));
        dhow.cmd("rm -f sloop").ok();
    }
}

/// The states of the processes in the pid namespace of process `pid`.
fn states_inside(pid: &str) -> Vec<char> {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let wanted = namespace(pid);
    assert!(wanted.is_some(), "process {pid} is gone");
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let inside = pids.filter(|pid| namespace(pid) == wanted);
    let state = |pid: String| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    };
    inside.filter_map(state).collect()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A cgroup delegated to an account, removed with the test.
struct Delegated(PathBuf);

impl Delegated {
    /// Makes one with a leaf for the test's own processes; leaves the test out if that is not possible.
    fn make(dhow: &Dhow) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mount = mounts.lines().find_map(|line| {
            let (mount, source) = line.split_once(" - ")?;
            let fields: Vec<&str> = mount.split(' ').collect();
            (source.starts_with("cgroup2 ") && fields.get(3) == Some(&"/")).then(|| PathBuf::from(fields[4]))
        });
        let (true, Some(mount)) = (is_root(), mount) else {
            leave_out("needs root and a cgroup file system of version 2, to delegate a directory of it");
            return None;
        };
        let dir = mount.join(dhow.dir().file_name().unwrap());
        if fs::create_dir(&dir).is_err() {
            leave_out("needs a cgroup file system that root may write");
            return None;
        }
        let delegated = Self(dir);
        fs::create_dir(delegated.leaf()).unwrap();
        for dir in [delegated.0.clone(), delegated.leaf()] {
            for name in ["", "cgroup.procs", "cgroup.subtree_control"] {
                lchown(dir.join(name), Some(dhow.account.uid), Some(dhow.account.gid)).unwrap();
            }
        }
        Some(delegated)
    }

    fn leaf(&self) -> PathBuf {
        self.0.join("job")
    }

    /// Starts `command` in the leaf: it stops itself first, so that it can be moved before it does anything.
    fn start(&self, command: Cmd) -> Running {
        let running = command.after_shell("kill -STOP $$").start();
        let pid = running.pid().as_raw_nonzero();
        until("the shell stops", || {
            fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") T "))
        });
        fs::write(self.leaf().join("cgroup.procs"), pid.to_string()).unwrap();
        running.signal(Signal::CONT);
        running
    }

    /// The cgroups of containers: next to the leaf if there are controllers to delegate, otherwise below it.
    fn containers(&self) -> Vec<PathBuf> {
        let dirs = [self.0.clone(), self.leaf()];
        let entries =
            dirs.iter().flat_map(|dir| fs::read_dir(dir).unwrap()).map(|entry| entry.unwrap().path());
        entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("dhow-")).collect()
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
        let remove = |path: &Path| {
            let deadline = Instant::now() + Duration::from_secs(10);
            while fs::remove_dir(path).is_err() && path.exists() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        for path in self.containers().iter().chain(&[self.leaf()]) {
            remove(path);
        }
        remove(&self.0);
    }
}

#[test]
fn a_delegated_directory_holds_the_containers_cgroup() {
    let Some(dhow) = Dhow::new(Mode::Single) else { return };
    let Some(delegated) = Delegated::make(&dhow) else { return };
    dhow.with_busybox();
    let start = dhow.cmd("run -d --network none --name sloop --pids-limit 100 busybox").sh(LOOP);
    assert_eq!(delegated.start(start).wait().code, 0);
    let id = dhow.cmd("inspect -f {{.Id}} sloop").ok().out();
    let [cgroup] = &delegated.containers()[..] else { panic!("{:?}", delegated.containers()) };
    assert!(cgroup.ends_with(format!("dhow-{id}")), "{}", cgroup.display());
    let pid = dhow.cmd("inspect -f {{.State.Pid}} sloop").ok().out();
    let members = || fs::read_to_string(cgroup.join("cgroup.procs")).unwrap();
    assert!(members().lines().any(|member| member == pid));
    // Its own cgroup is the root of what it sees.
    let seen = delegated.start(dhow.cmd("exec sloop cat /proc/self/cgroup")).wait();
    assert!(seen.out().lines().any(|line| line == "0::/"), "{} {}", seen.out(), seen.err());
    let events = || fs::read_to_string(cgroup.join("cgroup.events")).unwrap();
    dhow.cmd("pause sloop").ok();
    assert!(events().contains("frozen 1"));
    dhow.cmd("unpause sloop").ok();
    assert!(events().contains("frozen 0"));
    dhow.cmd("pause sloop").ok();
    dhow.cmd("stop -t 1 sloop").ok();
    assert_eq!(delegated.containers(), [] as [PathBuf; 0], "the cgroup goes with its container's run");
    assert_eq!(delegated.start(dhow.cmd("start sloop")).wait().code, 0);
    assert_eq!(delegated.containers().len(), 1);
    let pid: i32 = dhow.cmd("inspect -f {{.State.Pid}} sloop").ok().out().parse().unwrap();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let supervisor: i32 = stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap();
    let supervisor = rustix::process::Pid::from_raw(supervisor).unwrap();
    rustix::process::kill_process(supervisor, Signal::KILL).unwrap();
    dhow.cmd("rm -f sloop").ok();
    assert_eq!(delegated.containers(), [] as [PathBuf; 0], "nor does a killed supervisor leave it");
    let cgroupless = dhow.cmd("run -d --network none --name cutter busybox").sh(LOOP);
    assert_eq!(delegated.start(cgroupless).wait().code, 0);
    assert_eq!(delegated.containers(), [] as [PathBuf; 0], "one without limits stays in its job's cgroup");
    let output = dhow.cmd("update --pids-limit 50 cutter").output();
    assert_eq!(output.code, 0, "{}", output.err());
    let now = delegated.containers();
    assert_eq!(now.len(), 1);
    let pid = dhow.cmd("inspect -f {{.State.Pid}} cutter").ok().out();
    let members = fs::read_to_string(now[0].join("cgroup.procs")).unwrap();
    assert!(members.lines().any(|member| member == pid), "it was moved: {members}");
    dhow.cmd("rm -f cutter").ok();
    until("its cgroup is gone", || delegated.containers().is_empty());
}
