//! `image inspect`, and images named by the start of their ID.

use super::image_with;
use crate::support::each_mode;

each_mode! {
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
        assert_eq!((&seen["Os"], &seen["Architecture"]), (&"linux".into(), &crate::support::image::go_architecture().into()));
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

    fn an_ambiguous_or_short_id_prefix(dhow) {
        let image = image_with("prefix");
        dhow.load(&image, "prefixed:1");
        assert_eq!(dhow.cmd("inspect --format {{.Id}}").arg(&image.short_id()[..4]).ok().out(), image.id());
        dhow.cmd("inspect --format {{.Id}} 0000000000000000").fails(1, &["0000000000000000"]);
    }
}
