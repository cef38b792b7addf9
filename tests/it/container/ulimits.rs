//! Limits of processes: those that containers get, and those that dhow works under.

use crate::support::containers::{end, idle};
use crate::support::{Entry, Image, Layer, each_mode, fixtures};

/// Prints the soft and the hard limit of open files.
const SHOW: &str = "ulimit -n; ulimit -Hn";

/// As many layers as an image may have, one file in each, and one that each replaces.
fn many_layers() -> Image {
    let base = [Entry::dir("many"), Entry::file("last", "0\n")];
    let layer = |n: u32| {
        let mut entries = vec![Entry::file(format!("many/{n}"), "x"), Entry::file("last", format!("{n}\n"))];
        if n.is_multiple_of(10) {
            entries.push(Entry::file(format!("many/.wh.{}", n - 1), ""));
        }
        Layer::new(entries)
    };
    Image::new(
        fixtures::busybox().layers.iter().cloned().chain([Layer::new(base)]).chain((2..1000).map(layer)),
    )
}

each_mode! {
    fn more_than_the_account_may_have_is_as_much_as_it_may_have(dhow) {
        dhow.with_busybox();
        // docker 26 fails where the daemon's own limit is lower; it rarely is.
        let wanting = dhow.run("--ulimit nofile=9999 --ulimit stack=-1:-1 busybox").sh(SHOW);
        let said = wanting.after_shell("ulimit -n 500").warns("--ulimit nofile: this account may have 500 at most").ok();
        assert_eq!(said.lines(), ["500", "500"]);
        assert_eq!(said.err().matches("WARNING").count(), 1, "{}", said.err());
        let running = idle(dhow, "--name box --ulimit nofile=200:300 busybox");
        let inside = dhow.cmd("exec box").sh(SHOW).after_shell("ulimit -n 250").ok();
        assert_eq!(inside.lines(), ["200", "250"]);
        end(dhow, "box", running);
        dhow.write("context/Dockerfile", "FROM busybox\nRUN ulimit -n\n");
        let built = dhow.cmd("build --network none --progress plain --ulimit nofile=9999 context").cwd(dhow.dir()).after_shell("ulimit -n 400").output();
        assert!(built.err().contains("--ulimit nofile: this account may have 400 at most"), "{}", built.err());
    }

    fn containers_have_the_users_limit_of_open_files(dhow) {
        dhow.with_busybox();
        let limits = "ulimit -Sn 300; ulimit -Hn 600";
        assert_eq!(dhow.run("busybox").sh(SHOW).after_shell(limits).ok().lines(), ["300", "600"]);
        dhow.cmd("run -d --network none --name box busybox sleep 1000").after_shell(limits).ok();
        let inside = dhow.cmd("exec box").sh(SHOW).after_shell("ulimit -Sn 200; ulimit -Hn 500").ok();
        assert_eq!(inside.lines(), ["200", "500"]);
        dhow.cmd("rm -f box").ok();
    }

    fn a_thousand_layers_work_with_a_shells_limit(dhow) {
        dhow.load(&many_layers(), "many:latest");
        let shell = "ulimit -Sn 300";
        let script = "cat /last; ls /many | wc -l; rm -r /many; echo new >/last; ls /many";
        let run = dhow.cmd("run --network none --name box many").sh(script).after_shell(shell).output();
        assert_eq!(run.out().split_whitespace().collect::<Vec<_>>(), ["999", "899"], "{}", run.err());
        dhow.cmd("cp box:/last -").after_shell(shell).ok();
        dhow.cmd("cp box:/last copied").after_shell(shell).cwd(dhow.dir()).ok();
        assert_eq!(std::fs::read_to_string(dhow.dir().join("copied")).unwrap(), "new\n");
        dhow.cmd("rm box").ok();
        dhow.cmd("save -o archive many").after_shell(shell).cwd(dhow.dir()).ok();
        // Where even the hard limit does not do, it is named.
        dhow.cmd("load -qi archive").cwd(dhow.dir()).after_shell("ulimit -n 100").fails(1, &["Too many open files", "ulimit -Hn"]);
    }

    fn files_that_may_not_grow_are_an_error(dhow) {
        let archive = fixtures::docker_archive(fixtures::busybox(), "busybox:latest");
        for line in ["load -qi", "import"] {
            dhow.cmd(line).arg(&archive).after_shell("ulimit -f 10").fails(1, &["File too large", "ulimit -f"]);
        }
        assert_eq!(dhow.cmd("images -aq").ok().out(), "");
        dhow.with_busybox();
        dhow.cmd("save -o archive busybox").cwd(dhow.dir()).after_shell("ulimit -f 10").fails(1, &["File too large", "ulimit -f"]);
        assert!(!dhow.dir().join("archive").exists());
        dhow.cmd("create busybox").after_shell("ulimit -f 0").fails(1, &["File too large", "ulimit -f"]);
        // A program in a container is killed, as anywhere.
        let inside = dhow.run("busybox").sh("ulimit -f 1; head -c 100000 /dev/zero >/tmp/f; echo $?").output();
        assert!(inside.out().starts_with("153"), "{} {}", inside.out(), inside.err());
        assert_eq!(dhow.cmd("images -q").ok().lines().len(), 1);
    }
}
