//! `exec`: another process in a running container, also in one that attacks it.

use std::time::Duration;

use crate::support::probe::{self, Facts};
use crate::support::process::Running;
use crate::support::{Cmd, Dhow, Entry, Image, Layer, Mode, each_mode, fixtures};
use rustix::process::Signal;
use rustix::termios::LocalModes;

/// Starts the container `box` from `image` with `options`; it runs `script`, which must print `ready`.
fn start(dhow: &Dhow, options: &str, image: &str, script: &str) -> Running {
    let network = if options.contains("--network") { "" } else { "--network none" };
    let command = dhow
        .cmd("run --rm --name box")
        .args(network.split_whitespace())
        .args(options.split_whitespace())
        .arg(image)
        .sh(script);
    let running = command.start();
    running.expect("ready");
    running
}

/// An idle container from busybox.
fn idle(dhow: &Dhow, options: &str) -> Running {
    dhow.with_busybox();
    start(dhow, options, "busybox", "echo ready; exec sleep 1000")
}

/// `dhow exec` with these arguments.
fn exec(dhow: &Dhow, words: &str) -> Cmd {
    dhow.cmd("exec").args(words.split_whitespace())
}

/// An image with busybox and the probe.
fn probe_image() -> Image {
    Image::new([fixtures::busybox_layer(), probe::layer()])
}

