//! Volumes: the commands about them, what containers see of them, and how long they live.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs;

use support::{Dhow, Entry, Image, Layer, each_mode, fixtures};

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

/// Made and ended, not removed.
fn stopped(dhow: &Dhow, options: &str) {
    dhow.cmd("run --network none").args(options.split_whitespace()).arg("true").ok();
}

each_mode! {
    fn made_listed_inspected_and_removed(dhow) {
        assert_eq!(dhow.cmd("volume create --label tier=back -d local boxes").ok().out(), "boxes");
        assert_eq!(dhow.cmd("volume create boxes").ok().out(), "boxes", "once more is no error");
        let anonymous = dhow.cmd("volume create").ok().out();
        assert!(anonymous.len() == 64 && anonymous.bytes().all(|byte| byte.is_ascii_hexdigit()), "{anonymous}");
        assert_eq!(dhow.cmd("volume ls").ok().lines()[0], "DRIVER    VOLUME NAME");
        assert_eq!(dhow.cmd("volume ls -f name=box").ok().lines()[1], "local     boxes");
        assert_eq!(names(dhow, "-f label=tier=back"), ["boxes"]);
        assert_eq!(names(dhow, "-f label=tier=front"), [""; 0]);
        assert_eq!(names(dhow, "-f driver=local -f label=com.docker.volume.anonymous"), [anonymous.as_str()]);
        let format = "{{.Driver}} {{.Scope}} {{.Label \"tier\"}} {{.Labels}} {{.Mountpoint}} {{.Links}}";
        let line = dhow.cmd("volume ls -f name=boxes --format").arg(format).ok().out();
        let data = dhow.root().join("volumes/boxes/_data");
        assert_eq!(line, format!("local local back tier=back {} N/A", data.display()));
        let shown = dhow.cmd("volume inspect boxes").ok().json();
        assert_eq!(shown[0]["Labels"]["tier"], "back");
        assert_eq!(dhow.cmd("volume inspect -f {{.Mountpoint}} boxes").ok().out(), data.display().to_string());
        dhow.cmd("volume inspect nothing").fails(1, &["get nothing: no such volume"]);
        assert_eq!(dhow.cmd("volume rm boxes").arg(&anonymous).ok().lines(), ["boxes", anonymous.as_str()]);
        dhow.cmd("volume rm boxes").fails(1, &["no such volume"]);
        assert_eq!(dhow.cmd("volume rm -f boxes").ok().out(), "boxes");
        assert_eq!(names(dhow, ""), [""; 0]);
    }

    fn what_cannot_be_had_is_refused_when_it_is_asked_for(dhow) {
        dhow.cmd("volume create -d nfs x1").fails(1, &["plugin \"nfs\" not found"]);
        dhow.cmd("volume create -o type=nfs -o o=addr=192.0.2.1 -o device=:/x x1").fails(1, &["by root only", "o=bind"]);
        dhow.cmd("volume create -o size=1g x1").fails(1, &["quota"]);
        dhow.cmd("volume create -o colour=red x1").fails(1, &["invalid option: \"colour\""]);
        dhow.cmd("volume create -o device=/x x1").fails(1, &["missing required option: \"type\""]);
        dhow.cmd("volume create --scope single x1").fails(1, &["--scope", "swarm"]);
        dhow.cmd("volume create a/b").fails(1, &["invalid characters"]);
        dhow.cmd("volume update --availability drain x1").fails(1, &["volume update"]);
        dhow.with_busybox();
        dhow.run("--volume-driver nfs -v x1:/x busybox true").fails(125, &["plugin \"nfs\" not found"]);
        dhow.run("--mount src=x1,dst=/x,volume-driver=nfs busybox true").fails(125, &["plugin"]);
        for (flag, why) in [("--gpus all", "--device"), ("--storage-opt size=1g", "quota"), ("--use-api-socket", "daemon"),
            ("--isolation hyperv", "default"), ("--runtime runsc", "runtime")] {
            dhow.run(flag).args(["busybox", "true"]).fails(125, &[flag.split(' ').next().unwrap(), why]);
        }
        dhow.run("--runtime runc --isolation default --volume-driver local busybox true").ok();
        assert_eq!(names(dhow, ""), [""; 0]);
    }

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

    fn pruning_takes_what_nothing_uses(dhow) {
        dhow.with_busybox();
        dhow.cmd("volume create --label keep kept").ok();
        dhow.cmd("volume create named").ok();
        let anonymous = dhow.cmd("volume create").ok().out();
        stopped(dhow, "--name user -v used:/used -v /own busybox");
        assert_eq!(names(dhow, "-f dangling=true").len(), 3);
        assert_eq!(names(dhow, "-f dangling=0").len(), 2);
        let asked = dhow.cmd("volume prune").stdin("n\n").ok().out();
        assert!(asked.contains("WARNING! This will remove anonymous local volumes not used by at least one container."), "{asked}");
        assert_eq!(names(dhow, "").len(), 5);
        let pruned = dhow.cmd("volume prune").stdin("y\n").ok().out();
        assert!(pruned.ends_with(&format!("Deleted Volumes:\n{anonymous}\n\nTotal reclaimed space: 0B")), "{pruned}");
        let warned = dhow.cmd("volume prune -a").stdin("").ok().out();
        assert!(warned.contains("This will remove all local volumes"), "{warned}");
        let pruned = dhow.cmd("volume prune -af --filter label!=keep").ok().out();
        assert_eq!(pruned, "Deleted Volumes:\nnamed\n\nTotal reclaimed space: 0B");
        dhow.cmd("volume prune --filter until=1h -f").fails(1, &["until"]);
        dhow.cmd("volume rm used").fails(1, &["volume is in use"]);
        dhow.cmd("volume rm -f used").fails(1, &["volume is in use"]);
        dhow.cmd("rm -v user").ok();
        assert_eq!(names(dhow, "-f name=used"), ["used"]);
        dhow.cmd("volume rm used").ok();
        assert_eq!(dhow.cmd("volume prune -f --filter all=1").ok().lines()[1], "kept");
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

    fn volumes_are_told_of(dhow) {
        dhow.cmd("volume create told").ok();
        dhow.cmd("volume rm told").ok();
        let lines = dhow.cmd("events --since 0 --until 0s --filter volume=told --format")
            .arg("{{.Action}} {{.Actor.ID}} {{.Actor.Attributes.driver}}").ok().lines();
        assert_eq!(lines, ["create told local", "destroy told local"]);
    }
}
