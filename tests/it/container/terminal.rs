//! Terminals and signals of a foreground container.

use crate::support::each_mode;
use rustix::process::Signal;
use rustix::termios::LocalModes;

each_mode! {
    fn a_shell_on_a_terminal(dhow) {
        dhow.with_busybox();
        let mut terminal = dhow.run("-it busybox sh").pty(91, 17);
        terminal.expect("# ");
        terminal.send("tty; stty size\n");
        terminal.expect("/dev/pts/0");
        terminal.expect("17 91");
        terminal.resize(120, 40);
        terminal.send("while test \"$(stty size)\" != '40 120'; do :; done; echo resized\n");
        terminal.expect("\nresized");
        terminal.send("exit 7\n");
        assert_eq!(terminal.wait().0, 7);
    }

    fn keys_reach_the_foreground_process(dhow) {
        dhow.with_busybox();
        let mut terminal = dhow.run("-it busybox sh").pty(80, 24);
        terminal.expect("# ");
        terminal.send("sh -c 'echo begin; exec sleep 1000'\n");
        terminal.expect("\nbegin");
        terminal.send("\x03");
        terminal.expect("# ");
        terminal.send("echo still here\n");
        terminal.expect("\nstill here");
        // The shell throws away what is typed before it prompts.
        terminal.expect("# ");
        terminal.send("\x04");
        terminal.wait();
    }

    fn the_terminal_is_raw_meanwhile_and_restored_after(dhow) {
        dhow.with_busybox();
        let mut terminal = dhow.run("-it busybox sh").pty(80, 24);
        terminal.expect("# ");
        assert!(!terminal.settings().local_modes.contains(LocalModes::ICANON));
        terminal.send("exit\n");
        assert_eq!(terminal.wait_for_end(), 0);
        assert!(terminal.settings().local_modes.contains(LocalModes::ICANON | LocalModes::ECHO));
    }

    fn a_terminal_without_input(dhow) {
        dhow.with_busybox();
        let (code, shown) = dhow.run("-t busybox").sh("test -t 1 && echo terminal; stty size").pty(91, 17).wait();
        assert_eq!(code, 0, "{shown}");
        assert!(shown.contains("terminal") && shown.contains("17 91"), "{shown}");
    }

    fn input_without_a_terminal_cannot_be_one(dhow) {
        dhow.with_busybox();
        let output = dhow.run("-it busybox true").stdin("").output();
        assert!(output.code != 0 && output.err().contains("not a TTY"), "{} {}", output.code, output.err());
    }

    fn much_output_on_a_terminal_arrives_whole(dhow) {
        dhow.with_busybox();
        let (code, shown) = dhow.run("-t busybox seq 20000").pty(80, 24).wait();
        assert_eq!(code, 0);
        assert_eq!(shown.lines().count(), 20_000);
        assert!(shown.trim_end().ends_with("20000"));
    }

    fn detach_keys_leave_the_container_running(dhow) {
        dhow.with_busybox();
        let mut terminal = dhow.cmd("run -it --network none --name adrift busybox sh").pty(80, 24);
        terminal.expect("# ");
        terminal.send("\x10\x11");
        assert_eq!(terminal.wait_for_end(), 0);
        assert!(terminal.settings().local_modes.contains(LocalModes::ICANON));
        assert!(dhow.processes().iter().any(|process| process.command.starts_with("sh")), "{:?}", dhow.processes());
        crate::support::leaks::kill(&dhow.account, dhow.dir());
    }

    fn other_detach_keys(dhow) {
        dhow.with_busybox();
        let mut terminal = dhow.cmd("run -it --network none --detach-keys ctrl-a,x --name adrift busybox cat").pty(80, 24);
        terminal.send("hello\n");
        terminal.expect("hello\r\nhello");
        terminal.send("\x01x");
        assert_eq!(terminal.wait_for_end(), 0);
        crate::support::leaks::kill(&dhow.account, dhow.dir());
        dhow.cmd("run --rm -it --network none --detach-keys nonsense busybox cat").fails(125, &["nonsense"]);
    }

    fn the_terminal_is_restored_when_the_command_line_is_killed(dhow) {
        dhow.with_busybox();
        let mut terminal = dhow.run("-it busybox sh").pty(80, 24);
        terminal.expect("# ");
        terminal.signal(Signal::KILL);
        assert_eq!(terminal.wait_for_end(), 137);
        // Whoever restores it does so while it ends.
        dhow.settle();
        assert!(terminal.settings().local_modes.contains(LocalModes::ICANON | LocalModes::ECHO));
    }

    fn signals_are_passed_on(dhow) {
        dhow.with_busybox();
        let signals = [("TERM", Signal::TERM), ("INT", Signal::INT), ("HUP", Signal::HUP), ("USR1", Signal::USR1), ("QUIT", Signal::QUIT)];
        for (name, signal) in signals {
            let script = format!("trap 'echo got {name}; exit 9' {name}; echo ready; while :; do sleep 0.01; done");
            let running = dhow.run("busybox").sh(&script).start();
            running.expect("ready");
            running.signal(signal);
            let output = running.wait();
            assert_eq!((output.code, output.out()), (9, format!("ready\ngot {name}")), "{}", output.err());
        }
    }

    fn without_the_proxy_signals_end_the_command(dhow) {
        dhow.with_busybox();
        // docker 26's codes.
        for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129), (Signal::INT, 130)] {
            let running = dhow.cmd("run --name left --network none --sig-proxy=false busybox").sh("echo ready; exec sleep 1000").start();
            running.expect("ready");
            running.signal(signal);
            assert_eq!(running.wait().code, code);
            assert_eq!(dhow.cmd("inspect -f {{.State.Running}} left").ok().out(), "true");
            dhow.cmd("rm -f left").ok();
        }
    }

    fn signals_end_a_command_below_an_init(dhow) {
        dhow.with_busybox();
        let running = dhow.run("--init busybox").sh("echo ready; exec sleep 1000").start();
        running.expect("ready");
        running.signal(Signal::TERM);
        assert_eq!(running.wait().code, 143);
    }

    fn a_container_with_rm_dies_with_its_command_line(dhow) {
        dhow.with_busybox();
        let mut running = dhow.run("busybox").sh("echo ready; exec sleep 1000").start();
        running.expect("ready");
        running.child.kill().unwrap();
        running.wait();
        dhow.settle();
        assert_eq!(dhow.run("busybox echo next").ok().out(), "next");
        dhow.settle();
        let left = std::fs::read_dir(dhow.root().join("containers")).unwrap().flatten().filter(|entry| entry.file_name() != "by-name").count();
        assert_eq!(left, 0, "the next command removes what the killed one left");
    }
}
