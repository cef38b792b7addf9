//! The command line itself: dispatch, help, mistakes and their exit codes, formats, configuration.

use std::os::unix::fs::symlink;

use crate::support::{each_mode, fixtures};

each_mode! {
    fn the_version_is_one_line(dhow) {
        let own = format!("dhow version {}", env!("CARGO_PKG_VERSION"));
        for line in ["--version", "-v", "-D --version"] {
            assert_eq!(dhow.cmd(line).ok().out(), own);
        }
        assert!(!dhow.root().exists(), "asking for the version makes no store");
    }

    fn called_docker_it_answers_as_docker(dhow) {
        let docker = dhow.dir().join("docker");
        symlink(fixtures::binary(), &docker).unwrap();
        let docker = docker.to_str().unwrap();
        let version = dhow.tool(docker).arg("--version").ok().out();
        assert!(version.starts_with("Docker version 2") && version.contains(", build "), "{version}");
        dhow.tool(docker).arg("no-such-command").fails(1, &["docker: unknown command: docker no-such-command"]);
        let server = dhow.tool(docker).args(["version", "--format", "{{.Server.Version}}"]).ok().out();
        assert!(version.contains(&server), "{server}");
    }

    fn help_is_there_for_everything(dhow) {
        let all = dhow.cmd("--help").ok().out();
        for word in ["run", "image", "--config"] {
            assert!(all.contains(word), "{word}: {all}");
        }
        assert_eq!(dhow.cmd("").ok().out(), all);
        assert_eq!(dhow.cmd("help").ok().out(), all);
        let of_run = dhow.cmd("run --help").ok().out();
        assert!(of_run.contains("dhow run [OPTIONS] IMAGE [COMMAND] [ARG...]"), "{of_run}");
        assert_eq!(dhow.cmd("help run").ok().out(), of_run);
        assert!(dhow.cmd("container").ok().out().contains("rm"));
        assert!(dhow.cmd("ps -h").ok().out().contains("--no-trunc"));
    }

    fn mistakes_have_dockers_exit_codes(dhow) {
        dhow.cmd("iamges").fails(1, &["unknown command: dhow iamges", "did you mean `images`?"]);
        dhow.cmd("image lss").fails(1, &["unknown command: dhow image lss", "did you mean `ls`?"]);
        dhow.cmd("swarm init").fails(1, &["swarm", "this version of dhow does not"]);
        dhow.cmd("system dial-stdio").fails(1, &["system dial-stdio", "this version of dhow does not"]);
        dhow.cmd("ps --al").fails(125, &["unknown flag: --al", "did you mean --all?"]);
        dhow.cmd("ps -y").fails(125, &["unknown shorthand flag", "-y"]);
        dhow.cmd("ps --format").fails(125, &["flag needs an argument: --format"]);
        dhow.cmd("ps surplus").fails(1, &["surplus"]);
        dhow.cmd("rm").fails(1, &["CONTAINER"]);
        dhow.cmd("ps --last=many").fails(125, &["many", "--last"]);
        dhow.cmd("--no-such-flag ps").fails(125, &["--no-such-flag"]);
    }

    fn there_is_no_daemon_to_connect_to(dhow) {
        dhow.cmd("-H tcp://127.0.0.1:1 ps").fails(1, &["--host tcp://127.0.0.1:1", "is the engine"]);
        dhow.cmd("--context other ps").fails(1, &["--context other"]);
        dhow.cmd("--tlsverify ps").fails(1, &["--tls"]);
        dhow.cmd("-l loud ps").fails(1, &["loud"]);
        dhow.cmd("--context default -l debug ps -q").ok();
    }

    fn flags_of_run_are_checked_before_anything_is_made(dhow) {
        for (line, parts) in [
            ("-d -a stdout x", &["Conflicting options: -a and -d"] as &[&str]),
            ("-p 80:80/sctp x", &["SCTP"]),
            ("-p 80:http x", &["invalid containerPort: http"]),
            ("--ip 192.0.2.9 x", &["user defined networks only"]),
            ("--network host --network none x", &["both user-defined and non-user-defined"]),
            ("--rm --restart always x", &["--restart", "--rm"]),
            ("--log-driver sometimes x", &["no log driver named"]),
            ("--log-opt max-size=much x", &["max-size"]),
            ("--no-healthcheck --health-cmd true x", &["--no-healthcheck conflicts"]),
            ("--restart sometimes x", &["--restart"]),
            ("--health-interval soon x", &["soon", "--health-interval"]),
            ("-m much x", &["much", "--memory"]),
            ("-v relative/dir:/x y", &["relative/dir"]),
            ("-v /a:/x --tmpfs /x y", &["Duplicate mount point: /x"]),
            ("--mount type=bind,src=/a y", &["target is required"]),
            ("--mount type=bind,src=/a,dst=/b,color=red y", &["color"]),
            ("--network mesh y", &["mesh"]),
            ("--env-file /no/such/file y", &["/no/such/file"]),
            ("--security-opt seccomp=/no/such/file y", &["/no/such/file"]),
            ("--sysctl kernel.panic=1 y", &["kernel.panic"]),
            ("--network host --sysctl net.core.somaxconn=1 y", &["host network namespace"]),
            ("--ulimit nofile=9:8 y", &["nofile=9:8"]),
            ("--name -x y", &["-x"]),
            ("--platform windows/amd64 y", &["windows/amd64"]),
            ("--pull sometimes y", &["sometimes"]),
            ("-a stdwhat y", &["stdwhat"]),
            ("-u x -w here y", &["here"]),
        ] {
            dhow.cmd(&format!("run {line}")).fails(125, parts);
        }
        assert!(dhow.cmd("ps -aq").ok().out().is_empty());
    }

    fn a_reader_that_goes_away_is_no_error(dhow) {
        let script = format!("set -o pipefail; {} --help | :; echo ${{PIPESTATUS[0]}}", fixtures::binary().display());
        let output = dhow.tool("bash -c").arg(&script).output();
        assert!(["0", "141"].contains(&output.out().as_str()), "{}", output.out());
        assert_eq!(output.err(), "");
    }

    fn a_full_disk_below_the_output_is_an_error(dhow) {
        let script = format!("{} --help >/dev/full", fixtures::binary().display());
        dhow.tool("bash -c").arg(&script).fails(1, &["No space left"]);
    }

    fn formats_are_go_templates(dhow) {
        let info = |format: &str| dhow.cmd("info -f").arg(format).ok().out();
        assert_eq!(info("{{.OSType}}"), "linux");
        assert_eq!(info("{{json .DockerRootDir}}"), format!("{:?}", dhow.root().display().to_string()));
        assert_eq!(info("{{.ServerVersion}}"), env!("CARGO_PKG_VERSION"));
        let mode = if dhow.mode == crate::support::Mode::Mapped { "mapped" } else { "single" };
        assert_eq!(info("{{.Identity}}"), mode);
        dhow.cmd("info -f").arg("{{.Broken").fails(1, &["template parsing error"]);
        let json: serde_json::Value = serde_json::from_str(&info("json")).unwrap();
        assert_eq!(json["Driver"], "overlay");
    }

    fn dockers_configuration_is_honoured(dhow) {
        let config = r#"{"psFormat": "<{{.Names}}>", "imagesFormat": "[{{.Repository}}]", "detachKeys": "nonsense"}"#;
        let dir = dhow.write("client/config.json", config).parent().unwrap().to_owned();
        dhow.cmd("run --network none --name listed dhow.local/demo").ok();
        dhow.cmd("--config").arg(&dir).args(["run", "--rm", "dhow.local/demo"]).ok();
        assert_eq!(dhow.cmd("--config").arg(&dir).args(["ps", "-a"]).ok().out(), "<listed>");
        assert_eq!(dhow.cmd("images").env("DOCKER_CONFIG", &dir).ok().out(), "[dhow.local/demo]");
        assert_eq!(dhow.cmd("ps -aq --no-trunc").env("DOCKER_CONFIG", &dir).ok().out().len(), 64);
        dhow.write("client/config.json", "{");
        let broken = dhow.cmd("ps -a").env("DOCKER_CONFIG", &dir).warns("config.json").ok().out();
        assert!(broken.starts_with("CONTAINER ID"), "{broken}");
        dhow.cmd("run dhow.local/demo").env("DOCKER_DEFAULT_PLATFORM", "a/b/c/d").fails(125, &["DOCKER_DEFAULT_PLATFORM"]);
    }

    fn completions_are_those_of_the_name_it_is_called_by(dhow) {
        let script = dhow.cmd("completion bash").ok().out();
        assert!(script.contains("complete -F _dhow"), "{script}");
        dhow.cmd("completion tcsh").fails(1, &["tcsh", "bash"]);
    }
}
