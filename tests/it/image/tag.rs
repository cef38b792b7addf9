//! `tag`, and names that cannot be used.

use super::image_with;
use crate::support::each_mode;

each_mode! {
    fn tags_follow_docker_rules(dhow) {
        let image = image_with("tagged");
        dhow.load(&image, "source:1");
        dhow.cmd("tag source:1 Example.org/upper/case:1").ok();
        dhow.cmd("tag source:1 UPPER").fails(1, &["UPPER"]);
        dhow.cmd("tag absent new").fails(1, &["absent"]);
        dhow.cmd("tag").args([&image.short_id(), "short"]).ok();
        assert_eq!(dhow.cmd("inspect --format {{.Id}} short").ok().out(), image.id());
    }

    fn malformed_names_are_explained_in_one_line(dhow) {
        for name in ["UPPER", "a b", "a::b", ":tag", "x@sha256:zz", "-x", "a//b", "x:bad!tag"] {
            let output = dhow.cmd("pull --").arg(name).output();
            assert_eq!(output.code, 1, "{name}: {}", output.err());
            assert_eq!(output.err().lines().count(), 1, "{name}: {}", output.err());
            assert!(output.err().contains(name), "{name}: {}", output.err());
        }
    }
}
