//! `volume create`, `ls`, `inspect`, `rm` and `prune`.

use crate::support::containers::stopped;
use crate::support::{Dhow, each_mode};

fn names(dhow: &Dhow, options: &str) -> Vec<String> {
    dhow.cmd("volume ls -q").args(options.split_whitespace()).ok().lines()
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

    fn volumes_are_told_of(dhow) {
        dhow.cmd("volume create told").ok();
        dhow.cmd("volume rm told").ok();
        let lines = dhow.cmd("events --since 0 --until 0s --filter volume=told --format")
            .arg("{{.Action}} {{.Actor.ID}} {{.Actor.Attributes.driver}}").ok().lines();
        assert_eq!(lines, ["create told local", "destroy told local"]);
    }
}
