//! `cp` with images and containers that play tricks, and copies that are killed.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use super::{both, tree};
use crate::support::containers::running;
use crate::support::{Dhow, Entry, Image, Layer, each_mode, fixtures};

/// Waits for a process of this test for which `wanted` is true.
fn visitor_of(dhow: &Dhow, wanted: &dyn Fn(i32) -> bool) -> i32 {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        for process in dhow.processes() {
            let pid = process.pid.as_raw_nonzero().get();
            if process.command.contains(" cp ") && wanted(pid) {
                return pid;
            }
        }
        assert!(std::time::Instant::now() < deadline, "nobody visits: {:?}", dhow.processes());
        std::thread::yield_now();
    }
}

fn remove_all(dhow: &Dhow, dir: &Path) {
    let _ = dhow;
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            fs::remove_dir_all(path).unwrap()
        } else {
            fs::remove_file(path).unwrap()
        }
    }
}

each_mode! {
    fn links_in_an_image_lead_nowhere_else(dhow) {
        let secret = dhow.write("secret", "secret\n");
        let layer = Layer::new([
            Entry::symlink("abs", dhow.dir().to_str().unwrap()),
            Entry::symlink("up", "../../../../../../../../.."),
            Entry::symlink("proc-root", "/proc/self/root"),
            Entry::symlink("to-secret", secret.to_str().unwrap()),
        ]);
        dhow.load(&Image::new([fixtures::busybox_layer(), layer]), "links");
        let file = dhow.write("home/file", "mine\n");
        both(dhow, "", "links", "true", |name| {
            for dir in ["/abs", "/up/var/tmp", &format!("/up{}", dhow.dir().display()), "/proc-root", "/../../.."] {
                dhow.cmd("cp").arg(format!("{name}:{dir}/secret")).arg(dhow.home().join("stolen")).fails(1, &["Could not find"]);
                dhow.cmd("cp").arg(&file).arg(format!("{name}:{dir}/secret")).output();
            }
            dhow.cmd("cp -L").arg(format!("{name}:/to-secret")).arg(dhow.home().join("stolen")).fails(1, &[]);
            dhow.cmd("cp").arg(&file).arg(format!("{name}:/to-secret")).output();
            assert!(!dhow.home().join("stolen").exists());
            assert_eq!(fs::read_to_string(&secret).unwrap(), "secret\n");
        });
    }

    fn a_container_that_swaps_links_does_not_win(dhow) {
        dhow.with_busybox();
        let outside = dhow.make_dir("outside");
        dhow.write("outside/file", "secret\n");
        dhow.write("outside/target", "untouched\n");
        fs::set_permissions(&outside, fs::Permissions::from_mode(0o777)).unwrap();
        let script = format!(
            "mkdir -p /real /swap; echo inside >/real/file; echo inside >/swap/file\n\
             (while :; do mv /swap /aside; ln -s {0} /swap; rm /swap; ln -s /proc/1/root{0} /swap; rm /swap; mv /aside /swap; done) 2>/dev/null &\n\
             (while :; do ln -sf {0}/file /real/l; rm /real/l; echo inside >/real/l; rm /real/l; mkdir /real/l; rmdir /real/l; done) 2>/dev/null &",
            outside.display(),
        );
        let run = running(dhow, "--name race", "busybox", &script);
        let file = dhow.write("home/mine", "mine\n");
        let stolen = dhow.make_dir("stolen");
        for round in 0..60 {
            let into = ["/swap/target", "/swap/new", "/real/l", "/swap/"][round % 4];
            dhow.cmd("cp").arg(&file).arg(format!("race:{into}")).output();
            let out = ["/swap/file", "/swap/.", "/real/l", "/swap"][round % 4];
            dhow.cmd("cp -L").arg(format!("race:{out}")).arg(&stolen).output();
            assert_eq!(tree(&outside), ["file=secret", "target=untouched"], "round {round}");
            for found in tree(&stolen) {
                assert!(!found.contains("secret"), "round {round}: {found}");
            }
            remove_all(dhow, &stolen);
        }
        dhow.cmd("rm -f race").ok();
        run.wait();
    }

    fn who_visits_a_container_cannot_be_looked_into(dhow) {
        if !crate::support::account::is_root() {
            crate::support::leave_out("who is not root cannot look at what is not dumpable");
            return;
        }
        dhow.with_busybox();
        let run = running(dhow, "--name box --pid host", "busybox", "true");
        let first: i32 = dhow.cmd("inspect -f {{.State.Pid}} box").ok().out().parse().unwrap();
        let namespace = |pid: i32, name: &str| fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap_or_default();
        let mut copy = dhow.cmd("cp - box:/tmp").start_piped();
        let visitor = visitor_of(dhow, &|pid| namespace(pid, "mnt") == namespace(first, "mnt"));
        assert_eq!(namespace(visitor, "user"), namespace(first, "user"));
        // Its files in /proc belong to the host's root: nobody else may read or write them.
        assert_eq!(fs::metadata(format!("/proc/{visitor}/mem")).unwrap().uid(), 0);
        assert_eq!(fs::metadata(format!("/proc/{visitor}/root/bin/busybox")).unwrap().ino(), fs::metadata(format!("/proc/{first}/root/bin/busybox")).unwrap().ino());
        for entry in fs::read_dir(format!("/proc/{visitor}/fd")).unwrap().map(Result::unwrap) {
            let target = fs::read_link(entry.path()).unwrap().display().to_string();
            let number: i32 = entry.file_name().to_str().unwrap().parse().unwrap();
            match number {
                0 | 2 => assert!(target.starts_with("socket:"), "{number}: {target}"),
                1 => assert!(target.starts_with("pipe:"), "{target}"),
                _ => assert_eq!(target, "/", "{number}"),
            }
        }
        let status = fs::read_to_string(format!("/proc/{visitor}/status")).unwrap();
        let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap().trim();
        assert_eq!(u64::from_str_radix(effective, 16).unwrap() & !(0x1f | 1 << 31), 0, "{effective}");
        let script = format!(
            "cd /proc/{visitor} && cat environ maps; for link in exe cwd root fd/0 fd/1 fd/3; do readlink $link; done; ls fd"
        );
        let spied = dhow.cmd("exec box").sh(&script).output();
        assert!(spied.code != 0 && spied.out().is_empty(), "{}", spied.out());
        drop(copy.child.stdin.take());
        copy.wait();
        dhow.cmd("rm -f box").ok();
        run.wait();
    }

    fn a_copy_that_is_killed_leaves_nothing_behind(dhow) {
        dhow.with_busybox();
        let run = running(dhow, "--name live", "busybox", "true");
        dhow.cmd("create --network none --name dead busybox true").ok();
        let archive = Layer::new([Entry::file("half", vec![b'x'; 100_000])]).0;
        for name in ["live", "dead"] {
            let mut copy = dhow.cmd("cp -").arg(format!("{name}:/tmp")).start_piped();
            std::io::Write::write_all(copy.child.stdin.as_mut().unwrap(), &archive[..50_000]).unwrap();
            visitor_of(dhow, &|pid| fs::read_link(format!("/proc/{pid}/fd/1")).is_ok_and(|to| to.starts_with("pipe:") || to.display().to_string().starts_with("pipe:"))
                && fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("cp")));
            rustix::process::kill_process(copy.pid(), rustix::process::Signal::KILL).unwrap();
            assert_eq!(copy.wait().code, 137);
        }
        dhow.cmd("rm -f live").ok();
        run.wait();
        dhow.cmd("start -a dead").ok();
        dhow.cmd("rm dead").ok();
    }

    fn hostile_names_of_a_container_stay_in_their_directory(dhow) {
        dhow.with_busybox();
        // The tree that is copied out changes under the copy: links where directories were, and the other way round.
        let victim = dhow.write("victim/file", "untouched\n");
        let script = format!(
            "mkdir -p /d; (while :; do mkdir -p /d/a/b; echo x >/d/a/b/file; rm -rf /d/a; ln -s {0} /d/a; rm /d/a; done) 2>/dev/null &",
            victim.parent().unwrap().display(),
        );
        let run = running(dhow, "--name race", "busybox", &script);
        let target = dhow.make_dir("target");
        for _ in 0..40 {
            // The same target again and again: what one round left behind must not mislead the next.
            dhow.cmd("cp race:/d/.").arg(&target).output();
            assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched\n");
            assert_eq!(tree(victim.parent().unwrap()), ["file=untouched"]);
        }
        dhow.cmd("rm -f race").ok();
        run.wait();
    }
}
