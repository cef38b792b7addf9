//! `build` on the command line: what is refused, and where arguments come from.

use std::fs;

use super::context;
use crate::support::each_mode;

const DOCKERFILE: &str = "FROM busybox AS base\nCOPY f /f\nFROM base\nARG A=1\nENV A=$A\n";

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
            ("build --label = ctx", 125, &["invalid label"]),
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
}
