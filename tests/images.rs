//! `images`, `rmi`, `tag`, `inspect`, `history` and `image prune`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs;

use support::{Dhow, Entry, Image, Layer, each_mode, fixtures};

/// A small image that differs from others by `content`.
fn image_with(content: &str) -> Image {
    Image::new([fixtures::busybox_layer(), Layer::new([Entry::file("content", content)])])
}

/// How many layers lie in the store.
fn stored_layers(dhow: &Dhow) -> usize {
    fs::read_dir(dhow.root().join("layers")).map_or(0, Iterator::count)
}

each_mode! {
    fn an_empty_store_lists_nothing(dhow) {
        let output = dhow.cmd("images").ok().lines();
        assert_eq!(output.len(), 1);
        assert_eq!(output[0].split_whitespace().collect::<Vec<_>>(), ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]);
        assert_eq!(dhow.cmd("images -q").ok().out(), "");
    }

    fn listings_show_names_ids_and_sizes(dhow) {
        let image = image_with("listed");
        dhow.load(&image, "example.org/fleet/ship:3");
        dhow.load(&image, "plain:latest");
        let rows = dhow.cmd("images").ok().lines();
        assert_eq!(rows.len(), 3, "{rows:?}");
        let row: Vec<&str> = rows.iter().find(|row| row.starts_with("example.org")).unwrap().split_whitespace().collect();
        assert_eq!(row[..3], ["example.org/fleet/ship", "3", &image.short_id()]);
        assert!(row.last().unwrap().ends_with("MB"), "{row:?}");
        assert_eq!(dhow.cmd("images -q").ok().lines(), [image.short_id(), image.short_id()]);
        assert_eq!(dhow.cmd("images -q --no-trunc plain").ok().out(), image.id());
        assert_eq!(dhow.cmd("image ls --format {{.Repository}}:{{.Tag}} plain").ok().out(), "plain:latest");
        let json = dhow.cmd("images --format json plain").ok().json();
        assert_eq!((json["Repository"].as_str(), json["ID"].as_str()), (Some("plain"), Some(&*image.short_id())));
        assert_eq!(dhow.cmd("images nothing-of-this-name -q").ok().out(), "");
    }

    fn filters_narrow_the_listing(dhow) {
        let labelled = image_with("labelled").set("Labels", serde_json::json!({"crew": "small", "rig": "lateen"}));
        dhow.load(&labelled, "labelled:1");
        dhow.load(&image_with("bare"), "bare:2");
        let names = |filter: &str| dhow.cmd("images --format {{.Repository}} --filter").arg(filter).ok().out();
        assert_eq!(names("label=crew"), "labelled");
        assert_eq!(names("label=crew=small"), "labelled");
        assert_eq!(names("label=crew=big"), "");
        assert_eq!(names("reference=b*"), "bare");
        assert_eq!(names("dangling=true"), "");
        dhow.cmd("images --filter nonsense=1").fails(1, &["nonsense"]);
    }

    fn a_name_that_moves_leaves_a_dangling_image(dhow) {
        let (old, new) = (image_with("old"), image_with("new"));
        dhow.load(&old, "moving:1");
        dhow.load(&new, "moving:1");
        let dangling = dhow.cmd("images -q --no-trunc --filter dangling=true").ok().out();
        assert_eq!(dangling, old.id());
        let rows = dhow.cmd("images").ok().out();
        assert!(rows.contains("<none>"), "{rows}");
        let pruned = dhow.cmd("image prune -f").ok().out();
        assert!(pruned.contains(&old.id()) && pruned.contains("Total reclaimed space:"), "{pruned}");
        assert_eq!(dhow.cmd("images -q --no-trunc").ok().out(), new.id());
        assert_eq!(stored_layers(dhow), 2);
    }

    fn prune_all_removes_what_no_container_uses(dhow) {
        dhow.load(&image_with("one"), "one:1");
        dhow.cmd("image prune -f").ok();
        assert_eq!(dhow.cmd("images -q").ok().lines().len(), 1);
        let pruned = dhow.cmd("image prune -a -f").ok().out();
        assert!(pruned.contains("untagged: one:1"), "{pruned}");
        assert_eq!(dhow.cmd("images -aq").ok().out(), "");
        assert_eq!(stored_layers(dhow), 0);
        assert_eq!(dhow.cmd("image prune -f").ok().out(), "Total reclaimed space: 0B");
    }

    fn removing_a_name_is_not_removing_an_image_with_others(dhow) {
        let image = image_with("two names");
        dhow.load(&image, "first:1");
        dhow.cmd("tag first:1 second:2").ok();
        assert_eq!(dhow.cmd("rmi first:1").ok().out(), "Untagged: first:1");
        let output = dhow.cmd("rmi second:2").ok().lines();
        assert_eq!(output[..2], ["Untagged: second:2".to_owned(), format!("Deleted: {}", image.id())]);
        assert_eq!(stored_layers(dhow), 0);
        dhow.cmd("rmi second:2").fails(1, &["second:2"]);
        dhow.cmd("rmi -f second:2").output();
    }

    fn removal_by_id_needs_force_where_names_are_many(dhow) {
        let image = image_with("many names");
        dhow.load(&image, "first:1");
        dhow.cmd("tag first:1 second:2").ok();
        dhow.cmd("rmi").arg(image.short_id()).fails(1, &[&image.short_id(), "must be forced"]);
        let output = dhow.cmd("rmi -f").arg(image.short_id()).ok().out();
        assert!(output.contains("Untagged: first:1") && output.contains("Untagged: second:2"), "{output}");
        assert!(output.contains(&format!("Deleted: {}", image.id())), "{output}");
        assert_eq!(dhow.cmd("images -aq").ok().out(), "");
    }

    fn shared_layers_stay_while_an_image_needs_them(dhow) {
        dhow.with_busybox();
        dhow.load(&image_with("upper"), "upper:1");
        assert_eq!(stored_layers(dhow), 2);
        dhow.cmd("rmi busybox").ok();
        assert_eq!(stored_layers(dhow), 2);
        assert_eq!(dhow.run("upper:1 cat /content").ok().out(), "upper");
        dhow.cmd("rmi upper:1").ok();
        assert_eq!(stored_layers(dhow), 0);
    }

    fn an_image_in_use_is_not_deleted(dhow) {
        let image = image_with("in use");
        dhow.load(&image, "used:1");
        let running = dhow.run("-i used:1").sh("echo ready; cat; cat /content").start_piped();
        running.expect("ready");
        dhow.cmd("rmi used:1").fails(1, &["used:1"]);
        dhow.cmd("rmi -f").arg(image.id()).fails(1, &[]);
        assert_eq!(dhow.cmd("images -q").ok().out(), image.short_id());
        let mut running = running;
        drop(running.child.stdin.take());
        assert_eq!(running.wait().out(), "ready\nin use");
        dhow.cmd("rmi used:1").ok();
    }

    fn tags_follow_docker_rules(dhow) {
        let image = image_with("tagged");
        dhow.load(&image, "source:1");
        dhow.cmd("tag source:1 Example.org/upper/case:1").ok();
        dhow.cmd("tag source:1 UPPER").fails(1, &["UPPER"]);
        dhow.cmd("tag absent new").fails(1, &["absent"]);
        dhow.cmd("tag").args([&image.short_id(), "short"]).ok();
        assert_eq!(dhow.cmd("inspect --format {{.Id}} short").ok().out(), image.id());
    }

    fn inspect_has_dockers_fields(dhow) {
        let image = image_with("inspected").set("Labels", serde_json::json!({"a": "b"})).set("User", "worker").set("WorkingDir", "/home");
        dhow.load(&image, "inspected:1");
        let seen = dhow.cmd("image inspect inspected:1").ok().json();
        let seen = &seen[0];
        assert_eq!(seen["Id"], image.id());
        assert_eq!(seen["RepoTags"], serde_json::json!(["inspected:1"]));
        assert_eq!(seen["Created"], "2024-01-02T03:04:05Z");
        assert_eq!(seen["Config"]["User"], "worker");
        assert_eq!(seen["Config"]["WorkingDir"], "/home");
        assert_eq!(seen["Config"]["Labels"]["a"], "b");
        assert_eq!(seen["Config"]["Cmd"], serde_json::json!(["sh"]));
        assert_eq!((&seen["Os"], &seen["Architecture"]), (&"linux".into(), &support::image::go_architecture().into()));
        assert_eq!(seen["RootFS"]["Type"], "layers");
        assert_eq!(seen["RootFS"]["Layers"].as_array().unwrap().len(), 2);
        assert!(seen["Size"].as_u64().unwrap() > 100_000);
        let formatted = dhow.cmd("inspect --format").arg("{{.Config.User}} {{index .Config.Labels \"a\"}} {{len .RootFS.Layers}}").arg("inspected:1").ok();
        assert_eq!(formatted.out(), "worker b 2");
        assert_eq!(dhow.cmd("inspect --format").arg("{{json .Config.Cmd}}").arg("inspected:1").ok().out(), "[\"sh\"]");
        let missing = dhow.cmd("image inspect absent").output();
        assert_eq!((missing.code, missing.out().as_str()), (1, "[]"));
        assert!(missing.err().contains("absent"), "{}", missing.err());
        dhow.cmd("inspect --format").arg("{{.Nonsense").arg("inspected:1").fails(64, &[]);
    }

    fn history_lists_the_steps(dhow) {
        dhow.load(&image_with("history"), "history:1");
        let steps = dhow.cmd("history --format {{.CreatedBy}} history:1").ok().lines();
        assert_eq!(steps, ["step 1", "step 0"]);
        let rows = dhow.cmd("history history:1").ok().lines();
        assert_eq!(rows[0].split_whitespace().next(), Some("IMAGE"));
        assert_eq!(rows.len(), 3);
        assert!(rows[2].contains("<missing>"), "{rows:?}");
        assert_eq!(dhow.cmd("history -q --no-trunc history:1").ok().lines()[0], image_with("history").id());
    }

    fn malformed_names_are_explained_in_one_line(dhow) {
        for name in ["UPPER", "a b", "a::b", ":tag", "x@sha256:zz", "-x", "a//b", "x:bad!tag"] {
            let output = dhow.cmd("pull --").arg(name).output();
            assert_eq!(output.code, 1, "{name}: {}", output.err());
            assert_eq!(output.err().lines().count(), 1, "{name}: {}", output.err());
            assert!(output.err().contains(name), "{name}: {}", output.err());
        }
    }

    fn an_ambiguous_or_short_id_prefix(dhow) {
        let image = image_with("prefix");
        dhow.load(&image, "prefixed:1");
        assert_eq!(dhow.cmd("inspect --format {{.Id}}").arg(&image.short_id()[..4]).ok().out(), image.id());
        dhow.cmd("inspect --format {{.Id}} 0000000000000000").fails(1, &["0000000000000000"]);
    }

    fn a_store_of_another_version_is_refused_by_name(dhow) {
        dhow.with_busybox();
        fs::write(dhow.root().join("version"), "999\n").unwrap();
        dhow.cmd("images").fails(1, &["999"]);
    }
}
