//! The command line of builds: flags and what they refuse, progress, files of answers, builders, bake.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs;

use support::{Dhow, each_mode};

const DOCKERFILE: &str = "FROM busybox AS base\nCOPY f /f\nFROM base\nARG A=1\nENV A=$A\n";
const STEPS: &str = "FROM busybox\nRUN echo from the step\n";

/// A context in `ctx` with this Dockerfile.
fn context(dhow: &Dhow, dockerfile: &str) {
    dhow.with_busybox();
    dhow.write("home/ctx/f", "hi\n");
    dhow.write("home/ctx/Dockerfile", dockerfile);
}

/// The lines without times and without what waits for something else.
fn plain(text: &str) -> Vec<String> {
    let untimed = |line: &str| match line.rsplit_once(" DONE ") {
        Some((head, _)) => format!("{head} DONE"),
        None => line.to_owned(),
    };
    text.lines().map(untimed).collect()
}

each_mode! {
    fn mistakes_are_refused_before_anything_is_built(dhow) {
        dhow.write("home/ctx/Dockerfile", "FROM scratch\n");
        for (line, code, parts) in [
            ("build", 1, &["'dhow build' requires 1 argument"][..]),
            ("buildx build a b", 1, &["'dhow buildx build' requires 1 argument"]),
            ("build nowhere", 1, &["ERROR: failed to build: unable to prepare context: path \"nowhere\" not found"]),
            ("build ctx/Dockerfile", 1, &["path \"ctx/Dockerfile\" is not a directory"]),
            ("build --nonsense ctx", 125, &["unknown flag: --nonsense"]),
            ("build -f - -", 1, &["can't use stdin for both build context and dockerfile"]),
            ("build -t Bad ctx", 1, &["invalid tag \"Bad\"", "lower"]),
            ("build --build-arg =x ctx", 1, &["invalid build argument"]),
            ("build --label = ctx", 1, &["invalid label"]),
            ("build -o a=b,c=d ctx", 1, &["type is required for output"]),
            ("build -o type=local ctx", 1, &["dest is required for local output"]),
            ("build --secret id=x,src=/no/such ctx", 1, &["failed to stat /no/such"]),
            ("build --secret x ctx", 1, &["invalid field 'x' must be a key=value pair"]),
            ("build --ssh default ctx", 1, &["SSH_AUTH_SOCK"]),
            ("build --platform plan9/vax/x/y ctx", 1, &["plan9/vax"]),
            ("build --allow everything ctx", 1, &["unknown entitlement everything"]),
            ("build --call dance ctx", 1, &["unknown call \"dance\"", "outline"]),
            ("build --progress tty ctx", 1, &["failed to get console"]),
            ("build --progress dance ctx", 125, &["invalid progress mode dance"]),
            ("build -q --progress plain ctx", 1, &["quiet"]),
            ("build --builder nobody ctx", 1, &["no builder \"nobody\" found"]),
            ("build --add-host h ctx", 1, &["add-host"]),
            ("build --ulimit nofile=2:1 ctx", 125, &["nofile=2:1"]),
            ("build --memory 1k ctx", 1, &["6MB"]),
            ("build --attest mode=max ctx", 1, &["attestation type not specified"]),
            ("build --provenance true --attest type=provenance ctx", 1, &["duplicate attestation field provenance"]),
            ("build --annotation what:a=b ctx", 1, &["unknown annotation type \"what\""]),
            ("build --build-context x ctx", 1, &["invalid context value: x, expected key=value"]),
            ("build --disable-content-trust=false ctx", 1, &["Content Trust"]),
        ] {
            dhow.cmd(line).fails(code, parts);
        }
        dhow.cmd("build ctx").env("DOCKER_BUILDKIT", "perhaps").fails(1, &["expects boolean value"]);
        dhow.cmd("build ctx").env("BUILDKIT_PROGRESS", "perhaps").fails(1, &["BUILDKIT_PROGRESS"]);
        dhow.cmd("build ctx").env("SOURCE_DATE_EPOCH", "soon").fails(1, &["invalid SOURCE_DATE_EPOCH: soon"]);
        assert_eq!(dhow.cmd("images -aq").ok().out(), "");
    }

    fn every_name_builds_and_answers_in_files(dhow) {
        context(dhow, DOCKERFILE);
        let id = dhow.cmd("build -q -t a ctx").ok().out();
        assert!(id.starts_with("sha256:"), "{id}");
        for name in ["image build", "builder build", "buildx build", "buildx b"] {
            assert_eq!(dhow.cmd(&format!("{name} -q ctx")).ok().out(), id, "{name}");
        }
        dhow.write("home/id", "stale");
        dhow.cmd("build --iidfile id --metadata-file meta.json -t b:1 ctx").warns("DONE").ok();
        assert_eq!(fs::read_to_string(dhow.home().join("id")).unwrap(), id);
        let metadata: serde_json::Value =
            serde_json::from_slice(&fs::read(dhow.home().join("meta.json")).unwrap()).unwrap();
        assert_eq!(metadata["containerimage.config.digest"], id, "{metadata}");
        assert_eq!(metadata["image.name"], "docker.io/library/b:1");
        dhow.cmd("build -q --iidfile id -f nothing ctx").fails(1, &["nothing"]);
        assert!(!dhow.home().join("id").exists(), "the ID of an earlier build is taken for this one's");
    }

    fn arguments_come_from_flags_environment_and_configuration(dhow) {
        context(dhow, "FROM busybox\nARG A\nARG B\nARG C=c\nARG HTTP_PROXY\nLABEL a=$A b=$B c=$C p=$HTTP_PROXY\n");
        dhow.write("home/config/config.json", r#"{"proxies": {"default": {"httpProxy": "http://p:1"}}}"#);
        dhow.cmd("build -q -t x --build-arg A --build-arg B=b --build-arg NONE --label l=m ctx")
            .env("A", "from outside").env("DOCKER_CONFIG", dhow.home().join("config")).ok();
        let labels = dhow.cmd("inspect -f").arg("{{json .Config.Labels}}").arg("x").ok().json();
        let expected = serde_json::json!({
            "a": "from outside", "b": "b", "c": "c", "l": "m", "p": "http://p:1",
        });
        assert_eq!(labels, expected);
    }

    fn plain_progress_is_buildkits(dhow) {
        context(dhow, STEPS);
        let output = dhow.cmd("build --network none --progress plain ctx").warns("DONE").ok();
        assert_eq!(output.out(), "");
        let lines = plain(&output.err());
        assert_eq!(lines[0], "#0 building with \"default\" instance using dhow driver");
        assert_eq!(lines[1], "");
        assert_eq!(lines[2], "#1 [internal] load build definition from Dockerfile");
        let at = lines.iter().position(|line| line.ends_with("[2/2] RUN echo from the step")).unwrap();
        let number = lines[at].split(' ').next().unwrap();
        assert!(lines[at + 1].starts_with(&format!("{number} 0.")), "{lines:?}");
        assert!(lines[at + 1].ends_with(" from the step"), "{lines:?}");
        assert_eq!(lines[at + 2..at + 4], [format!("{number} DONE"), String::new()]);
        let again = dhow.cmd("build --network none ctx").env("BUILDKIT_PROGRESS", "plain").warns("CACHED").ok();
        let lines = plain(&again.err());
        let at = lines.iter().position(|line| line.ends_with("[2/2] RUN echo from the step")).unwrap();
        assert!(lines[at + 1].ends_with(" CACHED"), "{lines:?}");
    }

    fn json_progress_is_a_line_an_event(dhow) {
        context(dhow, STEPS);
        let output = dhow.cmd("build --network none --progress rawjson ctx").warns("vertexes").ok();
        let events: Vec<serde_json::Value> =
            output.err().lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        let of = |kind: &str| -> Vec<serde_json::Value> {
            events.iter().filter_map(|event| event[kind].as_array()).flatten().cloned().collect()
        };
        let run = of("vertexes").into_iter().rfind(|vertex| vertex["name"] == "[2/2] RUN echo from the step").unwrap();
        assert!(run["completed"].is_string() && run["error"].is_null(), "{run}");
        // `from the step` in base64.
        let data: String = of("logs").iter().map(|log| log["data"].as_str().unwrap().to_owned()).collect();
        assert!(data.starts_with("ZnJvbSB0aGUgc3Rlc"), "{data}");
    }

    fn a_failure_shows_output_lines_and_error(dhow) {
        context(dhow, "FROM busybox\nRUN echo before; exit 7\n");
        let output = dhow.cmd("build --network none ctx").fails(1, &[
            "\n------\n > [2/2] RUN echo before; exit 7:\n0.",
            " before\n------\n",
            "Dockerfile:2\n--------------------\n   1 |     FROM busybox\n   2 | >>> RUN echo before; exit 7\n",
            "\nERROR: failed to build: failed to solve: process \"/bin/sh -c echo before; exit 7\" did not complete \
             successfully: exit code: 7",
            "--resume",
        ]);
        assert_eq!(output.out(), "");
        let quiet = dhow.cmd("build --network none -q ctx").fails(1, &["Dockerfile:2\n", "exit code: 7"]);
        assert!(!quiet.err().contains("#1"), "{}", quiet.err());
        dhow.write("home/ctx/Dockerfile", "FROM busybox\nRUM x\n");
        dhow.cmd("build ctx").fails(1, &["Dockerfile:2\n", ">>> RUM x", "unknown instruction: RUM", "did you mean RUN?"]);
    }

    fn warnings_are_listed_and_explained_on_demand(dhow) {
        context(dhow, "FROM busybox AS Base\nENV a b\n");
        dhow.cmd("build ctx")
            .warns("\n 2 warnings found (use dhow --debug to expand):\n - ")
            .warns(" - LegacyKeyValueFormat: \"ENV key=value\" should be used instead of legacy \"ENV key value\" format (line 2)")
            .ok();
        dhow.cmd("--debug build ctx").warns("\n 2 warnings found:\n").warns("More info: https://").ok();
        let check = dhow.cmd("build --check ctx").warns("#1").exits(1);
        assert!(check.out().starts_with("Check complete, 2 warnings have been found!"), "{}", check.out());
        let json = dhow.cmd("build -q --call check,format=json ctx").exits(1).json();
        assert_eq!(json["warnings"].as_array().unwrap().len(), 2, "{json}");
        dhow.cmd("build -q --call check,ignorestatus=true ctx").ok();
        dhow.write("home/ctx/Dockerfile", "FROM busybox\n");
        assert_eq!(dhow.cmd("build -q --check ctx").ok().out(), "Check complete, no warnings found.");
        let targets = dhow.cmd("build -q --call targets,format=json ctx").ok().json();
        assert_eq!(targets["targets"].as_array().unwrap().len(), 1, "{targets}");
    }

    fn the_live_view_is_drawn_and_leaves_the_terminal_as_it_was(dhow) {
        context(dhow, "FROM busybox\nRUN echo line one; echo line two; sleep 1; echo done\n");
        let mut terminal = dhow.cmd("build --network none -t seen ctx").pty(80, 24);
        terminal.expect("[+] Building ");
        terminal.expect(" => => # line one");
        terminal.expect(" => => # line two");
        terminal.resize(40, 24);
        let last = terminal.expect(" FINISHED");
        assert!(last.contains("\x1b[?25l") && last.contains("\x1b[?25h"), "{last:?}");
        assert_eq!(terminal.wait_for_end(), 0);
        let rest = terminal.shown();
        assert!(rest.contains("=> [2/2] RUN echo line") && !rest.contains("=> => #"), "{rest:?}");
        assert!(rest.ends_with("\x1b[?25h"), "the cursor is hidden: {rest:?}");
    }

    fn an_interruption_ends_everything(dhow) {
        context(dhow, "FROM busybox\nRUN echo begun; sleep 1000\n");
        let mut terminal = dhow.cmd("build --network none ctx").pty(80, 24);
        terminal.expect(" => => # begun");
        terminal.send("\x03");
        assert_eq!(terminal.wait_for_end(), 130);
        let rest = terminal.shown();
        assert!(rest.contains("CANCELED [2/2] RUN") && rest.contains("context canceled"), "{rest:?}");
        assert!(rest.rfind("\x1b[?25h") > rest.rfind("\x1b[?25l"), "{rest:?}");
        dhow.settle();
        assert!(dhow.processes().is_empty(), "{:?}", dhow.processes());
    }

    fn limits_of_the_legacy_builder_and_what_has_no_effect(dhow) {
        context(dhow, "FROM busybox\nRUN ulimit -n; df -m /dev/shm | tail -n 1; grep probe /etc/hosts\n");
        let command = "build --network none --progress plain --ulimit nofile=77:77 --shm-size 3m --add-host probe:10.9.8.7 ctx";
        let output = dhow.cmd(command).warns("DONE").ok().err();
        assert!(output.contains(" 77\n") && output.contains("10.9.8.7"), "{output}");
        let mut shm = output.lines().filter(|line| line.ends_with(" /dev/shm"));
        assert_eq!(shm.next().unwrap().split_whitespace().nth(3), Some("3"), "{output}");
        dhow.write("home/ctx/Dockerfile", "FROM busybox\n");
        dhow.cmd("build -q --squash --compress --force-rm --security-opt x ctx")
            .warns("flag squash is removed with BuildKit").warns("compress flag is ignored")
            .warns("security-opt flag is deprecated").warns("force-rm flag is ignored").ok();
        dhow.cmd("build -q ctx").env("DOCKER_BUILDKIT", "0").warns("no legacy builder").ok();
    }

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
