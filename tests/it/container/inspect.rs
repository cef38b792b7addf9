//! `inspect` of containers, and without `--type`.

use crate::support::{Dhow, each_mode, fixtures};

/// A container that has ended and was not removed.
fn kept_container(dhow: &Dhow) {
    dhow.with_busybox();
    dhow.cmd("run --network none --name kept --label rig=lateen --init -v data:/data:ro -e A=b busybox")
        .sh("echo written >/file; exit 3")
        .exits(3);
}

each_mode! {
    fn containers_left_by_run_can_be_inspected(dhow) {
        kept_container(dhow);
        let seen = dhow.cmd("inspect --type container kept").ok().json();
        let seen = &seen[0];
        assert_eq!((&seen["Name"], &seen["Path"], &seen["Args"][0]), (&"/kept".into(), &"sh".into(), &"-c".into()));
        assert_eq!((&seen["State"]["Status"], &seen["State"]["ExitCode"]), (&"exited".into(), &3.into()));
        assert_eq!(seen["Image"], fixtures::busybox().id());
        assert_eq!(seen["Config"]["Labels"]["rig"], "lateen");
        assert_eq!((&seen["HostConfig"]["NetworkMode"], &seen["HostConfig"]["Init"]), (&"none".into(), &true.into()));
        assert_eq!((&seen["Mounts"][0]["Destination"], &seen["Mounts"][0]["RW"]), (&"/data".into(), &false.into()));
        assert!(seen["Config"]["Env"].as_array().unwrap().contains(&"A=b".into()));
        let size = dhow.cmd("inspect -s -f {{.SizeRw}} kept").ok().out();
        assert_eq!(size, "8");
        assert_eq!(dhow.cmd("container inspect -f {{.State.Running}} kept").ok().out(), "false");
        let volume = dhow.cmd("inspect --type volume -f {{.Driver}}:{{.Name}} data").ok().out();
        assert_eq!(volume, "local:data");
        dhow.cmd("container inspect busybox").fails(1, &["No such container: busybox"]);
        dhow.cmd("rm -v kept").ok();
    }

    fn inspect_shows_what_it_finds_and_names_what_it_does_not(dhow) {
        dhow.with_busybox();
        let output = dhow.cmd("inspect absent busybox gone").output();
        assert_eq!((output.code, output.json().as_array().unwrap().len()), (1, 1));
        assert_eq!(output.err(), "dhow: No such object: absent\ndhow: No such object: gone");
        let text = dhow.cmd("inspect busybox").ok().out();
        assert!(text.starts_with("[\n    {\n        \"Id\": \"sha256:"), "docker's indent and order: {text}");
        assert!(text.ends_with("\n    }\n]"), "{text}");
        let compact = dhow.cmd("inspect --format json busybox").ok();
        assert_eq!((compact.lines().len(), &compact.json()[0]["Os"]), (1, &"linux".into()));
        dhow.cmd("inspect --type network busybox").fails(1, &["network"]);
        dhow.cmd("inspect --type nonsense busybox").fails(1, &["unknown type", "nonsense"]);
        dhow.cmd("image inspect --platform linux/s390x busybox").fails(1, &["busybox"]);
        dhow.cmd("inspect --size busybox").warns("containers only").ok();
    }
}