each_mode! {
    fn output_input_and_exit_code_pass(dhow) {
        let _box = idle(dhow, "");
        let output = exec(dhow, "box").sh("echo out; echo err >&2; exit 42").output();
        assert_eq!((output.code, output.out().as_str(), output.err().as_str()), (42, "out", "err"));
        exec(dhow, "box true").ok();
        exec(dhow, "box").sh("kill -KILL $$").exits(137);
        exec(dhow, "box").sh("kill -TERM $$").exits(143);
        let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
        assert_eq!(exec(dhow, "-i box cat").stdin(bytes.clone()).ok().stdout, bytes);
        assert_eq!(exec(dhow, "box cat").stdin("ignored").ok().out(), "");
        assert_eq!(exec(dhow, "/box echo by name").ok().out(), "by name");
    }

    fn failures_say_what_failed(dhow) {
        let running = idle(dhow, "");
        exec(dhow, "box no-such-command").fails(127, &["box", "exec: \"no-such-command\": executable file not found in $PATH"]);
        exec(dhow, "box /no/such/file").fails(127, &["exec: \"/no/such/file\": no such file or directory"]);
        exec(dhow, "box /etc/passwd").fails(126, &["exec: \"/etc/passwd\": permission denied"]);
        exec(dhow, "box").sh("printf '#!/no/such/interpreter\\n' >/script; chmod +x /script").ok();
        exec(dhow, "box /script").fails(127, &["exec: \"/script\": no such file or directory"]);
        exec(dhow, "-d box no-such-command").fails(127, &["no-such-command"]);
        exec(dhow, "-d box /script").fails(127, &["/script"]);
        exec(dhow, "-u stranger box true").fails(126, &["unable to find user stranger"]);
        exec(dhow, "-w /no/dir box true").fails(127, &["chdir to cwd (\"/no/dir\")", "no such file"]);
        exec(dhow, "-w /etc/passwd box true").fails(126, &["/etc/passwd", "not a directory"]);
        exec(dhow, "-w relative box true").fails(126, &["relative"]);
        exec(dhow, "box").fails(1, &["at least 2 arguments"]);
        exec(dhow, "absent true").fails(1, &["No such container: absent"]);
        exec(dhow, "--no-such-flag box true").fails(125, &["--no-such-flag"]);
        drop(running);
        dhow.cmd("run --network none --name over busybox true").ok();
        let spec = dhow.cmd("inspect -f {{.Id}} over").ok().out();
        exec(dhow, "over true").fails(1, &[&format!("container {spec} is not running")]);
        dhow.cmd("rm over").ok();
    }

    fn the_environment_is_the_containers_and_what_was_asked(dhow) {
        let image = Image::new([fixtures::busybox_layer()]).set("Env", vec!["PATH=/bin", "FROM_IMAGE=1", "SHARED=image"]).set("WorkingDir", "/srv");
        dhow.load(&image, "env");
        let _box = start(dhow, "-e RUN=1 -e GONE=1 -h boat", "env", "export OWN=1; echo ready; exec sleep 1000");
        let file = dhow.write("file.env", "FROM_FILE=a b\nSHARED=file\nNOT_SET_BY_FILE\n");
        let mut lines = exec(dhow, "-e SHARED=flag -e PASSED -e GONE --env-file").arg(file).args(["box", "env"]).env("PASSED", "through").ok().lines();
        lines.sort();
        assert_eq!(lines, ["FROM_FILE=a b", "FROM_IMAGE=1", "HOME=/root", "HOSTNAME=boat", "PASSED=through", "PATH=/bin", "RUN=1", "SHARED=flag"]);
        assert_eq!(exec(dhow, "box pwd").ok().out(), "/srv");
        assert_eq!(exec(dhow, "-w /bin box pwd").ok().out(), "/bin");
        assert_eq!(exec(dhow, "-e HOME=/else box").sh("echo $HOME").ok().out(), "/else");
    }

    fn the_process_is_in_the_containers_namespaces(dhow) {
        dhow.load(&probe_image(), "probed");
        let running = start(dhow, "", "probed", "echo ready; /probe namespaces; exec sleep 1000");
        let own = Facts::parse(running.expect("uts=").trim_start_matches("ready\n"));
        let facts = Facts::of(exec(dhow, "box /probe namespaces"));
        for kind in ["cgroup", "ipc", "mnt", "net", "pid", "user"] {
            assert_eq!(facts.get(kind), own.get(kind), "{kind}");
        }
    }

    fn without_a_pid_namespace_of_its_own(dhow) {
        let running = idle(dhow, "--pid host --uts host --network host --ipc host --cgroupns host");
        assert_eq!(exec(dhow, "box").sh("echo $0 here").ok().out(), "sh here");
        exec(dhow, "-d box sleep 1000").ok();
        drop(running);
        crate::support::leaks::kill(&dhow.account, dhow.dir());
    }

    fn it_is_confined_as_the_container_is(dhow) {
        dhow.load(&probe_image(), "probed");
        for (options, flags) in [("", ""), ("-u 1000", ""), ("--cap-drop ALL --cap-add CHOWN", ""), ("--security-opt no-new-privileges", ""),
            ("--security-opt seccomp=unconfined", ""), ("--privileged", ""), ("--ulimit nofile=77:99 --oom-score-adj 500", "")] {
            let sections = "capabilities -- identity -- limits -- process -- signals";
            let own = dhow.run(options).args(["probed", "/probe"]).args(sections.split(' ')).ok().out();
            let running = start(dhow, options, "probed", "echo ready; exec sleep 1000");
            let joined = exec(dhow, flags).args(["box", "/probe"]).args(sections.split(' ')).ok().out();
            // What differs: the process's number, and that it is not process 1.
            let facts = |text: &str| text.lines().filter(|line| !["pid", "ppid", "pgid", "sid", "hostname", "death_signal", "cgroup"]
                .contains(&line.split('=').next().unwrap())).map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(facts(&joined), facts(&own), "{options}");
            drop(running);
            dhow.cmd("rm -f box").output();
            dhow.settle();
        }
    }

    fn privileged_lifts_the_confinement_of_the_process_alone(dhow) {
        dhow.load(&probe_image(), "probed");
        let _box = start(dhow, "", "probed", "echo ready; exec sleep 1000");
        let plain = Facts::of(exec(dhow, "box /probe capabilities"));
        let lifted = Facts::of(exec(dhow, "--privileged box /probe capabilities"));
        assert_eq!(plain.get("bounding"), "00000000a80425fb");
        assert!(lifted.get("bounding").ends_with("ffffffffff") && lifted.get("effective") == lifted.get("bounding"), "{lifted:?}");
        let emulation = if dhow.mode == Mode::Single { "1" } else { "0" };
        assert_eq!(lifted.get("seccomp_filters"), emulation);
    }

    fn a_profile_of_the_users_own_need_not_know_every_call(dhow) {
        dhow.with_busybox();
        let profile = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["execveat","memfd_create"],"action":"SCMP_ACT_ERRNO","errnoRet":38}]}"#;
        let profile = dhow.write("profile.json", profile);
        let _box = start(dhow, &format!("--security-opt seccomp={}", profile.display()), "busybox", "echo ready; exec sleep 1000");
        assert_eq!(exec(dhow, "box echo well").ok().out(), "well");
        exec(dhow, "box no-such-command").fails(127, &["no-such-command"]);
    }

    fn what_is_run_is_told_to_who_watches(dhow) {
        let _box = idle(dhow, "");
        exec(dhow, "box").sh("exit 3").exits(3);
        exec(dhow, "-d box true").ok();
        let watch = dhow.cmd("events --since 1h --filter event=exec_die --format").arg("{{.Action}} {{.Actor.Attributes.exitCode}}").start();
        watch.expect("exec_die 3\nexec_die 0");
        drop(watch);
        let told = dhow.cmd("events --since 1h --until 0s --filter event=exec_start --format {{.Action}}").ok().lines();
        assert_eq!(told, ["exec_start: sh -c exit 3", "exec_start: true"]);
    }

    fn it_starts_from_a_clean_slate(dhow) {
        dhow.load(&probe_image(), "probed");
        let _box = start(dhow, "", "probed", "echo ready; exec sleep 1000");
        let before = "trap '' TERM HUP; umask 077; exec 9</ 15</etc/passwd";
        let facts = Facts::of(exec(dhow, "box /probe process -- signals -- descriptors").after_shell(before));
        assert_eq!((facts.get("ignored"), facts.get("blocked")), ("", ""));
        assert_eq!((facts.get("umask"), facts.get("cwd"), facts.get("dumpable")), ("022", "/", "1"));
        assert!(facts.get("controlling_terminal").starts_with('!'), "{facts:?}");
        assert_eq!(facts.get("sid"), facts.get("pid"));
        let numbers: Vec<&str> = facts.all("descriptor").iter().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(numbers, ["0", "1", "2"], "{facts:?}");
    }

    fn users_are_found_in_the_containers_files(dhow) {
        let _box = idle(dhow, "");
        let sees = |options: &str, ids: &str, groups: &str| {
            let seen = exec(dhow, options).sh("echo $(id -u):$(id -g) $HOME; id -G").ok().lines();
            assert_eq!(seen[0], ids, "{options}");
            // With one id only, the kernel keeps the caller's own groups whatever was asked.
            if dhow.mode == Mode::Mapped {
                assert_eq!(seen[1], groups, "{options}");
            }
        };
        sees("-u worker box", "1000:1000 /home/worker", "1000 50");
        sees("-u 4321 box", "4321:0 /", "0");
        sees("-u nobody:staff box", "65534:50 /", "50");
        sees("-u root box", "0:0 /root", "0");
        exec(dhow, "box").sh("echo added:x:0:0::/added:/bin/sh >>/etc/passwd").ok();
        sees("-u added box", "0:0 /added", "0");
    }

    fn another_user_has_no_power(dhow) {
        dhow.load(&probe_image(), "probed");
        let running = start(dhow, "", "probed", "echo ready; exec sleep 1000");
        let facts = Facts::of(exec(dhow, "-u 1000 box /probe capabilities -- process"));
        for set in ["effective", "permitted", "inheritable", "ambient"] {
            assert_eq!(facts.get(set), "0000000000000000", "{set}");
        }
        assert_eq!(facts.get("bounding"), "00000000a80425fb");
        assert_eq!(exec(dhow, "-u 1000 box").sh("hostname x 2>&1 | grep -c permitted").ok().out(), "1");
        drop(running);
        dhow.settle();
        let _box = start(dhow, "-u 1000", "probed", "echo ready; exec sleep 1000");
        assert_eq!(exec(dhow, "-u 0 box").sh("id -u; chown 5 /tmp && echo changed").ok().out(), "0\nchanged");
        assert_eq!(exec(dhow, "box id -u").ok().out(), "1000");
    }

    fn a_detached_process_goes_on_alone(dhow) {
        let _box = idle(dhow, "");
        let output = exec(dhow, "-d box").sh("echo unseen; mkfifo /pipe; echo started >/started; cat /pipe; echo done >/done").ok();
        assert_eq!(output.out(), "");
        exec(dhow, "box").sh("until test -s /started; do :; done; echo go >/pipe; until test -s /done; do :; done").ok();
        // Nobody is left behind as a zombie.
        let zombies = "while ps -o stat | grep -q Z; do :; done";
        exec(dhow, "box").sh(zombies).ok();
    }

    fn an_attached_process_ends_with_its_command(dhow) {
        let _box = idle(dhow, "");
        let mut running = exec(dhow, "box").sh("echo started; exec sleep 4321").start();
        running.expect("started");
        running.child.kill().unwrap();
        running.wait();
        exec(dhow, "box").sh("while ps | grep -v grep | grep -q 'sleep 4321'; do :; done").ok();
        for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
            let running = exec(dhow, "box").sh("echo started; exec sleep 4321").start();
            running.expect("started");
            running.signal(signal);
            assert_eq!(running.wait().code, 128 + signal.as_raw());
        }
        let running = exec(dhow, "box").sh("trap 'echo caught; exit 7' USR1; echo started; while :; do sleep 0.01; done").start();
        running.expect("started");
        running.signal(Signal::USR1);
        let output = running.wait();
        assert_eq!((output.code, output.out().as_str()), (7, "started\ncaught"));
    }

    fn the_containers_end_ends_it(dhow) {
        let running = idle(dhow, "");
        let joined = exec(dhow, "box").sh("echo started; exec sleep 4321").start();
        joined.expect("started");
        exec(dhow, "-d box sleep 4321").ok();
        dhow.cmd("rm -f box").ok();
        assert_eq!(joined.wait().code, 137);
        assert_eq!(running.wait().code, 137);
        dhow.settle();
    }

    fn many_at_once(dhow) {
        let _box = idle(dhow, "");
        let runs: Vec<_> = (0..64).map(|n| exec(dhow, "box echo").arg(n.to_string()).start()).collect();
        for (n, run) in runs.into_iter().enumerate() {
            let output = run.wait();
            assert_eq!((output.code, output.out(), output.err()), (0, n.to_string(), String::new()));
        }
        assert_eq!(exec(dhow, "box").sh("ps -o stat | grep -c Z").output().out(), "0");
    }
}

