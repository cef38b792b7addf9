//! Accidents: kill -9 at any moment, a full disk, unusual homes and data roots, many processes at once.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::disk::{Disk, Mounted};
use crate::support::{Dhow, Entry, Image, Layer, Registry, each_mode, fixtures, leave_out};

/// Images that share a layer and are large enough to be killed in the middle of.
fn image(salt: &str) -> Image {
    let files =
        (0..300).map(|n| Entry::file(format!("{salt}/{n}"), format!("{salt} {n}").repeat(300)).owner(n, n));
    Image::new([fixtures::busybox_layer(), Layer::new(files), Layer::new([Entry::file("salt", salt)])])
}

/// The names in a directory of the data root.
fn list(dhow: &Dhow, dir: &str) -> Vec<String> {
    let entries = fs::read_dir(dhow.root().join(dir))
        .map(|entries| entries.flatten().collect::<Vec<_>>())
        .unwrap_or_default();
    entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Asserts that everything works, and that nothing is left once everything is removed.
fn sound(dhow: &Dhow) {
    let archive = fixtures::docker_archive(fixtures::busybox(), "sound:1");
    dhow.cmd("load -q -i").arg(archive).ok();
    assert_eq!(dhow.run("sound:1 echo sound").ok().out(), "sound");
    dhow.cmd("images -a").ok();
    dhow.cmd("image prune -a -f").ok();
    dhow.settle();
    for dir in ["layers", "images", "names", "tmp", "trash"] {
        assert_eq!(list(dhow, dir), [""; 0], "{dir}");
    }
    let containers: Vec<String> =
        list(dhow, "containers").into_iter().filter(|name| name != "by-name").collect();
    assert_eq!(containers, [""; 0]);
}

/// Starts `command` and kills its process group after `after`; returns whether it was still running.
fn killed_after(dhow: &Dhow, command: crate::support::Cmd, after: Duration) -> bool {
    let mut running = command.start();
    let pidfd = rustix::process::pidfd_open(running.pid(), rustix::process::PidfdFlags::empty()).unwrap();
    let ended = crate::support::process::readable(std::os::fd::AsFd::as_fd(&pidfd), Instant::now() + after);
    running.kill();
    crate::support::leaks::kill(&dhow.account, dhow.dir());
    !ended
}

each_mode! {
    fn killed_while_loading(dhow) {
        let archive = fixtures::docker_archive(&image("load"), "load:1");
        let mut killed = 0;
        for step in 0..25 {
            killed += usize::from(killed_after(dhow, dhow.cmd("load -q -i").arg(&archive), Duration::from_millis(step * 4)));
            dhow.cmd("images").ok();
        }
        assert!(killed > 0, "the load was killed at least once");
        dhow.cmd("load -q -i").arg(&archive).ok();
        // One that was killed between the image and its name left the image alone: it has its name now.
        assert_eq!(dhow.cmd("images -q --filter dangling=true").ok().out(), "");
        assert_eq!(dhow.run("load:1 cat /salt").ok().out(), "load");
        sound(dhow);
    }

    fn killed_while_pulling(dhow) {
        let Some(registry) = Registry::plain() else { return };
        registry.push(&image("pull"), "pull:1");
        let name = registry.name("pull:1");
        let mut killed = 0;
        for step in 0..15 {
            killed += usize::from(killed_after(dhow, dhow.cmd("pull -q").arg(&name), Duration::from_millis(step * 6)));
            dhow.cmd("images").ok();
            dhow.cmd("rmi -f").arg(&name).output();
        }
        assert!(killed > 0, "the pull was killed at least once");
        dhow.cmd("pull -q").arg(&name).ok();
        assert_eq!(dhow.run("").args([&name, "cat", "/salt"]).ok().out(), "pull");
        sound(dhow);
    }

    fn killed_while_removing(dhow) {
        let archive = fixtures::docker_archive(&image("remove"), "remove:1");
        for step in 0..15 {
            dhow.cmd("load -q -i").arg(&archive).ok();
            killed_after(dhow, dhow.cmd("rmi remove:1"), Duration::from_millis(step * 2));
            // Whole or gone, and either way the next command says the same.
            if dhow.cmd("images -q remove:1").ok().out().is_empty() {
                dhow.run("--pull never remove:1 true").fails(125, &["remove:1"]);
            } else {
                assert_eq!(dhow.run("remove:1 cat /salt").ok().out(), "remove");
            }
        }
        sound(dhow);
    }

    fn killed_while_running(dhow) {
        dhow.with_busybox();
        for step in 0..25 {
            let command = dhow.run("--name again -v keep:/keep busybox").sh("echo started; i=0; while test $i -lt 2000; do i=$((i+1)); done");
            killed_after(dhow, command, Duration::from_millis(step * 2));
            // The name is free again: its holder is dead, whatever its record says.
            assert_eq!(dhow.run("--name again busybox echo next").ok().out(), "next");
        }
        assert_eq!(list(dhow, "volumes"), ["keep"]);
        dhow.cmd("rmi busybox").ok();
        sound(dhow);
    }

    fn a_log_that_fills_the_disk_stops_no_container(dhow) {
        let Some(disk) = Disk::mount(dhow, 16, &[]) else { return };
        let on_disk = |line: &str| dhow.cmd(line).env("DHOW_ROOT", disk.root());
        on_disk("load -q -i").arg(fixtures::docker_archive(fixtures::busybox(), "busybox:latest")).ok();
        let run = "run -d --network none --name chatty --log-opt max-size=-1 busybox";
        on_disk(run).sh("head -c 30000000 /dev/zero | tr '\\0' x; echo; mkdir /done; exec sleep 1000").ok();
        let deadline = Instant::now() + Duration::from_secs(60);
        while !on_disk("exec chatty ls /").output().out().contains("done") {
            assert!(Instant::now() < deadline, "the container stands still");
            let full = rustix::fs::statvfs(disk.path()).unwrap().f_bavail == 0;
            // With no room at all it cannot make the directory; that it got so far is what counts.
            if full && on_disk("exec chatty ps").output().out().contains("sleep 1000") {
                break;
            }
        }
        on_disk("ps").ok();
        on_disk("stop -t 0 chatty").output();
        assert_eq!(on_disk("ps -q").ok().out(), "");
        on_disk("rm -f chatty").ok();
        assert_eq!(on_disk("run --rm --network none busybox echo works").ok().out(), "works");
        on_disk("rmi busybox").ok();
    }

    fn a_full_disk_is_said_and_leaves_nothing(dhow) {
        let Some(disk) = Disk::mount(dhow, 16, &[]) else { return };
        let noise: Vec<Entry> = (0..60).map(|n| Entry::file(format!("big/{n}"), vec![n; 1 << 20])).collect();
        let large = Image::new([fixtures::busybox_layer(), Layer::new(noise)]);
        let archive = fixtures::docker_archive(&large, "large:1");
        let output = dhow.cmd("load -q -i").arg(archive).env("DHOW_ROOT", disk.root()).output();
        assert_eq!(output.code, 1, "{}", output.err());
        assert!(output.err().contains("the disk is full") && output.err().contains("system prune"), "{}", output.err());
        let on_disk = |line: &str| dhow.cmd(line).env("DHOW_ROOT", disk.root());
        assert_eq!(on_disk("images -aq").ok().out(), "");
        // What was half made gave its space back.
        let small = fixtures::docker_archive(fixtures::busybox(), "small:1");
        on_disk("load -q -i").arg(small).ok();
        assert_eq!(on_disk("run --rm --network none small:1 echo fits").ok().out(), "fits");
        let filled = on_disk("run --rm --network none small:1").sh("dd if=/dev/zero of=/fill bs=1M 2>&1 | grep -c 'No space left'").output();
        assert_eq!(filled.out(), "1", "{}", filled.err());
        assert_eq!(on_disk("run --rm --network none small:1 echo again").ok().out(), "again");
        on_disk("rmi small:1").ok();
        assert_eq!(on_disk("images -aq").ok().out(), "");
    }

    fn a_disk_that_is_full_to_the_brim_still_lists_and_removes(dhow) {
        let Some(disk) = Disk::mount(dhow, 16, &[]) else { return };
        let on_disk = |line: &str| dhow.cmd(line).env("DHOW_ROOT", disk.root());
        on_disk("load -q -i").arg(fixtures::docker_archive(fixtures::busybox(), "small:1")).ok();
        let filler = disk.root().parent().unwrap().join("filler");
        dhow.tool("sh -c").arg(format!("cat /dev/zero >{} 2>/dev/null; true", filler.display())).ok();
        on_disk("images").ok();
        on_disk("tag small:1 small:2").output();
        let run = on_disk("run --rm --network none small:1 true").output();
        assert!(run.code == 0 || run.err().contains("the disk is full"), "{}", run.err());
        on_disk("rmi -f small:1").output();
        fs::remove_file(&filler).unwrap();
        on_disk("load -q -i").arg(fixtures::docker_archive(fixtures::busybox(), "small:1")).ok();
        assert_eq!(on_disk("run --rm --network none small:1 echo well").ok().out(), "well");
    }

    fn a_home_that_cannot_be_written(dhow) {
        if !crate::support::account::is_root() {
            leave_out("a home on a read-only file system needs root to mount it");
            return;
        }
        dhow.with_busybox();
        let closed = Mounted::new(&dhow.make_dir("closed"), &["-t", "tmpfs", "-o", "ro", "none"]);
        assert_eq!(dhow.run("busybox echo well").env("HOME", &closed.0).ok().out(), "well");
        let refused = dhow.cmd("load").stdin("x").env("HOME", &closed.0).env_remove("DHOW_ROOT").output();
        assert_eq!(refused.code, 1);
        assert!(refused.err().contains(closed.0.to_str().unwrap()), "{}", refused.err());
        assert!(refused.err().contains("Read-only file system"), "{}", refused.err());
    }

    fn without_a_runtime_directory(dhow) {
        dhow.with_busybox();
        assert_eq!(dhow.run("busybox echo well").env_remove("XDG_RUNTIME_DIR").ok().out(), "well");
        assert_eq!(dhow.run("busybox echo well").env("XDG_RUNTIME_DIR", "/no/such/dir").ok().out(), "well");
        assert_eq!(dhow.run("busybox echo well").env("XDG_RUNTIME_DIR", "/proc").ok().out(), "well");
    }

    fn without_any_environment(dhow) {
        dhow.with_busybox();
        let command = dhow.run("busybox echo well").env_remove("PATH").env_remove("USER").env_remove("LANG").env_remove("TERM").env_remove("HOME");
        assert_eq!(command.ok().out(), "well");
    }

    fn data_roots_of_odd_names(dhow) {
        for name in ["with space", "co:lon", "com,ma", "back\\slash", "quo\"te", "ünïcode", "new\nline", "-dash", &"l".repeat(200)] {
            let root = dhow.dir().join("roots").join(name);
            fs::create_dir_all(root.parent().unwrap()).unwrap();
            dhow.give(root.parent().unwrap());
            dhow.cmd("load -q -i").arg(fixtures::docker_archive(fixtures::busybox(), "odd:1")).env("DHOW_ROOT", &root).ok();
            let output = dhow.run("odd:1 echo well").env("DHOW_ROOT", &root).ok();
            assert_eq!(output.out(), "well", "{name:?}");
        }
    }

    fn the_default_data_root_is_below_the_home(dhow) {
        let archive = fixtures::docker_archive(fixtures::busybox(), "home:1");
        dhow.cmd("load -q -i").arg(&archive).env_remove("DHOW_ROOT").ok();
        assert!(dhow.home().join(".local/share/dhow/layers").is_dir());
        dhow.cmd("load -q -i").arg(&archive).env_remove("DHOW_ROOT").env("XDG_DATA_HOME", dhow.home().join("data")).ok();
        assert!(dhow.home().join("data/dhow/layers").is_dir());
    }

    fn many_runs_at_once(dhow) {
        dhow.with_busybox();
        let runs: Vec<_> = (0..32).map(|n| dhow.run("busybox echo").arg(n.to_string()).start()).collect();
        for (n, run) in runs.into_iter().enumerate() {
            let output = run.wait();
            assert_eq!((output.code, output.out(), output.err()), (0, n.to_string(), String::new()));
        }
        dhow.cmd("rmi busybox").ok();
        sound(dhow);
    }

    fn many_loads_of_one_image_at_once(dhow) {
        let archive = fixtures::docker_archive(&image("together"), "together:1");
        let loads: Vec<_> = (0..6).map(|_| dhow.cmd("load -q -i").arg(&archive).start()).collect();
        for load in loads {
            let output = load.wait();
            assert_eq!(output.code, 0, "{}", output.err());
        }
        assert_eq!(dhow.run("together:1 cat /salt").ok().out(), "together");
        sound(dhow);
    }

    fn loading_running_and_removing_at_once(dhow) {
        let archives: Vec<PathBuf> = ["one", "two"].map(|salt| fixtures::docker_archive(&image(salt), &format!("{salt}:1"))).into();
        let until = Instant::now() + Duration::from_secs(4);
        thread::scope(|scope| {
            for (archive, salt) in archives.iter().zip(["one", "two"]) {
                scope.spawn(move || while Instant::now() < until {
                    let output = dhow.cmd("load -q -i").arg(archive).output();
                    assert_eq!(output.code, 0, "{}", output.err());
                });
                scope.spawn(move || while Instant::now() < until {
                    let output = dhow.run(&format!("--pull never {salt}:1 cat /salt")).output();
                    let gone = output.code == 125 && output.err().contains(&format!("{salt}:1"));
                    assert!(gone || (output.code == 0 && output.out() == salt), "{} {} {}", output.code, output.out(), output.err());
                });
                scope.spawn(move || while Instant::now() < until {
                    let output = dhow.cmd(&format!("rmi -f {salt}:1")).output();
                    assert!(!output.err().contains("panicked"), "{}", output.err());
                });
            }
            scope.spawn(move || while Instant::now() < until {
                dhow.cmd("images -a").ok();
                let output = dhow.cmd("image prune -f").output();
                assert_eq!(output.code, 0, "{}", output.err());
            });
        });
        sound(dhow);
    }
}
