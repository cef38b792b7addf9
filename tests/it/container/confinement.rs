//! The confinement of containers, as the probe inside sees it: docker's defaults, and what options change.

use std::fs;
use std::path::Path;

use crate::support::docker_profile::{self, number};
use crate::support::probe::{self, Facts};
use crate::support::{Dhow, Entry, Image, Layer, Mode, each_mode, fixtures};

const DOCKER: &str = "00000000a80425fb";
const NONE: &str = "0000000000000000";
const EPERM: &str = "1";
const EFAULT: &str = "14";

/// The probe's output in a container with these flags.
fn ask(dhow: &Dhow, flags: &str, sections: &str) -> Facts {
    Facts::of(dhow.run(flags).args(["probe", "/probe"]).args(sections.split_whitespace()))
}

/// All capabilities of the running kernel, in the probe's format.
fn all_capabilities() -> String {
    let last: u32 = fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap().trim().parse().unwrap();
    format!("{:016x}", (1_u64 << (last + 1)) - 1)
}

/// The effective, permitted and bounding sets.
fn sets(facts: &Facts) -> [&str; 3] {
    ["effective", "permitted", "bounding"].map(|set| facts.get(set))
}

each_mode! {
    fn capabilities_are_dockers(dhow) {
        dhow.load(probe::image(), "probe");
        let root = ask(dhow, "", "capabilities");
        assert_eq!(sets(&root), [DOCKER; 3]);
        for flags in ["-u 1000", "-u 1000:1000 --group-add 7"] {
            assert_eq!(sets(&ask(dhow, flags, "capabilities")), [NONE, NONE, DOCKER], "{flags}");
        }
        for facts in [root, ask(dhow, "-u 1000 --cap-add SYS_PTRACE", "capabilities")] {
            assert_eq!(["inheritable", "ambient"].map(|set| facts.get(set)), [NONE; 2]);
            assert_eq!(["securebits", "keepcaps", "no_new_privs"].map(|what| facts.get(what)), ["0"; 3]);
        }
    }

    fn capabilities_change_as_asked(dhow) {
        dhow.load(probe::image(), "probe");
        let all = all_capabilities();
        for (flags, expected) in [
            ("--cap-add cap_sys_ptrace", "00000000a80c25fb"),
            ("--cap-drop NET_RAW --cap-drop mknod", "00000000a00405fb"),
            ("--cap-drop ALL", NONE),
            ("--cap-drop ALL --cap-add CHOWN", "0000000000000001"),
            ("--cap-add ALL", &all),
            ("--privileged", &all),
        ] {
            assert_eq!(sets(&ask(dhow, flags, "capabilities")), [expected; 3], "{flags}");
        }
        dhow.run("--cap-add NOPE probe /probe exit 0").fails(125, &["CapAdd", "CAP_NOPE"]);
        dhow.run("--cap-drop NOPE probe /probe exit 0").fails(125, &["CapDrop", "CAP_NOPE"]);
    }

    fn no_new_privileges_holds_where_asked(dhow) {
        dhow.load(probe::image(), "probe");
        for flags in ["", "-u 1000"] {
            let flags = format!("{flags} --security-opt no-new-privileges");
            let facts = ask(dhow, &flags, "capabilities");
            assert_eq!((facts.get("no_new_privs"), facts.get("seccomp")), ("1", "2"), "{flags}");
            assert_eq!(facts.get("bounding"), DOCKER, "{flags}");
        }
        let facts = ask(dhow, "--security-opt no-new-privileges", "capabilities");
        assert_eq!(sets(&facts), [DOCKER; 3]);
    }

    fn every_system_call_is_answered_as_under_docker(dhow) {
        dhow.load(probe::image(), "probe");
        let free = ask(dhow, "--security-opt seccomp=unconfined", "calls");
        docker_profile::check(&free, &ask(dhow, "", "calls"), &["CAP_SYS_CHROOT"]);
        let free = ask(dhow, "--security-opt seccomp=unconfined --cap-add SYS_ADMIN", "calls");
        let filtered = ask(dhow, "--cap-add SYS_ADMIN", "calls");
        docker_profile::check(&free, &filtered, &["CAP_SYS_CHROOT", "CAP_SYS_ADMIN"]);
    }

    fn the_filter_is_the_one_asked_for(dhow) {
        dhow.load(probe::image(), "probe");
        let profile = dhow.write(
            "profile.json",
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"getppid","action":"SCMP_ACT_ERRNO","errnoRet":77}]}"#,
        );
        let file = format!("--security-opt seccomp={}", profile.display());
        let calls = format!("call {} -- capabilities", number("getppid"));
        let emulation = if dhow.mode == Mode::Single { 1 } else { 0 };
        for (flags, answer, filters) in [
            ("", "0", 1 + emulation),
            (file.as_str(), "77", 1 + emulation),
            ("--security-opt seccomp=unconfined", "0", emulation),
            ("--privileged", "0", emulation),
        ] {
            let facts = ask(dhow, flags, &calls);
            assert_eq!(facts.get("call"), answer, "{flags}");
            assert_eq!(facts.get("seccomp_filters"), filters.to_string(), "{flags}");
        }
        let bad = dhow.write("bad.json", r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"read","action":"MAYBE"}]}"#);
        let flags = format!("--security-opt seccomp={}", bad.display());
        dhow.run(&flags).args(["probe", "/probe"]).fails(125, &["syscalls[0]", "`MAYBE`"]);
        dhow.run("--security-opt seccomp=/no/such/file probe /probe").fails(125, &["/no/such/file"]);
    }

    fn namespaces_cannot_be_made_and_file_systems_not_mounted(dhow) {
        dhow.load(probe::image(), "probe");
        let call = |flags: &str, name: &str, arguments: &str| {
            ask(dhow, flags, &format!("call {} {arguments}", number(name))).get("call").to_owned()
        };
        assert_eq!(call("", "unshare", "0x10000000"), EPERM);
        assert_eq!(call("", "mount", "0 0 0 0 0"), EPERM);
        assert_eq!(call("--cap-add SYS_ADMIN", "mount", "-1 -1 -1 0 0"), EFAULT);
        assert_eq!(call("", "ptrace", "0 0 0 0"), "0", "PTRACE_TRACEME");
        assert_eq!(call("", "keyctl", "0 0 0 0"), EPERM);
        assert_eq!(call("", "io_uring_setup", "1 -1"), EPERM);
    }

    fn identities_are_made_up_of_what_the_account_has(dhow) {
        dhow.load(probe::image(), "probe");
        let (uid, gid) = (dhow.account.uid, dhow.account.gid);
        let root = ask(dhow, "", "identity");
        assert_eq!((root.get("uid"), root.get("gid")), ("0 0 0", "0 0 0"));
        let user = ask(dhow, "-u 1000:1001 --group-add 50", "identity");
        assert_eq!((user.get("uid"), user.get("gid")), ("1000 1000 1000", "1001 1001 1001"));
        match dhow.mode {
            Mode::Mapped => {
                assert_eq!(root.all("uid_map")[0], format!("0 {uid} 1"));
                assert_eq!(root.all("gid_map")[0], format!("0 {gid} 1"));
                assert!(root.all("uid_map")[1].starts_with("1 "), "{root:?}");
                assert!(user.get("groups").split(' ').any(|group| group == "50"), "{user:?}");
                assert!(!user.get("groups").contains("65534"), "{user:?}");
            }
            Mode::Single => {
                assert_eq!(root.all("uid_map"), [format!("0 {uid} 1")]);
                assert_eq!(user.all("uid_map"), [format!("1000 {uid} 1")]);
                assert_eq!(user.all("gid_map"), [format!("1001 {gid} 1")]);
                assert_eq!(root.get("setgroups"), "deny");
            }
        }
    }

    fn privileged_identity_calls_succeed_for_root(dhow) {
        dhow.with_busybox();
        let script = "cd /tmp; touch f && chown 5:6 f && chgrp 7 f && chown -h 8 f && mkfifo p && cat f && echo done";
        assert_eq!(dhow.run("busybox").sh(script).ok().out(), "done");
        let owner = dhow.run("busybox").sh("touch /f; chown 5:6 /f; stat -c %u:%g /f").ok().out();
        assert_eq!(owner, if dhow.mode == Mode::Mapped { "5:6" } else { "0:0" });
    }

    fn namespaces_are_the_containers_own(dhow) {
        dhow.load(probe::image(), "probe");
        let facts = ask(dhow, "", "namespaces");
        for kind in ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"] {
            let host = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
            assert_ne!(Path::new(facts.get(kind)), host, "{kind}");
        }
        let facts = ask(dhow, "", "process");
        assert_eq!(facts.get("pid"), "1");
        let hostname = facts.get("hostname");
        assert!(hostname.len() == 12 && hostname.bytes().all(|byte| byte.is_ascii_hexdigit()), "{hostname}");
        for line in facts.get("cgroup").lines() {
            assert!(line.ends_with(":/"), "the own cgroup is the root of what is seen: {line}");
        }
    }

    fn a_process_starts_from_a_clean_slate(dhow) {
        dhow.load(probe::image(), "probe");
        let before = "trap '' TERM HUP; umask 077; exec 9</ 15</etc/passwd";
        let command = dhow.run("").args(["probe", "/probe"]).args("process -- signals -- descriptors".split(' '));
        let facts = Facts::of(command.after_shell(before));
        assert_eq!((facts.get("ignored"), facts.get("blocked")), ("", ""));
        assert_eq!(facts.get("umask"), "022");
        assert_eq!((facts.get("cwd"), facts.get("dumpable")), ("/", "1"));
        assert_eq!(facts.all("terminal"), ["0", "0", "0"]);
        assert!(facts.get("controlling_terminal").starts_with('!'), "{facts:?}");
        assert_eq!((facts.get("sid"), facts.get("pgid")), ("1", "1"));
        let numbers: Vec<&str> = facts.all("descriptor").iter().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(numbers, ["0", "1", "2"], "{facts:?}");
    }

    fn devices_are_dockers(dhow) {
        dhow.load(probe::image(), "probe");
        let facts = ask(dhow, "", "devices");
        for (node, numbers) in
            [("null", "1:3"), ("zero", "1:5"), ("full", "1:7"), ("random", "1:8"), ("urandom", "1:9"), ("tty", "5:0")]
        {
            let node = facts.about("device", &format!("/dev/{node}")).unwrap();
            assert!(node.starts_with("char 0666 ") && node.ends_with(numbers), "{node}");
        }
        for (link, target) in [
            ("ptmx", "pts/ptmx"), ("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
        ] {
            let link = facts.about("device", &format!("/dev/{link}")).unwrap();
            assert!(link.starts_with("link ") && link.ends_with(target), "{link}");
        }
        assert!(facts.about("device", "/dev/shm").unwrap().starts_with("directory 1777"));
        assert!(facts.about("device", "/dev/pts/ptmx").unwrap().starts_with("char 0666"), "{facts:?}");
        let known = [
            "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty",
            "urandom", "zero",
        ];
        for device in facts.all("device") {
            let name = device.split(['/', ' ']).nth(2).unwrap();
            assert!(known.contains(&name), "{device}");
        }
    }

    fn paths_are_masked_as_docker_masks_them(dhow) {
        dhow.load(probe::image(), "probe");
        let masked = [
            "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
            "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap",
            "/sys/firmware",
        ];
        let there: Vec<&str> = masked.into_iter().filter(|path| Path::new(path).exists()).collect();
        assert!(there.contains(&"/proc/interrupts"), "{there:?}");
        let facts = ask(dhow, "", &format!("path {}", there.join(" ")));
        for path in &there {
            let seen = facts.about("path", path).unwrap();
            assert!(seen.starts_with("read=0 "), "{path}: {seen}");
            // An empty directory is read-only; a file is the null device, to which anybody may write.
            let nothing = seen.contains("write=!30 directory") || seen.contains(" char ") && seen.ends_with("1:3");
            assert!(nothing, "{path}: {seen}");
        }
        for flags in ["--privileged", "--security-opt systempaths=unconfined"] {
            let seen = ask(dhow, flags, "path /proc/interrupts");
            assert!(!seen.about("path", "/proc/interrupts").unwrap().starts_with("read=0 "), "{flags}: {seen:?}");
        }
    }

    fn paths_are_read_only_as_docker_has_them(dhow) {
        dhow.load(probe::image(), "probe");
        let facts = ask(dhow, "", "path /proc/sys/kernel/shm_rmid_forced /proc/sysrq-trigger /sys / /dev/shm");
        let writes = |path: &str| facts.about("path", path).unwrap().split(' ').nth(1).unwrap().to_owned();
        for path in ["/proc/sys/kernel/shm_rmid_forced", "/proc/sysrq-trigger"] {
            if Path::new(path).exists() {
                assert_eq!(writes(path), "write=!30", "{path}: {facts:?}");
            }
        }
        assert_eq!(writes("/"), "write=yes");
        assert_eq!(writes("/dev/shm"), "write=yes");
        assert_eq!(writes("/sys"), "write=!30");
        let mounts = ask(dhow, "", "mounts");
        for path in ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", "/sys"] {
            let read_only = || mounts.about("mount", path)?.split(' ').nth(2)?.split(',').next();
            if Path::new(path).exists() {
                assert_eq!(read_only(), Some("ro"), "{path}: {:?}", mounts.about("mount", path));
            }
        }
    }

    fn mounts_have_dockers_options_and_are_private(dhow) {
        dhow.load(probe::image(), "probe");
        let facts = ask(dhow, "", "mounts");
        for (target, kind, options) in [
            ("/proc", "proc", &["rw", "nosuid", "nodev", "noexec"][..]),
            ("/dev", "tmpfs", &["rw", "nosuid"]),
            ("/dev/pts", "devpts", &["rw", "nosuid", "noexec"]),
            ("/dev/shm", "tmpfs", &["rw", "nosuid", "nodev", "noexec"]),
            ("/dev/mqueue", "mqueue", &["rw", "nosuid", "nodev", "noexec"]),
            ("/sys", "sysfs", &["ro", "nosuid", "nodev", "noexec"]),
            ("/sys/fs/cgroup", "cgroup2", &["ro", "nosuid", "nodev", "noexec"]),
        ] {
            let Some(mount) = facts.about("mount", target) else { panic!("{target} is not mounted: {facts:?}") };
            let words: Vec<&str> = mount.split(' ').collect();
            assert_eq!(words[0], kind, "{target}: {mount}");
            for option in options {
                assert!(words[2].split(',').any(|one| one == *option), "{target} is not {option}: {mount}");
            }
        }
        let host = fs::read_to_string("/proc/self/mountinfo").unwrap();
        for mount in facts.all("mount") {
            let propagation = mount.rsplit(' ').next().unwrap();
            assert!(!propagation.contains("shared:"), "{mount}");
        }
        let homes = dhow.home();
        assert!(host.lines().all(|line| !line.contains(homes.to_str().unwrap())), "seen on the host: {host}");
        assert!(facts.all("mount").len() < 40, "more than a container's mounts: {facts:?}");
    }

    fn without_a_network_there_is_only_loopback(dhow) {
        dhow.load(probe::image(), "probe");
        assert_eq!(ask(dhow, "", "network").all("interface"), ["lo up"]);
    }

    fn the_root_is_read_only_where_asked(dhow) {
        dhow.load(&Image::new([probe::layer(), Layer::new([Entry::dir("data/")])]), "probe");
        let facts = ask(dhow, "--read-only --tmpfs /data", "path / /data /dev/shm /dev");
        for (path, expected) in [("/", "write=!30"), ("/data", "write=yes"), ("/dev/shm", "write=yes"), ("/dev", "write=yes")] {
            assert_eq!(facts.about("path", path).unwrap().split(' ').nth(1), Some(expected), "{path}: {facts:?}");
        }
    }

    fn the_environment_is_dockers(dhow) {
        dhow.load(probe::image(), "probe");
        let facts = ask(dhow, "--hostname here", "environment");
        let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        for expected in [path, "HOSTNAME=here", "HOME=/"] {
            let name = expected.split('=').next().unwrap();
            let found: Vec<_> = facts.all("env").iter().filter(|one| one.split('=').next() == Some(name)).collect();
            assert!(found.len() == 1 && found[0].starts_with(expected), "{expected}: {facts:?}");
        }
        assert_eq!(facts.all("env").len(), 3, "{facts:?}");
    }

    fn limits_are_the_accounts_unless_asked(dhow) {
        dhow.load(probe::image(), "probe");
        let facts = ask(dhow, "--ulimit nofile=100:200 --ulimit core=0", "limits");
        assert_eq!((facts.get("nofile"), facts.get("core")), ("100 200", "0 0"));
    }
}

/// A user set in the container is not another user on disk.
#[test]
fn files_of_a_single_user_stay_the_accounts() {
    let Some(dhow) = Dhow::new(Mode::Single) else { return };
    dhow.load(fixtures::busybox(), "busybox");
    let volume = dhow.make_dir("volume");
    let script = "touch /v/f && chown 1000:1000 /v/f && stat -c %u /v/f";
    let output = dhow.run("-v").arg(format!("{}:/v", volume.display())).arg("busybox").sh(script).ok();
    assert_eq!(output.out(), "0");
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(volume.join("f")).unwrap());
    assert_eq!(owner, dhow.account.uid);
}
