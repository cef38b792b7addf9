//! What is printed about images, containers and volumes: tables, templates, JSON, and questions before losing things.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use support::{Dhow, Entry, Image, Layer, each_mode, fixtures};

/// A small image that differs from others by `content`.
fn image_with(content: &str) -> Image {
    Image::new([fixtures::busybox_layer(), Layer::new([Entry::file("content", content)])])
}

/// A container that ran and was kept.
fn kept_container(dhow: &Dhow) {
    dhow.with_busybox();
    dhow.cmd("run --network none --name kept --label rig=lateen --init -v data:/data:ro -e A=b busybox")
        .sh("echo written >/file; exit 3")
        .exits(3);
}

each_mode! {
    fn tables_may_be_made_by_templates(dhow) {
        dhow.load(&image_with("table"), "example.org/fleet/ship:3");
        let table = dhow.cmd("images --format").arg("table {{.Repository}}\\t{{.Tag | upper}}\\t{{.ID}}").ok().lines();
        assert_eq!(table[0].split("   ").map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>(), ["REPOSITORY", "TAG", "IMAGE ID"]);
        assert_eq!(table[1].split_whitespace().collect::<Vec<_>>()[..2], ["example.org/fleet/ship", "3"]);
        assert_eq!(table[0].find("IMAGE ID"), table[1].find(&image_with("table").short_id()));
        let raw = dhow.cmd("images --format raw").ok().out();
        assert!(raw.contains("repository: example.org/fleet/ship\ntag: 3\nimage_id: "), "{raw}");
        let created = dhow.cmd("images --format {{.CreatedAt}}|{{.CreatedSince}}").env("TZ", "UTC").ok().out();
        assert!(created.starts_with("2024-01-02 03:04:05 +0000 UTC|") && created.ends_with(" ago"), "{created}");
    }

    fn a_template_that_cannot_be_is_an_error(dhow) {
        dhow.with_busybox();
        dhow.cmd("images --format {{.Nonsense}}").fails(1, &["template parsing error: template: :1:2: executing \"\" at <.Nonsense>"]);
        dhow.cmd("images --format {{nonsense}}").fails(1, &["template parsing error: template: :1: function \"nonsense\" not defined"]);
        dhow.cmd("inspect -f {{.Config.Nope}} busybox").fails(1, &["<.Config.Nope>"]);
        dhow.cmd("inspect -f {{if}} busybox").fails(64, &["template parsing error: template: :1: missing value for if"]);
    }

    fn digests_and_the_tree(dhow) {
        let image = image_with("tree");
        dhow.load(&image, "tall:1");
        let table = dhow.cmd("images --digests").ok().lines();
        assert_eq!(table[0].split_whitespace().nth(2), Some("DIGEST"));
        assert_eq!(table[1].split_whitespace().nth(2), Some("<none>"));
        let tree = dhow.cmd("images --tree").ok().lines();
        assert!(tree[1].starts_with("tall:1 ") && tree[1].contains(&image.short_id()), "{tree:?}");
        assert!(tree[2].starts_with("└─ linux/"), "{tree:?}");
        dhow.cmd("images --tree -q").fails(125, &["--quiet", "--tree"]);
    }

    fn images_are_chosen_by_time_and_reference(dhow) {
        dhow.load(&image_with("first"), "fleet/one:1");
        dhow.load(&image_with("second"), "fleet/two:1");
        let names = |words: &str| dhow.cmd("images --format {{.Repository}}").args(words.split(' ')).ok().out();
        assert_eq!(names("-f until=2024-01-02T03:04:05Z"), "");
        assert_eq!(names("-f until=2024-01-02T03:04:06Z -f reference=fleet/o*"), "fleet/one");
        assert_eq!(names("fleet/t*"), "fleet/two");
        assert_eq!(names("-f before=fleet/one:1"), "", "both were made at the same time");
        dhow.cmd("images -f since=absent").fails(1, &["No such image: absent:latest"]);
        dhow.cmd("images -f reference=[").fails(1, &["syntax error in pattern"]);
    }

    fn history_can_be_exact(dhow) {
        dhow.load(&image_with("history"), "history:1");
        let exact = dhow.cmd("history --human=false --format").arg("{{.CreatedAt}} {{.CreatedSince}} {{.Size}}").arg("history:1").env("TZ", "UTC").ok().lines();
        assert_eq!(exact[0], "2024-01-02T03:04:05Z 2024-01-02T03:04:05Z 7");
        let human = dhow.cmd("history --format {{.Size}} history:1").ok().lines();
        assert_eq!(human[0], "7B");
        dhow.cmd("history absent").fails(1, &["No such image: absent:latest"]);
        dhow.cmd("history --platform linux/s390x history:1").fails(1, &["history:1"]);
    }

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

    fn removal_goes_on_after_an_error(dhow) {
        dhow.load(&image_with("one"), "one:1");
        dhow.load(&image_with("two"), "two:1");
        let output = dhow.cmd("rmi one:1 absent two:1").output();
        assert_eq!(output.code, 1);
        assert!(output.err().contains("No such image: absent:latest"), "{}", output.err());
        assert!(output.out().contains("Untagged: one:1") && output.out().contains("Untagged: two:1"), "{}", output.out());
        let forced = dhow.cmd("rmi -f absent").warns("No such image").ok();
        assert_eq!(forced.out(), "");
        dhow.with_busybox();
        dhow.cmd("rmi --platform linux/s390x busybox").fails(1, &["busybox"]);
        assert_eq!(dhow.cmd("images -q").ok().lines().len(), 1);
    }

    fn pruning_asks_first(dhow) {
        dhow.load(&image_with("kept"), "kept:1");
        let asked = dhow.cmd("image prune -a").stdin("n\n").ok().out();
        assert!(asked.contains("all images without at least one container") && asked.ends_with("[y/N] "), "{asked}");
        assert_eq!(dhow.cmd("images -q").ok().lines().len(), 1);
        dhow.cmd("image prune -a").ok();
        assert_eq!(dhow.cmd("images -q").ok().lines().len(), 1, "an end of input does not agree");
        dhow.cmd("image prune -a -f --filter label=absent").ok();
        dhow.cmd("image prune -a -f --filter until=2020-01-01").ok();
        assert_eq!(dhow.cmd("images -q").ok().lines().len(), 1);
        let agreed = dhow.cmd("image prune -a --filter label!=absent").stdin("y\n").ok().out();
        assert!(agreed.contains("untagged: kept:1") && agreed.contains("Total reclaimed space: "), "{agreed}");
        assert_eq!(dhow.cmd("images -q").ok().out(), "");
        dhow.cmd("image prune -f --filter nonsense=1").fails(1, &["nonsense"]);
    }
}
