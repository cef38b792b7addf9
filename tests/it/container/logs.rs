//! `logs`: every driver, `--tail`, `--since`, `--follow`, rotation, and damaged log files.

use std::fs;

use crate::support::{Dhow, each_mode};

/// Runs `script` to its end in the container `name`, whose log is kept.
fn logged(dhow: &Dhow, name: &str, options: &str, script: &str) {
    let line = format!("run -d --network none --name {name} {options} busybox");
    dhow.cmd(&line).sh(script).ok();
    dhow.cmd("wait").arg(name).ok();
}

fn lines(dhow: &Dhow, line: &str) -> Vec<String> {
    dhow.cmd(line).ok().out().lines().map(ToOwned::to_owned).collect()
}

each_mode! {
    fn both_streams_are_kept_apart(dhow) {
        dhow.with_busybox();
        logged(dhow, "both", "", "echo out; echo err >&2; printf end");
        let output = dhow.cmd("logs both").warns("err").ok();
        assert_eq!((output.stdout, output.stderr), (b"out\nend".to_vec(), b"err\n".to_vec()));
        let output = dhow.cmd("logs -t both").warns("err").ok();
        let stamp = output.out().split(' ').next().unwrap().to_owned();
        assert!(stamp.len() == "2026-01-02T03:04:05.123456789Z".len() && stamp.ends_with('Z'), "{stamp}");
        dhow.cmd("rm both").ok();
        dhow.cmd("logs both").fails(1, &["No such container: both"]);
    }

    fn the_last_lines_and_those_of_a_time(dhow) {
        dhow.with_busybox();
        logged(dhow, "many", "", "seq 1 1000");
        assert_eq!(lines(dhow, "logs many").len(), 1000);
        assert_eq!(lines(dhow, "logs -n 3 many"), ["998", "999", "1000"]);
        assert_eq!(lines(dhow, "logs --tail 0 many"), [""; 0]);
        assert_eq!(lines(dhow, "logs --tail all many").len(), 1000);
        assert_eq!(lines(dhow, "logs --since 1h many").len(), 1000);
        assert_eq!(lines(dhow, "logs --until 1h many").len(), 0);
        let times = lines(dhow, "logs -t many");
        let (time, last) = times.last().unwrap().split_once(' ').unwrap();
        assert_eq!(last, "1000");
        assert_eq!(lines(dhow, &format!("logs --since {time} many")).last().unwrap(), "1000");
        dhow.cmd("logs --since yesterday many").fails(1, &["yesterday"]);
        dhow.cmd("rm many").ok();
    }

    fn following_ends_with_the_container(dhow) {
        dhow.with_busybox();
        dhow.cmd("run -d -i --network none --name talk busybox").sh("while read x; do echo $x; done; echo over").ok();
        let follow = dhow.cmd("logs -f talk").start();
        let input: String = (0..500).map(|number| format!("{number}\n")).collect();
        let mut attached = dhow.cmd("attach talk").start_piped();
        std::io::Write::write_all(attached.child.stdin.as_mut().unwrap(), input.as_bytes()).unwrap();
        while !dhow.cmd("logs -n 1 talk").ok().out().contains("499") {}
        attached.kill();
        dhow.cmd("kill -s KILL talk").ok();
        assert_eq!(follow.wait().out().lines().count(), 500);
        dhow.cmd("rm talk").ok();
    }

    fn files_turn_over(dhow) {
        dhow.with_busybox();
        for driver in ["json-file", "local"] {
            let options = format!("--log-driver {driver} --log-opt max-size=20k --log-opt max-file=3");
            logged(dhow, "turning", &options, "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done");
            let kept = lines(dhow, "logs turning");
            assert!(kept.len() > 300 && kept.len() < 2000, "{driver} {}", kept.len());
            assert_eq!(kept.last().unwrap(), "line 1999");
            let numbers: Vec<u32> = kept.iter().map(|line| line[5..].parse().unwrap()).collect();
            assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{driver}");
            assert_eq!(lines(dhow, "logs -n 700 turning"), kept[kept.len().saturating_sub(700)..], "{driver}");
            let dir = dhow.root().join("containers").join(dhow.cmd("inspect -f {{.Id}} turning").ok().out());
            let names: Vec<String> = fs::read_dir(dir).unwrap().flatten()
                .map(|entry| entry.file_name().into_string().unwrap())
                .filter(|name| name.starts_with("output.log")).collect();
            assert_eq!(names.len(), 3, "{names:?}");
            assert_eq!(names.iter().any(|name| name.ends_with(".zst")), driver == "local");
            dhow.cmd("rm turning").ok();
        }
    }

    fn following_goes_on_over_turns(dhow) {
        dhow.with_busybox();
        let script = "read x; i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done";
        dhow.cmd("run -d -i --network none --name fast --log-opt max-size=40k --log-opt max-file=20 busybox").sh(script).ok();
        let follow = dhow.cmd("logs -f fast").start();
        let mut attached = dhow.cmd("attach fast").start_piped();
        std::io::Write::write_all(attached.child.stdin.as_mut().unwrap(), b"go\n").unwrap();
        let followed = follow.wait().out();
        let followed: Vec<&str> = followed.lines().collect();
        assert_eq!(followed.len(), 3000);
        assert_eq!(followed[2999], "line 2999");
        attached.wait();
        dhow.cmd("rm fast").ok();
    }

    fn no_driver_keeps_nothing(dhow) {
        dhow.with_busybox();
        logged(dhow, "silent", "--log-driver none", "echo lost");
        dhow.cmd("logs silent").fails(1, &["does not support reading"]);
        assert_eq!(dhow.cmd("inspect -f {{.HostConfig.LogConfig.Type}} silent").ok().out(), "none");
        dhow.cmd("rm silent").ok();
        for options in ["--log-driver syslog", "--log-driver nonsense", "--log-opt nonsense=1", "--log-opt max-file=0"] {
            dhow.cmd(&format!("create {options} busybox")).fails(125, &["log"]);
        }
    }

    fn extras_go_along(dhow) {
        dhow.with_busybox();
        let options = "--label a=1 -e B=2 --log-opt labels=a --log-opt env=B --log-opt tag={{.Name}}";
        logged(dhow, "extra", options, "echo x");
        assert_eq!(dhow.cmd("logs --details extra").ok().out(), "B=2,a=1,tag=extra x");
        dhow.cmd("rm extra").ok();
    }

    fn in_the_foreground_a_log_is_kept_unless_nobody_could_read_it(dhow) {
        dhow.with_busybox();
        dhow.cmd("run --network none --name front busybox echo kept").ok();
        assert_eq!(dhow.cmd("logs front").ok().out(), "kept");
        dhow.cmd("rm front").ok();
        let mut direct = dhow.run("-i --name direct busybox cat").start_piped();
        while dhow.cmd("ps -q").ok().out().is_empty() {}
        dhow.cmd("attach direct").fails(1, &["goes straight to the command"]);
        drop(direct.child.stdin.take());
        direct.wait();
        let output = dhow.run("--log-driver json-file --name told busybox").sh("echo both ways").ok();
        assert_eq!(output.out(), "both ways");
    }

    fn a_reader_that_goes_away_is_no_error(dhow) {
        dhow.with_busybox();
        logged(dhow, "long", "", "seq 1 100000; seq 1 100000 >&2");
        let dhow_logs = format!("{} logs long", crate::support::fixtures::binary().display());
        for pipe in ["2>/dev/null | head -n 1", "2>&1 >/dev/null | head -n 1"] {
            let script = format!("{dhow_logs} {pipe}; echo ${{PIPESTATUS[0]}}");
            // 128 + SIGPIPE, which kills docker.
            assert_eq!(dhow.tool("bash -c").arg(&script).ok().lines(), ["1", "141"], "{pipe}");
        }
        dhow.cmd("rm long").ok();
    }

    fn binary_and_long_lines(dhow) {
        dhow.with_busybox();
        logged(dhow, "odd", "", "head -c 100000 /dev/zero | tr '\\0' x; echo; printf '\\377\\n'");
        let output = dhow.cmd("logs odd").ok();
        assert_eq!(output.stdout.iter().filter(|byte| **byte == b'x').count(), 100_000);
        assert!(output.out().ends_with('\u{fffd}'));
        dhow.cmd("rm odd").ok();
    }

    fn a_torn_log_is_read_as_far_as_it_goes(dhow) {
        dhow.with_busybox();
        logged(dhow, "torn", "", "echo one");
        let dir = dhow.root().join("containers").join(dhow.cmd("inspect -f {{.Id}} torn").ok().out());
        let mut log = fs::OpenOptions::new().append(true).open(dir.join("output.log")).unwrap();
        std::io::Write::write_all(&mut log, b"{\"log\":\"half").unwrap();
        dhow.cmd("start -a torn").ok();
        assert_eq!(dhow.cmd("logs torn").ok().out(), "one\none");
        dhow.cmd("rm torn").ok();
    }
}
