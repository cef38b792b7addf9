//! `buildx`: builders, the cache, and bake.

use std::fs;

use super::context;
use crate::support::each_mode;

each_mode! {
    fn scripts_make_use_and_remove_builders(dhow) {
        assert_eq!(dhow.cmd("buildx create --name ci --driver docker-container --use").ok().out(), "ci");
        dhow.cmd("buildx create --name ci").fails(1, &["existing instance for \"ci\""]);
        let seen = dhow.cmd("buildx inspect --bootstrap").ok().out();
        for line in ["Name:          ci", "Driver:        docker-container", "Status:           running"] {
            assert!(seen.lines().any(|found| found == line), "{seen}");
        }
        let listed = dhow.cmd("buildx ls --format json").ok().lines();
        let first: serde_json::Value = serde_json::from_str(&listed[0]).unwrap();
        assert_eq!((&first["Name"], &first["Current"]), (&"ci".into(), &true.into()));
        assert_eq!(first["Nodes"][0]["Status"], "running");
        let table = dhow.cmd("buildx ls").ok().lines();
        assert!(table[0].starts_with("NAME/NODE ") && table[1].starts_with("ci* "), "{table:?}");
        assert!(table[2].starts_with(" \\_ ci0 "), "{table:?}");
        dhow.cmd("buildx use default").ok();
        dhow.cmd("buildx stop ci").ok();
        dhow.cmd("buildx use nobody").fails(1, &["no builder \"nobody\" found"]);
        assert_eq!(dhow.cmd("buildx rm ci").ok().out(), "ci removed");
        dhow.cmd("buildx rm ci").fails(1, &["no builder \"ci\" found"]);
        dhow.cmd("buildx rm default").fails(1, &["cannot be removed"]);
        assert!(dhow.cmd("buildx version").ok().out().starts_with("github.com/docker/buildx v0."));
        assert!(dhow.cmd("buildx create").ok().out().starts_with("builder_"));
        let help = dhow.cmd("builder --help").ok().out();
        assert!(help.contains("  build ") && help.contains("  prune "), "{help}");
    }

    fn the_cache_is_listed_and_pruned(dhow) {
        context(dhow, "FROM busybox\nRUN echo x >/made\n");
        dhow.cmd("build -q --network none -t kept ctx").ok();
        let used = dhow.cmd("buildx du").ok().lines();
        assert!(used[0].starts_with("ID ") && used.iter().any(|line| line.starts_with("Total:")), "{used:?}");
        assert!(dhow.cmd("buildx du --verbose").ok().out().contains("RUN echo x"));
        let asked = dhow.cmd("builder prune").stdin("n\n").ok().out();
        assert!(asked.contains("WARNING! This will remove all dangling build cache."), "{asked}");
        assert_eq!(dhow.cmd("buildx du").ok().lines().len(), used.len());
        dhow.cmd("builder prune -f --filter color=red").fails(1, &["invalid filter 'color'"]);
        let gone = dhow.cmd("builder prune -af").ok().out();
        assert!(gone.starts_with("Deleted build cache objects:\n"), "{gone}");
        assert!(gone.lines().last().unwrap().starts_with("Total reclaimed space: "), "{gone}");
        assert_eq!(dhow.cmd("builder prune -af").ok().out(), "Total reclaimed space: 0B");
        dhow.run("kept test -e /made").ok();
        let df = dhow.cmd("system df --format").arg("{{.Type}} {{.TotalCount}}").ok().lines();
        assert_eq!(df[3], "Build Cache 0");
    }

    fn cache_mounts_are_measured_whoever_owns_their_files(dhow) {
        context(dhow, "FROM busybox\nRUN --mount=type=cache,target=/c mkdir -p /c/d && head -c 3000000 /dev/zero >/c/d/big && chown 7 /c/d && chmod 0 /c/d\nRUN echo x >/made\n");
        dhow.cmd("build -q --network none -t kept ctx").ok();
        dhow.cmd("rmi kept").ok();
        let sizes = || dhow.cmd("buildx du").ok().out();
        let before = sizes();
        assert!(before.contains("3.0"), "{before}");
        // All that the cache takes may stay, however little that were without the files that only their owner can read.
        let removed = dhow.cmd("buildx prune -af --min-free-space 1").ok().out();
        assert!(removed.ends_with("Total:\t0B"), "{removed}");
        assert_eq!(sizes(), before);
        // Without limits, as 0 is none.
        dhow.cmd("buildx prune -af --max-used-space 0 --min-free-space 0 --reserved-space 0").ok();
        assert!(!sizes().contains("3.0"), "{}", sizes());
    }

    fn bake_builds_targets_that_stand_on_each_other(dhow) {
        context(dhow, "FROM busybox\n");
        dhow.write("home/db/Dockerfile", "FROM busybox\nARG V\nRUN echo $V >/db\n");
        dhow.write("home/app/Dockerfile", "FROM base\nCOPY --from=base /db /copy\n");
        dhow.write("home/docker-bake.hcl", r#"
            variable "V" { default = "one" }
            group "default" { targets = ["app"] }
            target "common" { network = "none" }
            target "db" {
              inherits = ["common"]
              context = "db"
              args = { V = V }
            }
            target "app" {
              inherits = ["common"]
              context = "app"
              contexts = { base = "target:db" }
              tags = ["app:${V}"]
            }
        "#);
        let output = dhow.cmd("buildx bake --metadata-file meta.json").env("V", "two").warns("DONE").ok().err();
        assert!(output.contains("[db 2/2] RUN echo two >/db") && output.contains("[app "), "{output}");
        assert_eq!(dhow.run("app:two cat /copy /db").ok().out(), "two\ntwo");
        let metadata = fs::read_to_string(dhow.home().join("meta.json")).unwrap();
        assert!(metadata.contains("\"app\"") && !metadata.contains("\"db\""), "{metadata}");
        let printed = dhow.cmd("bake --print --set").arg("*.platform=linux/arm64").ok().json();
        assert_eq!(printed["target"]["app"]["tags"][0], "app:one");
        assert_eq!(printed["target"]["db"]["platforms"][0], "linux/arm64");
        dhow.cmd("bake nobody").fails(1, &["failed to find target nobody", "app, common, db, default"]);
        dhow.cmd("bake -f nothing.hcl").fails(1, &["nothing.hcl"]);
        dhow.write("home/broken.hcl", "target \"app\" { context = \"app\"\n}\n");
        dhow.cmd("bake -f broken.hcl").fails(1, &["broken.hcl: line 1, column 31: invalid block body"]);
        dhow.cmd("bake").cwd(dhow.make_dir("empty")).fails(1, &["couldn't find a bake definition"]);
        let listed = dhow.cmd("bake --list variables").ok().lines();
        assert_eq!(listed[1].split_whitespace().collect::<Vec<_>>(), ["V", "one"]);
        let from_stdin = "{\"target\": {\"default\": {\"context\": \"app\"}}}";
        let printed = dhow.cmd("bake -f - --print").stdin(from_stdin).ok().json();
        assert_eq!(printed["target"]["default"]["context"], "app");
    }
}
