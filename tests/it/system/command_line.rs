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

    fn called_docker_it_fails_in_dockers_words(dhow) {
        dhow.with_busybox();
        let program = dhow.dir().join("docker");
        symlink(fixtures::binary(), &program).unwrap();
        let says = |line: &str, code: i32, said: &str| {
            let output = dhow.tool(program.to_str().unwrap()).words(line).fails(code, &[]);
            assert!(output.err().starts_with(said), "{line}: {}", output.err());
        };
        // What docker 26 says to each.
        says("inspect nope", 1, "Error: No such object: nope");
        says("rm nope", 1, "Error response from daemon: No such container: nope");
        says("kill nope", 1, "Error response from daemon: cannot kill container: nope: No such container: nope");
        says("container inspect nope", 1, "Error response from daemon: No such container: nope");
        says("image inspect nope", 1, "Error response from daemon: No such image: nope:latest");
        says("rmi nope", 1, "Error response from daemon: No such image: nope:latest");
        says("volume rm nope", 1, "Error response from daemon: get nope: no such volume");
        says("network rm nope", 1, "Error response from daemon: network nope not found");
        says("start nope", 1, "Error response from daemon: No such container: nope\nError: failed to start containers: nope");
        says("run -w here busybox", 125, "docker: the working directory 'here' is invalid");
        says("run --frob busybox", 125, "docker: unknown flag: --frob");
        dhow.cmd("create --name taken busybox").ok();
        says("create --name taken busybox", 1, "Error response from daemon: ");
        says("run --name taken busybox", 125, "docker: Error response from daemon: ");
        says("inspect -f {{.Nope}} taken", 1, "template parsing error: ");
        // Under its own name it says its own.
        let own = dhow.cmd("rm nope").fails(1, &[]).err();
        assert_eq!(own, "dhow: No such container: nope");
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

    fn an_empty_value_means_that_the_flag_was_not_given(dhow) {
        dhow.with_busybox();
        // docker 26 creates a container with each of these.
        let texts = "--name --hostname --domainname --platform --cidfile --cgroup-parent --cgroupns --health-cmd --ip --ip6 --ipc \
            --isolation --log-driver --mac-address --pid --pull --restart --runtime --stop-signal --user --userns --uts \
            --volume-driver --workdir --cpuset-cpus --cpuset-mems";
        let mut create = dhow.cmd("create --network none");
        for flag in texts.split_whitespace() {
            create = create.arg(flag).arg("");
        }
        let id = create.words("--name= -u= busybox true").ok().out();
        dhow.cmd("start -a --detach-keys").arg("").arg(&id).ok();
        // And refuses these.
        for flag in ["--memory", "--cpus", "--stop-timeout", "--health-interval", "--env", "--label", "--mount", "--ulimit"] {
            dhow.cmd("create").arg(flag).arg("").words("busybox true").fails(125, &[]);
        }
        for listing in ["ps", "images", "volume ls", "network ls"] {
            dhow.cmd(listing).words("--filter= --format=").arg("--filter").arg("").ok();
        }
        dhow.cmd("stop -s").arg("").arg(&id).ok();
        dhow.cmd("volume create --driver").args(["", "kept"]).ok();
        dhow.cmd("logs --since= --until=").arg(&id).ok();
        assert_eq!(dhow.cmd("ps -aq --no-trunc").ok().out(), id);
        dhow.cmd("kill --signal").arg("").arg(&id).fails(1, &["is not running"]);
        // An empty program is one: it takes the image's away.
        dhow.cmd("create --network none --name bare --entrypoint").args(["", "busybox", "true"]).ok();
        assert_eq!(crate::support::containers::inspect(dhow, "bare", "len .Config.Entrypoint"), "0");
    }

    fn create_refuses_with_the_exit_code_of_run(dhow) {
        dhow.with_busybox();
        // docker 26: 125 for what its client refuses, 1 for what its daemon does.
        for line in ["-w here busybox", "-v rel/dir:/x busybox", "--env-file /no/such/file busybox", "-m much busybox", "-l =x busybox"] {
            for command in ["create", "run", "container create"] {
                dhow.cmd(command).words(line).fails(125, &[]);
            }
        }
        dhow.cmd("create --name taken busybox").ok();
        dhow.cmd("create --name taken busybox").fails(1, &["already in use"]);
        dhow.cmd("create --pull never nosuch:image").fails(1, &["No such image"]);
        dhow.cmd("run --pull never nosuch:image").fails(125, &["No such image"]);
    }

    fn labels_are_those_of_docker(dhow) {
        dhow.with_busybox();
        for bad in ["a b", "a b=c", "e =f", ""] {
            // docker 26 says `label 'a b' contains whitespaces`, and exits with 125.
            let name = if bad.is_empty() { "name" } else { "contains whitespaces" };
            for command in ["run", "create", "volume create", "network create", "build"] {
                dhow.cmd(command).args(["--label", bad, "busybox"]).fails(125, &[name, "--label"]);
            }
        }
        // docker 26 leaves out the name without a value even where the environment has it.
        let file = dhow.write("labels", "unset\nFROM_THE_ENVIRONMENT\na=file\nb=\n# no\n");
        dhow.cmd("create --name labelled --label-file").arg(&file).args(["-l", "a=flag", "-l", "bare", "busybox"])
            .env("FROM_THE_ENVIRONMENT", "value").ok();
        let labels = crate::support::containers::inspect(dhow, "labelled", "json .Config.Labels");
        assert_eq!(labels, r#"{"FROM_THE_ENVIRONMENT":"value","a":"flag","b":"","bare":""}"#);
        dhow.write("labels", "x y=z\n");
        dhow.cmd("create --label-file").arg(&file).arg("busybox").fails(125, &["contains whitespaces"]);
    }

    fn protection_of_a_connection_is_refused(dhow) {
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
