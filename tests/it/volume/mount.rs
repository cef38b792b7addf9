//! Volumes in containers, and how long they live.

use std::fs;

use crate::support::containers::stopped;
use crate::support::{Dhow, Entry, Image, Layer, each_mode, fixtures};

/// An image with a file in `/data`.
fn seeded() -> Image {
    Image::new([
        fixtures::busybox_layer(),
        Layer::new([Entry::dir("data/"), Entry::file("data/seed", "seed\n")]),
    ])
}

fn names(dhow: &Dhow, options: &str) -> Vec<String> {
    dhow.cmd("volume ls -q").args(options.split_whitespace()).ok().lines()
}

each_mode! {
    fn a_directory_of_the_host_as_a_volume(dhow) {
        dhow.load(&seeded(), "seeded");
        let dir = dhow.make_dir("share");
        let device = format!("device={}", dir.display());
        dhow.cmd("volume create -o type=none -o o=bind -o").arg(&device).arg("share").ok();
        assert_eq!(dhow.run("-v share:/data seeded").sh("cat /data/seed; echo more >/data/more").ok().out(), "seed");
        assert_eq!(fs::read_to_string(dir.join("more")).unwrap(), "more\n");
        dhow.cmd("volume create -o type=none -o o=bind,ro -o").arg(&device).arg("shown").ok();
        dhow.run("-v shown:/data seeded touch /data/x").fails(1, &["ead-only"]);
        dhow.cmd("volume rm share").ok();
        assert!(dir.join("more").exists(), "the directory is the user's");
        fs::remove_dir_all(&dir).unwrap();
        dhow.run("-v shown:/data seeded true").fails(125, &["shown", "does not exist"]);
    }

    fn memory_as_a_volume(dhow) {
        dhow.with_busybox();
        let mount = "--mount src=quick,dst=/quick,volume-opt=type=tmpfs,volume-opt=device=tmpfs,volume-opt=o=size=1m,volume-label=kind=fast";
        let script = "grep ' /quick tmpfs ' /proc/mounts; touch /quick/file";
        let line = dhow.run(mount).arg("busybox").sh(script).ok().out();
        assert!(line.contains("size=1024k") && !line.contains("noexec"), "{line}");
        assert_eq!(names(dhow, "-f label=kind=fast"), ["quick"]);
        assert_eq!(dhow.run("-v quick:/q busybox ls /q").ok().out(), "");
        let first = dhow.run("--name first -v quick:/q busybox").sh("echo ready; exec sleep 1000").start();
        first.expect("ready");
        dhow.run("-v quick:/q busybox true").fails(125, &["quick", "first", "one running container"]);
        dhow.cmd("rm -f first").ok();
        first.wait();
        dhow.run("-v quick:/q busybox true").ok();
    }

    fn only_anonymous_volumes_go_with_a_container(dhow) {
        dhow.load(&seeded().set("Volumes", serde_json::json!({"/data": {}})), "seeded");
        for (flags, left) in [("", 3), ("-v", 1)] {
            stopped(dhow, "--name box -v named:/named -v /own seeded");
            dhow.cmd("rm").args(flags.split_whitespace()).arg("box").ok();
            assert_eq!(names(dhow, "").len(), left, "rm {flags}");
            dhow.cmd("volume prune -f").ok();
        }
        dhow.run("-v named:/named -v /own seeded true").ok();
        dhow.settle();
        assert_eq!(names(dhow, ""), ["named"]);
    }

    fn running_containers_share_a_volume(dhow) {
        dhow.with_busybox();
        let script = "echo ready; until test -e /v/go; do sleep 0.02; done; echo seen >/v/answer; cat /v/go";
        let first = dhow.run("-v shared:/v busybox").sh(script).start();
        first.expect("ready");
        let second = dhow.run("-v shared:/v busybox").sh("echo go >/v/go; until test -s /v/answer; do sleep 0.02; done; cat /v/answer");
        assert_eq!(second.ok().out(), "seen");
        assert!(first.wait().out().ends_with("go"));
    }

    fn many_first_users_fill_a_volume_once(dhow) {
        let entries: Vec<Entry> = std::iter::once(Entry::dir("data/"))
            .chain((0..300).map(|n| Entry::file(format!("data/{n}").leak(), "x"))).collect();
        dhow.load(&Image::new([fixtures::busybox_layer(), Layer::new(entries)]), "full");
        let runs: Vec<_> = (0..6).map(|_| dhow.run("-v fresh:/data full").sh("ls /data | wc -l").start()).collect();
        for run in runs {
            let output = run.wait();
            assert_eq!((output.code, output.out().as_str()), (0, "300"), "{}", output.err());
        }
    }

    fn part_of_a_volume(dhow) {
        dhow.with_busybox();
        dhow.run("-v parts:/p busybox").sh("mkdir -p /p/a/b; echo deep >/p/a/b/file; ln -s /etc /p/out").ok();
        let part = |path: &str| dhow.run(&format!("--mount src=parts,dst=/x,volume-subpath={path} busybox cat /x/file"));
        assert_eq!(part("a/b").ok().out(), "deep");
        part("a/none").fails(125, &["a/none"]);
        // A link leads nowhere but into the volume.
        part("out").fails(125, &["out"]);
        part("../../..").output();
        assert_eq!(dhow.run("--mount src=parts,dst=/x,volume-subpath=../.. busybox ls /x").ok().out(), "a\nout");
    }

    fn mounts_of_other_containers(dhow) {
        dhow.load(&seeded(), "seeded");
        let dir = dhow.make_dir("host");
        stopped(dhow, &format!("--name base -v named:/data -v /own -v {}:/host seeded", dir.display()));
        stopped(dhow, "--name more --volumes-from base:ro -v other:/other seeded");
        let seen = dhow.run("--volumes-from more seeded").sh("cat /data/seed; touch /host/x || touch /own/x || echo closed; ls -d /other");
        assert_eq!(seen.output().out(), "seed\nclosed\n/other");
        dhow.run("--volumes-from base seeded").sh("touch /host/x /own/y").ok();
        assert!(dir.join("x").exists());
        assert_eq!(dhow.run("--volumes-from base -v mine:/own seeded ls /own").ok().out(), "", "own mounts win");
        assert_eq!(dhow.run("--volumes-from base --volumes-from more seeded").sh("ls /own; ls -d /other").ok().out(), "y\n/other");
        assert_eq!(dhow.cmd("inspect -f {{.HostConfig.VolumesFrom}} more").ok().out(), "[base:ro]");
        dhow.run("--volumes-from nobody seeded true").fails(125, &["No such container: nobody"]);
        dhow.run("--volumes-from base:maybe seeded true").fails(125, &["maybe"]);
        // The anonymous volume goes with the last container that has it.
        dhow.cmd("rm -v base").ok();
        assert_eq!(names(dhow, "").len(), 4);
        dhow.cmd("rm -v more").ok();
        assert_eq!(names(dhow, ""), ["mine", "named", "other"]);
    }

    fn a_volume_that_was_emptied_stays_empty(dhow) {
        dhow.load(&seeded(), "seeded");
        dhow.cmd("volume create v1").ok();
        dhow.run("-v v1:/data seeded rm /data/seed").ok();
        // Another container is a first use again, as in docker.
        assert_eq!(dhow.run("-v v1:/data seeded ls /data").ok().out(), "seed");
        assert_eq!(dhow.run("-v v1:/data:nocopy seeded").sh("rm /data/seed; ls /data").ok().out(), "");
        assert_eq!(dhow.run("-v v1:/data:nocopy seeded ls /data").ok().out(), "");
    }

    fn exposed_ports_are_kept(dhow) {
        let image = seeded().set("ExposedPorts", serde_json::json!({"80/tcp": {}}));
        dhow.load(&image, "seeded");
        stopped(dhow, "--name box --expose 8000-8001 --expose 53/udp seeded");
        let ports = dhow.cmd("inspect -f").arg("{{json .Config.ExposedPorts}}").arg("box").ok().out();
        assert_eq!(ports, r#"{"53/udp":{},"80/tcp":{},"8000/tcp":{},"8001/tcp":{}}"#);
        dhow.run("--expose many seeded true").fails(125, &["invalid range format for --expose: many"]);
    }
}
