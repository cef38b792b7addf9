//! Which engine a command is for, and docker's contexts.

use crate::support::{Dhow, each_mode, image};

/// Writes a context of docker's for the engine at `address`, in the format of docker 26.
fn context(dhow: &Dhow, name: &str, address: &str) {
    let id = image::hex(&image::digest(name.as_bytes())).to_owned();
    let record = serde_json::json!({
        "Name": name, "Metadata": {"Description": "made by a test"},
        "Endpoints": {"docker": {"Host": address, "SkipTLSVerify": false}},
    });
    dhow.write(&format!("home/.docker/contexts/meta/{id}/meta.json"), record.to_string());
}

each_mode! {
    fn only_this_engine_is_addressed(dhow) {
        let own = format!("unix://{}/docker.sock", dhow.dir().join("run").display());
        for here in ["", "unix://", "unix:///var/run/docker.sock", "unix:///run/docker.sock", own.as_str()] {
            dhow.cmd("-H").args([here, "ps"]).ok();
            dhow.cmd("ps").env("DOCKER_HOST", here).ok();
        }
        for elsewhere in ["tcp://elsewhere:2375", "tcp://127.0.0.1:1", "ssh://me@elsewhere", "unix:///tmp/other.sock", "elsewhere"] {
            dhow.cmd("-H").args([elsewhere, "ps"]).fails(1, &["--host names another engine", elsewhere]);
            dhow.cmd("ps").env("DOCKER_HOST", elsewhere).fails(1, &["DOCKER_HOST names another engine", elsewhere]);
        }
        dhow.cmd("run x").env("DOCKER_HOST", "tcp://elsewhere").fails(125, &["DOCKER_HOST"]);
        assert_eq!(dhow.cmd("ps -aq").ok().out(), "", "nothing was done here");
        // As docker's client, it talks to nobody for these.
        dhow.cmd("context show").env("DOCKER_HOST", "tcp://elsewhere").ok();
        dhow.cmd("run --help").env("DOCKER_HOST", "tcp://elsewhere").ok();
        dhow.cmd("completion bash").env("DOCKER_HOST", "tcp://elsewhere").ok();
        // --context comes before DOCKER_HOST, and that before DOCKER_CONTEXT.
        dhow.cmd("--context default ps").env("DOCKER_HOST", "tcp://elsewhere").ok();
        dhow.cmd("ps").env("DOCKER_HOST", "unix://").env("DOCKER_CONTEXT", "nope").ok();
        dhow.cmd("ps").env("DOCKER_CONTEXT", "nope").fails(1, &["context \"nope\": context not found"]);
        dhow.cmd("--context nope ps").fails(1, &["context \"nope\": context not found"]);
        dhow.cmd("--context default --host unix:// ps").fails(1, &["either specify --host or --context, not both"]);
        dhow.cmd("--context default -l debug ps -q").ok();
    }

    fn contexts_are_those_of_dockers_configuration(dhow) {
        assert_eq!(dhow.cmd("context ls -q").ok().out(), "default");
        context(dhow, "far", "tcp://elsewhere:2375");
        context(dhow, "near", "unix:///var/run/docker.sock");
        let listed = dhow.cmd("context ls").ok().lines();
        assert_eq!(listed[0].split_whitespace().collect::<Vec<_>>(), ["NAME", "DESCRIPTION", "DOCKER", "ENDPOINT", "ERROR"]);
        assert!(listed[1].starts_with("default *   Current DOCKER_HOST based configuration   unix:///var/run/docker.sock"), "{listed:?}");
        assert!(listed[2].starts_with("far         made by a test") && listed[2].contains("tcp://elsewhere:2375"), "{listed:?}");
        assert_eq!(dhow.cmd("context show").ok().out(), "default");
        let shown = dhow.cmd("context inspect far default").ok().json();
        assert_eq!(shown[0]["Endpoints"]["docker"]["Host"], "tcp://elsewhere:2375");
        assert_eq!(shown[1]["Storage"]["MetadataPath"], "<IN MEMORY>");
        assert_eq!(dhow.cmd("context inspect --format").arg("{{.Name}} {{.Endpoints.docker.Host}}").ok().out(), "default unix:///var/run/docker.sock");
        dhow.cmd("context inspect nope").fails(1, &["context \"nope\": context not found"]);
        dhow.cmd("context create x").fails(1, &["this version of dhow does not"]);
        dhow.cmd("ps").env("DOCKER_CONTEXT", "near").ok();
        dhow.cmd("ps").env("DOCKER_CONTEXT", "far").fails(1, &["DOCKER_CONTEXT far names another engine, tcp://elsewhere:2375"]);
    }

    fn a_context_is_used_if_it_is_this_engine(dhow) {
        context(dhow, "far", "tcp://elsewhere:2375");
        context(dhow, "near", "unix:///var/run/docker.sock");
        context(dhow, "desktop", "unix:///home/x/.docker/desktop/docker.sock");
        dhow.make_dir("home/.docker");
        let config = dhow.write("home/.docker/config.json", r#"{"auths": {"r.example": {}}, "psFormat": "{{.ID}}"}"#);
        let current = || {
            let text = std::fs::read(&config).unwrap();
            serde_json::from_slice::<serde_json::Value>(&text).unwrap()
        };
        assert_eq!(dhow.cmd("context use near").warns("Current context is now \"near\"").ok().out(), "near");
        assert_eq!(current()["currentContext"], "near");
        assert_eq!(current()["psFormat"], "{{.ID}}");
        assert_eq!(dhow.cmd("context show").ok().out(), "near");
        dhow.cmd("ps").ok();
        dhow.cmd("context use far").fails(1, &["another engine, tcp://elsewhere:2375"]);
        dhow.cmd("context use nope").fails(1, &["context \"nope\": context not found"]);
        assert_eq!(current()["currentContext"], "near");
        dhow.cmd("context use default").warns("Current context is now").ok();
        assert_eq!(current().get("currentContext"), None);
        // What docker selected by itself may be ignored; what is elsewhere may not.
        dhow.write("home/.docker/config.json", r#"{"currentContext": "desktop"}"#);
        dhow.cmd("ps").ok();
        dhow.write("home/.docker/config.json", r#"{"currentContext": "far"}"#);
        dhow.cmd("ps").fails(1, &["tcp://elsewhere:2375"]);
        dhow.cmd("--context default ps").ok();
        dhow.write("home/.docker/config.json", r#"{"currentContext": "nope"}"#);
        dhow.cmd("ps").fails(1, &["context not found", "context use default"]);
        let listed = dhow.cmd("context ls").ok().out();
        assert!(listed.lines().last().unwrap().starts_with("nope *"), "{listed}");
    }
}