each_mode! {
    fn a_terminal_of_the_containers_own(dhow) {
        let _box = idle(dhow, "");
        let mut terminal = exec(dhow, "-it box sh").pty(91, 17);
        terminal.expect("# ");
        terminal.send("tty; stty size; echo $TERM\n");
        terminal.expect("/dev/pts/0");
        terminal.expect("17 91");
        terminal.expect("xterm");
        terminal.resize(120, 40);
        terminal.send("while test \"$(stty size)\" != '40 120'; do :; done; echo resized\n");
        terminal.expect("\nresized");
        terminal.send("exit 7\n");
        assert_eq!(terminal.wait_for_end(), 7);
        assert!(terminal.settings().local_modes.contains(LocalModes::ICANON | LocalModes::ECHO));
        let (code, shown) = exec(dhow, "-t box").sh("test -t 0 && test -t 1 && echo terminal; stty size").pty(91, 17).wait();
        assert_eq!((code, shown.contains("terminal") && shown.contains("17 91")), (0, true), "{shown}");
        exec(dhow, "-it box true").stdin("").fails(1, &["not a TTY"]);
        let (code, shown) = exec(dhow, "-t box seq 20000").pty(80, 24).wait();
        assert_eq!((code, shown.lines().count()), (0, 20_000));
    }

    fn keys_detach_from_it_and_it_goes_on(dhow) {
        let _box = idle(dhow, "");
        for (flags, keys) in [("-it box", "\x10\x11"), ("-it --detach-keys ctrl-a,x box", "\x01x")] {
            let script = "rm -f /go /done; mkfifo /go; echo ready; cat /go; seq 10000; echo done >/done; exec sleep 1000";
            let mut terminal = exec(dhow, flags).sh(script).pty(80, 24);
            terminal.expect("ready");
            terminal.send(keys);
            assert_eq!(terminal.wait_for_end(), 0);
            assert!(terminal.settings().local_modes.contains(LocalModes::ICANON));
            exec(dhow, "box").sh("echo >/go; until test -s /done; do :; done").ok();
        }
        exec(dhow, "-it --detach-keys nonsense box true").fails(125, &["nonsense"]);
    }

    fn a_terminal_that_is_hung_up_ends_its_processes(dhow) {
        let _box = idle(dhow, "");
        for signal in [Signal::KILL, Signal::TERM, Signal::HUP] {
            let mut terminal = exec(dhow, "-it box").sh("echo ready; exec sleep 4321").pty(80, 24);
            terminal.expect("ready");
            terminal.signal(signal);
            assert_ne!(terminal.wait_for_end(), 0);
            exec(dhow, "box").sh("while ps | grep -v grep | grep -q 'sleep 4321'; do :; done").ok();
        }
    }

    fn a_paused_container_takes_no_process(dhow) {
        dhow.with_busybox();
        dhow.cmd("run -d --network none --name box busybox sleep 1000").ok();
        dhow.cmd("pause box").ok();
        exec(dhow, "box true").fails(1, &["is paused, unpause the container before exec"]);
        dhow.cmd("unpause box").ok();
        exec(dhow, "box true").ok();
        dhow.cmd("rm -f box").ok();
    }
}

