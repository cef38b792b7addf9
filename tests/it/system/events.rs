//! `events`: past events, and new ones as they happen.

use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::support::{Dhow, Output, each_mode};
use rustix::process::Signal;

/// Type, action and name of all events so far.
fn history(dhow: &Dhow, options: &str) -> Vec<String> {
    let format = "{{.Type}} {{.Action}} {{.Actor.Attributes.name}}";
    dhow.cmd("events --since 0 --until 0s")
        .args(options.split_whitespace())
        .args(["--format", format])
        .ok()
        .lines()
}

fn id_of(dhow: &Dhow, image: &str) -> String {
    dhow.cmd("images --no-trunc -q").arg(image).ok().out()
}

each_mode! {
    fn images_are_told_of(dhow) {
        dhow.with_busybox();
        let id = id_of(dhow, "busybox");
        dhow.cmd("tag busybox example.org/other:1").ok();
        dhow.cmd("save -o /dev/null busybox").ok();
        dhow.cmd("rmi example.org/other:1").ok();
        dhow.cmd("rmi busybox").ok();
        let expected = [
            format!("image load {id}"), "image tag example.org/other:1".into(), format!("image save {id}"),
            format!("image untag {id}"), format!("image untag {id}"), format!("image delete {id}"),
        ];
        assert_eq!(history(dhow, ""), expected);
        assert_eq!(history(dhow, "--filter image=example.org/other"), expected[1..2]);
        assert_eq!(history(dhow, "--filter event=delete --filter event=save"), [expected[2].as_str(), expected[5].as_str()]);
        assert_eq!(history(dhow, "--filter type=network"), [""; 0]);
        dhow.cmd("events --filter colour=red").fails(1, &["invalid filter 'colour'"]);
        dhow.cmd("events --since 5 --until 4").fails(1, &["cannot be after"]);
        dhow.cmd("events --since noon").fails(1, &["noon"]);
    }

    fn lines_and_json_are_dockers(dhow) {
        dhow.with_busybox();
        let id = id_of(dhow, "busybox");
        let line = dhow.cmd("events --since 1h --until 0s").env("TZ", "UTC").ok().out();
        let (time, rest) = line.split_once(' ').unwrap();
        assert_eq!(rest, format!("image load {id} (name={id})"));
        assert!(time.len() == 30 && time.ends_with('Z') && time.as_bytes()[19] == b'.', "{time}");
        let json = dhow.cmd("events --since 1h --until 0s --format json").ok().out();
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&value["Type"], &value["status"], &value["scope"]), (&"image".into(), &"load".into(), &"local".into()));
        assert_eq!(value["timeNano"].as_i64().unwrap() / 1_000_000_000, value["time"].as_i64().unwrap());
    }

    fn a_follower_sees_what_happens_across_a_change_of_the_log(dhow) {
        dhow.with_busybox();
        let follower = dhow.cmd("events --since 0").start();
        follower.expect("image load");
        dhow.cmd("tag busybox first").ok();
        follower.expect("name=first:latest");
        // As if much had happened: the next event fills the log.
        let path = dhow.root().join("events/log");
        let line = format!("\n{{\"t\":1,\"k\":\"volume\",\"a\":\"create\",\"id\":\"{}\"}}\n", "x".repeat(1000));
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(line.repeat(1100).as_bytes()).unwrap();
        dhow.cmd("tag busybox second").ok();
        follower.expect("name=second:latest");
        assert!(!path.exists() && path.with_extension("old").exists(), "the log has begun anew");
        dhow.cmd("tag busybox third").ok();
        follower.expect("name=third:latest");
        follower.signal(Signal::INT);
        assert_eq!(follower.wait().code, 130);
        assert!(history(dhow, "--filter event=tag").len() == 3, "history reaches back over the change");
    }

    fn a_follower_ends_at_its_time(dhow) {
        dhow.with_busybox();
        let begun = Instant::now();
        let Output { code, stdout, .. } = dhow.cmd("events --since 0 --until -1s").output();
        assert_eq!(code, 0);
        assert!(String::from_utf8(stdout).unwrap().contains("image load"));
        assert!(begun.elapsed() >= Duration::from_secs(1));
    }

    fn removal_of_a_container_is_told(dhow) {
        dhow.with_busybox();
        dhow.cmd("run --network none --name gone -l tier=back busybox true").ok();
        dhow.cmd("rm gone").ok();
        let line = dhow.cmd("events --since 0 --until 0s --filter container=gone --filter event=destroy").ok().out();
        assert!(line.ends_with("(image=busybox, name=gone, tier=back)"), "{line}");
        assert_eq!(history(dhow, "--filter label=tier=back --filter event=destroy"), ["container destroy gone"]);
        assert_eq!(history(dhow, "--filter label=tier=front"), [""; 0]);
        dhow.settle();
    }

    fn the_life_of_a_container_is_told(dhow) {
        dhow.with_busybox();
        dhow.cmd("run -d --network none --name boat -v data:/data busybox sleep 1000").ok();
        for command in ["pause boat", "unpause boat", "rename boat ship", "stop -t 0 ship", "start ship", "restart -t 0 ship", "kill ship"] {
            dhow.cmd(command).ok();
        }
        dhow.cmd("wait ship").ok();
        dhow.cmd("rm ship").ok();
        let seen = history(dhow, "--filter type=container");
        let actions: Vec<&str> = seen.iter().map(|line| line.strip_prefix("container ").unwrap()).collect();
        let expected = ["create boat", "start boat", "pause boat", "unpause boat", "rename ship", "kill ship", "die ship", "stop ship",
            "start ship", "kill ship", "die ship", "stop ship", "start ship", "restart ship", "kill ship", "die ship", "destroy ship"];
        assert_eq!(actions.iter().filter(|action| !action.starts_with("kill")).collect::<Vec<_>>(),
            expected.iter().filter(|action| !action.starts_with("kill")).collect::<Vec<_>>(), "{actions:?}");
        let format = "{{.Action}} {{.Actor.Attributes.exitCode}}";
        let ends = dhow.cmd("events --since 0 --until 0s --filter event=die --format").arg(format).ok().lines();
        assert_eq!(ends, ["die 137"; 3]);
        let volume = dhow.cmd("events --since 0 --until 0s --filter type=volume --format").arg("{{.Action}} {{.Actor.ID}}").ok().lines();
        assert_eq!(volume, ["create data", "mount data", "unmount data", "mount data", "unmount data", "mount data", "unmount data"]);
        dhow.settle();
    }

    fn a_container_that_removes_itself_is_told_of_once(dhow) {
        dhow.with_busybox();
        dhow.run("--name brief busybox true").ok();
        dhow.settle();
        let seen = history(dhow, "--filter type=container");
        assert_eq!(seen, ["container create brief", "container start brief", "container die brief", "container destroy brief"]);
    }
}
