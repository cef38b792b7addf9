//! The life of a container, from `create` to `rm`: start, stop, restart, pause, wait, attach, and recovery from crashes.

use std::time::Instant;

use crate::support::containers::inspect;
use crate::support::containers::until;
use crate::support::{Dhow, each_mode};
use rustix::process::{Pid, Signal, kill_process};

/// `dhow run -d --network none --name NAME` with more options, an image and a command.
fn detached(dhow: &Dhow, name: &str, line: &str) -> crate::support::Cmd {
    dhow.cmd("run -d --network none --name").arg(name).args(line.split_whitespace())
}

/// The supervisor of a container.
fn supervisor(dhow: &Dhow, name: &str) -> Pid {
    let title = format!("dhow: {name}");
    let found = dhow.processes().into_iter().find(|process| process.command.trim_end() == title);
    found.unwrap_or_else(|| panic!("no supervisor of {name}: {:?}", dhow.processes())).pid
}

each_mode! {
    fn a_detached_container_lives_until_it_is_stopped(dhow) {
        dhow.with_busybox();
        let id = detached(dhow, "web", "busybox").sh("trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done").ok().out();
        assert_eq!(id.len(), 64);
        assert_eq!(dhow.cmd("ps -q --no-trunc").ok().out(), id);
        while !dhow.cmd("logs web").ok().out().contains("ready") {}
        assert_eq!(dhow.cmd("stop web").ok().out(), "web");
        assert_eq!(inspect(dhow, "web", ".State.Status"), "exited");
        assert_eq!(inspect(dhow, "web", ".State.ExitCode"), "3");
        assert_eq!(dhow.cmd("logs web").ok().out(), "ready\nbye");
        assert_eq!(dhow.cmd("stop web").ok().out(), "web", "it is stopped already");
        assert_eq!(dhow.cmd("rm web").ok().out(), "web");
        assert_eq!(dhow.cmd("ps -aq").ok().out(), "");
    }

    fn what_ignores_the_signal_is_killed(dhow) {
        dhow.with_busybox();
        detached(dhow, "deaf", "busybox").sh("trap '' TERM; (trap '' TERM; exec sleep 1000) & echo ready; wait").ok();
        while !dhow.cmd("logs deaf").ok().out().contains("ready") {}
        dhow.cmd("stop -t 0 deaf").ok();
        assert_eq!(inspect(dhow, "deaf", ".State.ExitCode"), "137");
        dhow.settle();
        dhow.cmd("rm deaf").ok();
    }

    fn nothing_stays_behind_in_the_hosts_process_table(dhow) {
        dhow.with_busybox();
        let script = "(setsid sleep 1000 &) ; trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done";
        for end in ["stop", "kill", "rm -f"] {
            detached(dhow, "shared", "--pid host busybox").sh(script).ok();
            while !dhow.cmd("logs shared").ok().out().contains("ready") {}
            dhow.cmd(end).arg("shared").ok();
            dhow.settle();
            dhow.cmd("rm -f shared").output();
        }
    }

    fn a_killed_container_can_be_removed_at_once(dhow) {
        dhow.with_busybox();
        // Many processes take a while to end.
        let script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done; wait";
        for _ in 0..5 {
            detached(dhow, "killed", "busybox").sh(script).ok();
            dhow.cmd("kill killed").ok();
            dhow.cmd("rm killed").ok();
        }
        detached(dhow, "killed", "--restart always busybox").sh(script).ok();
        dhow.cmd("kill -s 9 killed").ok();
        assert_eq!(inspect(dhow, "killed", ".State.Status"), "exited");
        dhow.cmd("rm killed").ok();
        detached(dhow, "killed", "--rm busybox").sh(script).ok();
        dhow.cmd("kill killed").ok();
        detached(dhow, "killed", "busybox").sh("trap '' USR1; echo ready; while :; do sleep 0.05; done").ok();
        while !dhow.cmd("logs killed").ok().out().contains("ready") {}
        // Other signals are not waited for: it may go on.
        dhow.cmd("kill -s USR1 killed").ok();
        dhow.cmd("pause killed").ok();
        dhow.cmd("kill killed").ok();
        dhow.cmd("rm killed").ok();
    }

    fn without_forwarding_a_signal_ends_the_command_as_any_other(dhow) {
        dhow.with_busybox();
        for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)] {
            let run = dhow.cmd("run --network none --sig-proxy=false --name left busybox").sh("echo ready; exec sleep 1000").start();
            run.expect("ready");
            run.signal(signal);
            assert_eq!(run.wait().code, code);
            assert_eq!(inspect(dhow, "left", ".State.Status"), "running");
            let attached = dhow.cmd("attach --sig-proxy=false left").start();
            until(dhow, "left", ".State.Status", "running");
            attached.signal(signal);
            assert_eq!(attached.wait().code, code);
            dhow.cmd("rm -f left").ok();
        }
    }

    fn the_stop_signal_is_the_containers_own(dhow) {
        dhow.with_busybox();
        let script = "trap 'exit 41' USR1; trap 'exit 42' USR2; echo ready; while :; do sleep 0.05; done";
        for (options, stop, code) in
            [("--stop-signal USR1", "stop", "41"), ("--stop-signal USR1", "stop -s USR2", "42"), ("", "kill -s USR1", "41")]
        {
            detached(dhow, "signals", &format!("{options} busybox")).sh(script).ok();
            while !dhow.cmd("logs signals").ok().out().contains("ready") {}
            dhow.cmd(&format!("{stop} signals")).ok();
            assert_eq!(dhow.cmd("wait signals").ok().out(), code, "{options} {stop}");
            dhow.cmd("rm signals").ok();
        }
    }

    fn create_then_start(dhow) {
        dhow.with_busybox();
        let id = dhow.cmd("create --network none --name made -i busybox").sh("echo out; cat; exit 5").ok().out();
        assert_eq!(inspect(dhow, "made", ".State.Status"), "created");
        assert_eq!(inspect(dhow, "made", ".State.Pid"), "0");
        let output = dhow.cmd("start -a -i made").stdin("in\n").exits(5);
        assert_eq!(output.out(), "out\nin");
        assert_eq!(dhow.cmd("logs").arg(&id).ok().out(), "out\nin");
        assert_eq!(dhow.cmd("start made").ok().out(), "made");
        assert_eq!(dhow.cmd("start made").ok().out(), "made", "it runs already");
        dhow.cmd("rm -f made").ok();
        dhow.cmd("start made").fails(1, &["No such container: made"]);
    }

    fn made_up_names_never_run_out(dhow) {
        dhow.with_busybox();
        // A made-up name follows from the ID, which cannot be foretold: so many that two are bound to be the same.
        let create = "i=0; while [ $i -lt 300 ]; do \"$0\" create --network none busybox true || exit 1; i=$((i+1)); done";
        let binary = crate::support::fixtures::binary();
        let ids = dhow.tool("sh -c").arg(create).arg(&binary).ok().out();
        assert_eq!(ids.lines().count(), 300);
        dhow.cmd("rm").args(ids.lines()).ok();
    }

    fn what_cannot_start_says_why_and_stays(dhow) {
        dhow.with_busybox();
        detached(dhow, "absent", "busybox no-such-program").fails(127, &["no-such-program", "not found in $PATH"]);
        assert_eq!(inspect(dhow, "absent", ".State.Status"), "created", "as docker has it: it never ran");
        assert_eq!(inspect(dhow, "absent", ".State.ExitCode"), "127");
        assert!(inspect(dhow, "absent", ".State.Error").contains("no-such-program"));
        dhow.cmd("start absent").fails(1, &["no-such-program"]);
        dhow.cmd("rm absent").ok();
        detached(dhow, "gone", "--rm busybox no-such-program").fails(127, &["no-such-program"]);
        dhow.cmd("rm gone").fails(1, &["No such container"]);
    }

    fn restart_ends_and_starts(dhow) {
        dhow.with_busybox();
        detached(dhow, "again", "busybox").sh("echo run; exec sleep 1000").ok();
        let first = inspect(dhow, "again", ".State.Pid");
        dhow.cmd("restart -t 0 again").ok();
        assert_ne!(inspect(dhow, "again", ".State.Pid"), first);
        dhow.cmd("stop -t 0 again").ok();
        dhow.cmd("restart again").ok();
        until(dhow, "again", ".State.Status", "running");
        while dhow.cmd("logs again").ok().out() != "run\nrun\nrun" {}
        dhow.cmd("rm -f again").ok();
    }

    fn pause_holds_everything(dhow) {
        dhow.with_busybox();
        detached(dhow, "clock", "busybox").sh("(while :; do echo tick; sleep 0.02; done) & exec sleep 1000").ok();
        while dhow.cmd("logs clock").ok().out().is_empty() {}
        dhow.cmd("pause clock").ok();
        assert_eq!(inspect(dhow, "clock", ".State.Status"), "paused");
        dhow.cmd("pause clock").fails(1, &["already paused"]);
        let before = dhow.cmd("logs clock").ok().out();
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert_eq!(dhow.cmd("logs clock").ok().out(), before, "nothing moves");
        dhow.cmd("rm clock").fails(1, &["paused"]);
        dhow.cmd("unpause clock").ok();
        while dhow.cmd("logs clock").ok().out() == before {}
        dhow.cmd("unpause clock").fails(1, &["not paused"]);
        dhow.cmd("pause clock").ok();
        dhow.cmd("stop -t 1 clock").ok();
        assert_eq!(inspect(dhow, "clock", ".State.Status"), "exited");
        dhow.cmd("rm clock").ok();
    }

    fn wait_tells_the_exit_code(dhow) {
        dhow.with_busybox();
        detached(dhow, "one", "-i busybox").sh("read x; exit 7").ok();
        let waiting = dhow.cmd("wait one").start();
        dhow.cmd("attach one").stdin("go\n").exits(7);
        assert_eq!(waiting.wait().out(), "7");
        assert_eq!(dhow.cmd("wait one one").ok().out(), "7\n7");
        dhow.cmd("rm one").ok();
        dhow.cmd("wait one").fails(1, &["No such container"]);
    }

    fn several_attach_at_once(dhow) {
        dhow.with_busybox();
        detached(dhow, "many", "-i busybox").sh("read x; echo \"got $x\"; echo more >&2; read y").ok();
        let others: Vec<_> = (0..3).map(|_| dhow.cmd("attach --no-stdin many").start()).collect();
        until_attached(dhow, 3);
        let output = dhow.cmd("attach many").stdin("word\nend\n").warns("more").ok();
        assert_eq!((output.out(), output.err()), ("got word".into(), "more".into()));
        for other in others {
            let output = other.wait();
            assert_eq!((output.out(), output.err(), output.code), ("got word".into(), "more".into(), 0));
        }
        dhow.cmd("rm many").ok();
        dhow.cmd("attach many").fails(1, &["No such container"]);
    }

    fn a_terminal_is_detached_and_joined_again(dhow) {
        dhow.with_busybox();
        let mut terminal = dhow.cmd("run -it --network none --name tty busybox sh").pty(80, 24);
        terminal.expect("# ");
        terminal.send("echo first-$((40+2))\n");
        terminal.expect("first-42");
        terminal.send("\x10\x11");
        assert_eq!(terminal.wait_for_end(), 0);
        assert_eq!(inspect(dhow, "tty", ".State.Status"), "running");
        let mut terminal = dhow.cmd("attach --detach-keys ctrl-a,d tty").pty(91, 17);
        terminal.send("stty size\n");
        terminal.expect("17 91");
        terminal.send("\x01d");
        assert_eq!(terminal.wait_for_end(), 0);
        let mut terminal = dhow.cmd("attach tty").pty(80, 24);
        terminal.send("exit 9\n");
        assert_eq!(terminal.wait().0, 9);
        let log = dhow.cmd("logs tty").ok().out();
        assert!(log.contains("first-42") && log.contains("17 91"), "{log}");
        dhow.cmd("start -ai tty").fails(1, &["not a TTY"]);
        dhow.cmd("rm tty").ok();
    }

    fn restart_policies(dhow) {
        dhow.with_busybox();
        detached(dhow, "failing", "--restart on-failure:2 busybox").sh("echo run; exit 3").ok();
        until(dhow, "failing", ".State.Status", "exited");
        assert_eq!(inspect(dhow, "failing", ".RestartCount"), "2");
        assert_eq!(dhow.cmd("logs failing").ok().out(), "run\nrun\nrun");
        detached(dhow, "succeeding", "--restart on-failure busybox true").ok();
        dhow.cmd("wait succeeding").ok();
        until(dhow, "succeeding", ".State.Status", "exited");
        assert_eq!(inspect(dhow, "succeeding", ".RestartCount"), "0");
        detached(dhow, "always", "--restart always busybox true").ok();
        until(dhow, "always", "ge .RestartCount 2", "true");
        dhow.cmd("stop always").ok();
        assert_eq!(inspect(dhow, "always", ".State.Status"), "exited");
        assert_eq!(inspect(dhow, "always", ".HostConfig.RestartPolicy.Name"), "always");
        detached(dhow, "killed", "--restart unless-stopped busybox sleep 1000").ok();
        let pid = inspect(dhow, "killed", ".State.Pid").parse().unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        until(dhow, "killed", ".RestartCount", "1");
        until(dhow, "killed", ".State.Status", "running");
        dhow.cmd("kill killed").ok();
        until(dhow, "killed", ".State.Status", "exited");
        dhow.cmd("rm failing succeeding always killed").ok();
        dhow.settle();
    }

    fn rm_of_what_runs_needs_force(dhow) {
        dhow.with_busybox();
        detached(dhow, "busy", "-v /data --restart always busybox sleep 1000").ok();
        dhow.cmd("rm busy").fails(1, &["container is running", "force remove"]);
        dhow.cmd("rm -f -v busy").ok();
        assert_eq!(dhow.cmd("ps -aq").ok().out(), "");
        assert_eq!(dhow.cmd("volume ls -q").ok().out(), "");
        dhow.settle();
    }

    fn a_detached_container_can_remove_itself(dhow) {
        dhow.with_busybox();
        detached(dhow, "brief", "--rm -i busybox").sh("read x; echo $x").ok();
        let log = dhow.cmd("logs -f brief").start();
        dhow.cmd("attach brief").stdin("done\n").ok();
        assert_eq!(log.wait().out(), "done");
        dhow.settle();
        assert_eq!(dhow.cmd("ps -aq").ok().out(), "");
    }

    fn a_killed_supervisor_takes_its_container_along(dhow) {
        dhow.with_busybox();
        detached(dhow, "orphan", "--restart always busybox").sh("echo run; exec sleep 1000").ok();
        kill_process(supervisor(dhow, "orphan"), Signal::KILL).unwrap();
        dhow.settle();
        assert_eq!(inspect(dhow, "orphan", ".State.Status"), "exited");
        assert_eq!(dhow.cmd("ps -q").ok().out(), "");
        dhow.cmd("kill orphan").fails(1, &["is not running"]);
        dhow.cmd("start orphan").ok();
        assert_eq!(inspect(dhow, "orphan", ".State.Status"), "running");
        dhow.cmd("rm -f orphan").ok();
    }

    fn after_a_reboot_everything_has_ended(dhow) {
        dhow.with_busybox();
        for name in ["one", "two"] {
            detached(dhow, name, "busybox sleep 1000").ok();
        }
        dhow.cmd("pause two").ok();
        detached(dhow, "brief", "--rm busybox sleep 1000").ok();
        crate::support::leaks::kill(&dhow.account, dhow.dir());
        dhow.settle();
        std::fs::remove_dir_all(dhow.dir().join("run")).unwrap();
        dhow.make_dir("run");
        assert_eq!(dhow.cmd("ps -q").ok().out(), "");
        assert_eq!(dhow.cmd("ps -a --format").arg("{{.Names}} {{.State}}").ok().out(), "two exited\none exited");
        dhow.cmd("unpause two").fails(1, &["not running"]);
        dhow.cmd("start one two").ok();
        assert_eq!(dhow.cmd("ps -q").ok().out().lines().count(), 2);
        dhow.cmd("rm -f one two").ok();
    }

    fn many_want_the_same_at_once(dhow) {
        dhow.with_busybox();
        dhow.cmd("create --network none --name contended busybox sleep 1000").ok();
        let all = |line: &str| {
            let running: Vec<_> = (0..6).map(|_| dhow.cmd(line).start()).collect();
            running.into_iter().map(|command| command.wait().code).collect::<Vec<_>>()
        };
        for _ in 0..5 {
            assert_eq!(all("start contended"), [0; 6]);
            assert_eq!(inspect(dhow, "contended", ".State.Status"), "running");
            assert_eq!(dhow.processes().iter().filter(|process| process.command.starts_with("sleep")).count(), 1);
            assert_eq!(all("stop -t 0 contended"), [0; 6]);
            assert_eq!(inspect(dhow, "contended", ".State.Status"), "exited");
        }
        all("start contended");
        let codes = all("rm -f contended");
        assert!(codes.contains(&0), "{codes:?}");
        dhow.cmd("inspect contended").fails(1, &["contended"]);
        dhow.settle();
    }

    fn a_terminal_that_is_flooded_holds_nobody_up(dhow) {
        dhow.with_busybox();
        detached(dhow, "flood", "-t --log-opt max-size=100k --log-opt max-file=2 busybox yes").ok();
        let mut terminal = dhow.cmd("attach flood").pty(80, 24);
        terminal.expect("y");
        // Nobody reads that terminal any more.
        dhow.cmd("exec flood true").ok();
        dhow.cmd("stop -t 0 flood").ok();
        assert_eq!(inspect(dhow, "flood", ".State.Status"), "exited");
        terminal.wait();
        dhow.cmd("rm flood").ok();
    }

    fn a_container_that_floods_holds_nobody_up(dhow) {
        dhow.with_busybox();
        detached(dhow, "flood", "--log-opt max-size=100k --log-opt max-file=2 busybox yes").ok();
        // It writes as fast as it can; all others are served all the same.
        dhow.cmd("logs -n 5 flood").ok();
        dhow.cmd("stop -t 0 flood").ok();
        let dir = dhow.root().join("containers").join(inspect(dhow, "flood", ".Id"));
        let logs: u64 = std::fs::read_dir(dir).unwrap().flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("output.log"))
            .map(|entry| entry.metadata().unwrap().len()).sum();
        assert!(logs <= 300_000, "{logs}");
        dhow.cmd("rm flood").ok();
    }
}

/// Waits until `number` commands have attached, by counting events.
fn until_attached(dhow: &Dhow, number: usize) {
    let deadline = Instant::now() + std::time::Duration::from_secs(20);
    while dhow.cmd("events --since 1m --until 0s --filter event=attach").ok().out().lines().count() < number {
        assert!(Instant::now() < deadline, "too few have attached");
    }
}