/// What a spying probe got hold of, except what belongs to the container, to the stub and to the process itself.
fn stolen(facts: &Facts) -> Vec<String> {
    let harmless = |line: &str| {
        let (kind, value) = line.split_once(' ').unwrap();
        match kind {
            "exe" | "opened" => ["/bin/busybox", "/probe", "/memfd:dhow-stub (deleted)"].contains(&value),
            "cwd" | "root" => value == "/",
            "fd" => {
                ["pipe", "/dev/null", "/probe", "/script", "/stop"].contains(&value)
                    || value.starts_with("/proc/")
            }
            "environ" => !value.contains("DHOW_ROOT"),
            _ => !value.contains("secret"),
        }
    };
    facts.all("got").iter().filter(|line| !harmless(line)).cloned().collect()
}

each_mode! {
    fn a_process_that_lies_in_wait_gets_nothing_of_the_host(dhow) {
        dhow.load(&probe_image(), "probed");
        for options in ["", "--privileged", "--cap-add SYS_PTRACE --security-opt seccomp=unconfined"] {
            let running = start(dhow, options, "probed", "echo ready; exec /probe spy /stop");
            running.expect("spying");
            for _ in 0..40 {
                exec(dhow, "-e A=secret box true").ok();
            }
            // It ends with the container, perhaps before it could exit by itself.
            exec(dhow, "box touch /stop").output();
            let output = running.wait();
            let facts = Facts::parse(output.out().trim_start_matches("ready\nspying\n"));
            assert!(facts.get("seen").parse::<u32>().unwrap() >= 10, "{facts:?}");
            assert_eq!(stolen(&facts), [""; 0], "{options}");
            dhow.settle();
        }
    }

    fn a_program_that_leads_to_dhow_itself_is_not_run(dhow) {
        dhow.load(&probe_image(), "probed");
        let _box = start(dhow, "", "probed", "printf '#!/proc/self/exe\\n' >/script; chmod +x /script; ln -s /proc/self/exe /link; \
            cp /bin/busybox /closed; printf '#!/proc/self/exe\\n' >/closed; chmod 111 /closed; echo ready; exec sleep 1000");
        exec(dhow, "box /script").fails(126, &["/proc/self/exe"]);
        exec(dhow, "box /link").fails(126, &["/proc/self/exe"]);
        exec(dhow, "box /proc/self/exe").fails(126, &["/proc/self/exe"]);
        exec(dhow, "-d box /script").fails(126, &["/proc/self/exe"]);
        let output = exec(dhow, "-u 1000 box /closed").output();
        assert_eq!(output.code, 126, "{}", output.err());
    }

    fn a_program_that_changes_while_it_is_looked_at_gains_nothing(dhow) {
        dhow.load(&probe_image(), "probed");
        let script = "printf '#!/proc/self/exe\\n' >/script; chmod +x /script; ln -s /probe /victim; echo ready; \
            (while :; do ln -s /probe /a; mv /a /victim; ln -s /script /b; mv /b /victim; done) & exec /probe spy /stop";
        let running = start(dhow, "", "probed", script);
        running.expect("spying");
        let mut codes = std::collections::BTreeSet::new();
        for _ in 0..150 {
            let output = exec(dhow, "box /victim exit 0").output();
            assert!([0, 126].contains(&output.code), "{} {}", output.code, output.err());
            codes.insert(output.code);
        }
        // It ends with the container, perhaps before it could exit by itself.
            exec(dhow, "box touch /stop").output();
        let output = running.wait();
        let facts = Facts::parse(output.out().trim_start_matches("ready\nspying\n"));
        assert_eq!(stolen(&facts), [""; 0]);
        assert_eq!(codes.len(), 2, "both programs were met");
    }

    fn directories_lead_nowhere_outside(dhow) {
        let _box = idle(dhow, "--privileged");
        exec(dhow, "box").sh("ln -s /proc/self/fd/3 /out3; ln -s ../../../.. /up; ln -s /proc/self/cwd /cwd; ln -s /proc/1/root /root1").ok();
        assert_eq!(exec(dhow, "-w /up box pwd").ok().out(), "/");
        assert_eq!(exec(dhow, "-w /../.. box pwd").ok().out(), "/");
        for n in 3..12 {
            let output = exec(dhow, "-w").args([&format!("/proc/self/fd/{n}"), "box", "pwd"]).output();
            assert_eq!(output.code, if output.err().contains("no such file") { 127 } else { 126 }, "{n}: {} {}", output.out(), output.err());
        }
        for dir in ["/out3", "/cwd", "/root1", "/proc/self/cwd", "/proc/1/root"] {
            let output = exec(dhow, "-w").args([dir, "box", "pwd"]).output();
            assert!([126, 127].contains(&output.code), "{dir}: {} {}", output.out(), output.err());
        }
    }

    fn a_container_that_fakes_its_files_fools_nobody(dhow) {
        let _box = idle(dhow, "--privileged");
        let fast = |words: &str| exec(dhow, words).limit(Duration::from_secs(20));
        exec(dhow, "box").sh("mkdir -p /fake/self /fake/1; mkfifo /fake/self/exe /fake/self/stat /fake/self/status /fake/self/uid_map; \
            mount -t tmpfs none /proc && cp -r /fake/self /proc/ || true").ok();
        assert_eq!(fast("box echo well").ok().out(), "well");
        exec(dhow, "box").sh("rm /etc/passwd /etc/group; mkfifo /etc/passwd /etc/group").ok();
        assert_eq!(fast("box echo well").ok().out(), "well");
        exec(dhow, "box").sh("rm /etc/passwd; mkdir /etc/passwd; rm /etc/group; ln -s /dev/zero /etc/group").ok();
        assert_eq!(fast("box echo well").ok().out(), "well");
        exec(dhow, "box").sh("rmdir /etc/passwd; dd if=/dev/zero of=/etc/passwd bs=1M count=0 seek=100000 2>/dev/null").ok();
        assert_eq!(fast("box echo well").ok().out(), "well");
        exec(dhow, "box").sh("umount /dev/pts; mkfifo /dev/pts/ptmx || true").ok();
        fast("-t box true").fails(1, &["terminal"]);
        let pipe = Entry::new(tar::EntryType::Fifo, "pipe");
        dhow.load(&Image::new([fixtures::busybox_layer(), Layer::new([pipe])]), "piped");
        fast("box /pipe").fails(127, &["/pipe"]);
    }
}
