//! `top`: the processes of a container and no others.

use crate::support::{Dhow, each_mode, have_programs};

/// A `PATH` without `ps`.
const NOWHERE: &str = "/no/such/dir";

/// A script with three processes: itself and two others.
const THREE: &str = "sleep 61234 & sleep 62345 & wait";

/// Starts the container `box` in the background with `options` and `script`, and waits until it has `sleeps` sleeping
/// processes.
fn start(dhow: &Dhow, options: &str, script: &str, sleeps: usize) {
    dhow.with_busybox();
    let words = format!("{options} busybox");
    dhow.cmd("run -d --network none --name box").args(words.split_whitespace()).sh(script).ok();
    if sleeps > 0 {
        let wait = format!("until test $(ps -o args | grep -c '^sleep 6') = {sleeps}; do :; done");
        dhow.cmd("exec box").sh(&wait).ok();
    }
}

/// The lines of `top` with these options, split into words.
fn top(dhow: &Dhow, options: &str, path: Option<&str>) -> Vec<Vec<String>> {
    let mut command = dhow.cmd("top box").args(options.split_whitespace());
    if let Some(path) = path {
        command = command.after_shell(&format!("PATH={path}"));
    }
    command.ok().lines().iter().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

/// The last column of each line below the titles, sorted.
fn commands(lines: &[Vec<String>], titles: usize) -> Vec<String> {
    let mut commands: Vec<String> = lines[1..].iter().map(|line| line[titles - 1..].join(" ")).collect();
    commands.sort();
    commands
}

each_mode! {
    fn the_processes_of_the_container_are_shown(dhow) {
        start(dhow, "", THREE, 2);
        dhow.cmd("exec -d box sleep 63456").ok();
        dhow.cmd("exec box").sh("until test $(ps -o args | grep -c '^sleep 6') = 3; do :; done").ok();
        let shown = top(dhow, "", None);
        assert_eq!(shown[0].join(" "), "UID PID PPID C STIME TTY TIME CMD");
        assert_eq!(commands(&shown, 8), ["sh -c sleep 61234 & sleep 62345 & wait", "sleep 61234", "sleep 62345", "sleep 63456"]);
        // As the host sees them: its own numbers, the account's own name.
        let first = dhow.cmd("inspect -f {{.State.Pid}} box").ok().out();
        assert_eq!((shown[1][1].as_str(), shown[1][0].as_str()), (first.as_str(), dhow.account.name.as_str()));
        assert_eq!(shown[2][2], first);
        // docker's columns are twenty wide.
        let text = dhow.cmd("top box").ok().out();
        assert!(text.starts_with("UID                 PID                 PPID                C  "), "{text}");
        dhow.cmd("rm -f box").ok();
    }

    fn other_users_are_shown_by_number(dhow) {
        start(dhow, "-u 1000", "exec sleep 61234", 1);
        let shown = top(dhow, "", None);
        let expected = if dhow.mode == crate::support::Mode::Mapped { None } else { Some(dhow.account.name.clone()) };
        match expected {
            Some(name) => assert_eq!(shown[1][0], name),
            None => assert!(shown[1][0].parse::<u32>().is_ok_and(|uid| uid > 1000), "{shown:?}"),
        }
        dhow.cmd("rm -f box").ok();
    }

    fn options_are_those_of_the_hosts_ps(dhow) {
        if !have_programs(&["ps"]) {
            return;
        }
        start(dhow, "", THREE, 2);
        for (options, titles) in [("-ef", 8), ("aux", 11), ("-o pid,comm", 2), ("-eo pid,args", 2), ("-e -f --forest", 8)] {
            let shown = top(dhow, options, None);
            assert_eq!(shown[0].len(), titles, "{options}: {shown:?}");
            assert_eq!(shown.len(), 4, "{options}: {shown:?}");
        }
        dhow.cmd("top box -o comm").fails(1, &["PID"]);
        dhow.cmd("top box -o pid=X,comm").fails(1, &["pid=X"]);
        dhow.cmd("top box -o no-such-column,pid").fails(1, &["no-such-column"]);
        dhow.cmd("rm -f box").ok();
    }

    fn without_a_ps_on_the_host(dhow) {
        start(dhow, "", THREE, 2);
        for (options, titles) in [("-ef", 8), ("aux", 11), ("-o pid,comm", 2), ("-eo user,pid,ppid,args", 4)] {
            let shown = top(dhow, options, Some(NOWHERE));
            assert_eq!(shown[0].len(), titles, "{options}: {shown:?}");
            assert_eq!(shown.len(), 4, "{options}: {shown:?}");
        }
        assert_eq!(commands(&top(dhow, "-o pid,comm", Some(NOWHERE)), 2), ["sh", "sleep", "sleep"]);
        dhow.cmd("top box -o pid,wchan").after_shell(&format!("PATH={NOWHERE}")).fails(1, &["wchan", "not installed"]);
        dhow.cmd("rm -f box").ok();
    }

    fn with_the_hosts_process_table(dhow) {
        start(dhow, "--pid host", "sleep 61234 & exec sleep 62345", 0);
        dhow.cmd("exec box").sh("until ps -o args | grep -q '^sleep 61234' && ps -o args | grep -q '^sleep 62345'; do :; done").ok();
        assert_eq!(commands(&top(dhow, "", None), 8), ["sleep 61234", "sleep 62345"]);
        dhow.cmd("rm -f box").ok();
        crate::support::leaks::kill(&dhow.account, dhow.dir());
    }

    fn a_container_that_does_not_run_has_none(dhow) {
        start(dhow, "", "exit 0", 0);
        dhow.cmd("wait box").ok();
        dhow.cmd("top box").fails(1, &["is not running"]);
        dhow.cmd("top absent").fails(1, &["No such container: absent"]);
        dhow.cmd("top").fails(1, &["missing argument: CONTAINER"]);
        dhow.cmd("rm box").ok();
    }
}
