//! `RUN`: the environment of the program, what it can reach, and that the layer holds its changes and nothing else.

use std::fs;
use std::io::Read as _;
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::support::{Dhow, Output, each_mode};

/// Builds `FROM busybox` and `lines` in the context `ctx`, which may fail.
fn built(dhow: &Dhow, lines: &str, options: &str) -> Output {
    dhow.write("ctx/Dockerfile", format!("FROM busybox\n{lines}\n"));
    let ctx = dhow.dir().join("ctx");
    dhow.cmd("build --progress plain --network none -t made").words(options).arg(&ctx).output()
}

/// The same, which must succeed; returns the progress output.
fn build(dhow: &Dhow, lines: &str, options: &str) -> String {
    let output = built(dhow, lines, options);
    assert_eq!(output.code, 0, "{lines}\n{}", output.err());
    output.err()
}

/// The files of the last layer of `image`: path, owner and group, mode.
fn last_layer(dhow: &Dhow, image: &str) -> Vec<(String, (u64, u64), u32)> {
    let archive = dhow.cmd("save").arg(image).ok().stdout;
    let mut members: Vec<(String, Vec<u8>)> = Vec::new();
    for member in tar::Archive::new(&archive[..]).entries().unwrap() {
        let mut member = member.unwrap();
        let name = member.path().unwrap().to_string_lossy().into_owned();
        let mut content = Vec::new();
        member.read_to_end(&mut content).unwrap();
        members.push((name, content));
    }
    let find = |name: &str| &members.iter().find(|(known, _)| known == name).unwrap().1;
    let manifest: serde_json::Value = serde_json::from_slice(find("manifest.json")).unwrap();
    let layer = manifest[0]["Layers"].as_array().unwrap().last().unwrap().as_str().unwrap();
    let mut files = Vec::new();
    for member in tar::Archive::new(&find(layer)[..]).entries().unwrap() {
        let member = member.unwrap();
        let head = member.header();
        let path = member.path().unwrap().to_string_lossy().into_owned();
        files.push((path, (head.uid().unwrap(), head.gid().unwrap()), head.mode().unwrap()));
    }
    files
}

fn paths(dhow: &Dhow, image: &str) -> Vec<String> {
    last_layer(dhow, image).into_iter().map(|(path, ..)| path).collect()
}

fn layers(dhow: &Dhow, image: &str) -> usize {
    let format = "{{len .RootFS.Layers}}";
    dhow.cmd("image inspect -f").args([format, image]).ok().out().parse().unwrap()
}

/// Whether a file below `dir` contains `needle`.
fn found_below(dir: &Path, needle: &[u8]) -> bool {
    let Ok(entries) = fs::read_dir(dir) else { return false };
    entries.flatten().any(|entry| {
        let path = entry.path();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => found_below(&path, needle),
            kind if kind.is_file() => {
                fs::read(&path).is_ok_and(|content| crate::support::process::contains(&content, needle))
            }
            _ => false,
        }
    })
}

each_mode! {
    /// docker 26: a secret is mounted noexec, unless its mode says that it may be executed.
    fn a_secret_may_be_executed_where_its_mode_says_so(dhow) {
        dhow.with_busybox();
        let secret = dhow.write("secret", "#!/bin/sh\necho executed > /out\n");
        let options = format!("--secret id=s,src={}", secret.display());
        build(dhow, "RUN --mount=type=secret,id=s,mode=0700,target=/x /x", &options);
        assert_eq!(dhow.run("made cat /out").ok().out(), "executed");
        let refused = built(dhow, "RUN --mount=type=secret,id=s,target=/x grep ' /x .*noexec' /proc/mounts && /x", &options);
        assert!(refused.code == 1 && refused.err().contains("exit code: 126"), "{}", refused.err());
    }

    /// As in BuildKit, which looks at the type when the variables have values.
    fn a_mount_whose_type_is_a_variable_is_one_of_that_type(dhow) {
        dhow.with_busybox();
        dhow.write("ctx/of-the-context", "x");
        let lines = "ARG T\nARG N\nRUN --mount=type=$T,target=/m test ! -e /m/of-the-context && test \"$(grep -c ' /m ' /proc/mounts)\" = 1 && ls /m >/seen; touch /m/f$N";
        build(dhow, lines, "--build-arg T=cache --build-arg N=1");
        build(dhow, lines, "--build-arg T=cache --build-arg N=2");
        assert_eq!(dhow.run("made cat /seen").ok().out(), "f1");
        // The context is another one, the cache is the same.
        dhow.write("ctx/more", "x");
        build(dhow, lines, "--build-arg T=cache --build-arg N=3");
        assert_eq!(dhow.run("made cat /seen").ok().out(), "f1\nf2");
        build(dhow, lines, "--build-arg T=tmpfs --build-arg N=4");
        assert_eq!(dhow.run("made cat /seen").ok().out(), "");
    }

    fn the_layer_is_what_the_program_changed(dhow) {
        dhow.with_busybox();
        build(dhow, "RUN mkdir -p /new/deep && echo x >/new/deep/file && chmod 4755 /new/deep/file && rm /etc/group", "");
        let found = last_layer(dhow, "made");
        let paths: Vec<&str> = found.iter().map(|(path, ..)| path.as_str()).collect();
        assert_eq!(paths, ["etc/", "etc/.wh.group", "new/", "new/deep/", "new/deep/file"]);
        assert!(found.iter().all(|(_, owner, _)| *owner == (0, 0)) && found[4].2 == 0o4755, "{found:?}");
        assert_eq!(dhow.run("made").sh("cat /new/deep/file; ls /etc/group 2>&1 | grep -c 'No such'").ok().lines(), ["x", "1"]);
        // What changes nothing makes no layer.
        assert_eq!(layers(dhow, "made"), 2);
        build(dhow, "RUN true", "");
        assert_eq!(layers(dhow, "made"), 1);
    }

    fn owners_are_those_that_the_program_had_and_gave(dhow) {
        dhow.with_busybox();
        build(dhow, "RUN mkdir /w && chown worker:staff /w\nUSER worker\nRUN echo x >/w/mine && id -u >/w/id && mkdir /w/sub", "");
        let found = last_layer(dhow, "made");
        let owner = |path: &str| found.iter().find(|(known, ..)| known == path).unwrap().1;
        assert_eq!(owner("w/"), (1000, 50));
        for path in ["w/mine", "w/id", "w/sub/"] {
            assert_eq!(owner(path), (1000, 1000), "{path}");
        }
        assert_eq!(dhow.run("made cat /w/id").ok().out(), "1000");
    }

    fn mounts_leave_nothing_behind(dhow) {
        dhow.with_busybox();
        dhow.make_dir("ctx/sub");
        dhow.write("ctx/sub/file", "of the context\n");
        dhow.write("key", "topsecret-a8f3");
        let key = format!("--secret id=key,src={}", dhow.dir().join("key").display());
        build(dhow, "RUN --mount=type=bind,source=sub,target=/m/bind/deep,rw --mount=type=bind,from=busybox,source=/bin,target=/etc/image \
            --mount=type=bind,source=sub/file,target=/usr/one/file --mount=type=cache,target=/var/cache/x \
            --mount=type=tmpfs,target=/m/tmp,size=1m --mount=type=secret,id=key --mount=type=secret,id=key,target=/root/k,env=KEY \
            cat /m/bind/deep/file /usr/one/file /run/secrets/key && test -x /etc/image/busybox && test \"$KEY\" = \"$(cat /root/k)\" && \
            echo 1 >/m/bind/deep/x && echo 1 >/var/cache/x/x && echo 1 >/m/tmp/x && echo 1 >/etc/hosts && echo 1 >/etc/resolv.conf", &key);
        assert_eq!(layers(dhow, "made"), 1, "not even an empty directory");
        assert!(!dhow.dir().join("ctx/sub/x").exists(), "what is written to a bind mount is forgotten");
        build(dhow, "RUN --mount=type=tmpfs,target=/m/tmp --mount=type=secret,id=key,target=/m/key touch /m/own /tmp/own", &key);
        assert_eq!(paths(dhow, "made"), ["m/", "m/own", "tmp/", "tmp/own"]);
        assert!(!found_below(&dhow.root(), b"topsecret-a8f3"), "a secret reached the disk");
    }

    fn mounts_of_files_that_may_not_be_changed(dhow) {
        dhow.with_busybox();
        dhow.make_dir("ctx/sub");
        dhow.write("ctx/sub/file", "f\n");
        dhow.write("ctx/ignored/file", "f\n");
        dhow.write("ctx/.dockerignore", "ignored\n");
        let said = build(dhow, "RUN --mount=target=/ctx touch /ctx/x 2>&1 | cat; ls /ctx; ls /ctx/sub", "");
        assert!(said.contains("Read-only file system"), "{said}");
        assert!(!said.contains("ignored"), "what the context leaves out is not there: {said}");
        let said = build(dhow, "RUN --mount=target=/ctx,rw rm -r /ctx/sub && ls /ctx", "");
        assert!(!said.contains("sub\n") && dhow.dir().join("ctx/sub/file").exists(), "{said}");
        // Another stage, at a state that is no image.
        let said = build(dhow, "RUN echo staged >/staged && rm /etc/group\nFROM busybox\nRUN --mount=from=0,target=/other cat /other/staged; ls /other/etc", "");
        assert!(said.contains(" staged\n") && !said.contains(" group\n"), "{said}");
        // In the order of their depth, whatever the order in the file.
        let said = build(dhow, "RUN --mount=type=tmpfs,target=/a/b/c --mount=type=tmpfs,target=/a/b mount | grep -c /a/b", "");
        assert!(said.contains(" 2\n"), "{said}");
    }

    fn secrets_have_owners_and_may_be_missing(dhow) {
        dhow.with_busybox();
        let said = build(dhow, "RUN --mount=type=secret,id=a,mode=0444,uid=1000,gid=50 --mount=type=secret,id=b,env=B stat -c '%a %n' /run/secrets/a; ls /run/secrets; echo \"[$B]\"",
            "--secret id=a,env=VALUE");
        assert!(said.contains("[]"), "{said}");
        let output = built(dhow, "RUN --mount=type=secret,id=nope,required true", "");
        assert!(output.code == 1 && output.err().contains("secret nope: not found"), "{}", output.err());
        let output = built(dhow, "RUN --mount=type=secret,id=nope,target=/ true", "");
        assert!(output.code == 1 && output.err().contains("invalid mount target"), "{}", output.err());
    }

    fn caches_stay_and_are_used_in_turn(dhow) {
        dhow.with_busybox();
        for count in 1..=2 {
            let said = build(dhow, &format!("RUN --mount=type=cache,id=c,target=/c,uid=1000,mode=0750 echo {count} >>/c/list && stat -c %a /c && wc -l </c/list"), "");
            assert!(said.contains(&format!(" {count}\n")) && said.contains(" 750\n"), "{said}");
        }
        // One that begins with what another stage has.
        let said = build(dhow, "RUN mkdir /seed && echo seeded >/seed/file\nFROM busybox\nRUN --mount=type=cache,id=s,from=0,source=/seed,target=/c cat /c/file && echo changed >/c/file", "");
        assert!(said.contains(" seeded"), "{said}");
        // Whoever has it alone waits for the others: both would fail if they met.
        let stage = |name: &str| format!("FROM busybox AS {name}\nRUN --mount=type=cache,id=l,target=/c,sharing=locked mkdir /c/in && sleep 0.3 && rmdir /c/in && touch /{name}\n");
        let both = format!("{}{}FROM busybox\nCOPY --from=a /a /\nCOPY --from=b /b /", stage("a"), stage("b"));
        build(dhow, &both, "");
        let private = both.replace("sharing=locked", "sharing=private,id=p");
        build(dhow, &private, "");
    }

    fn here_documents_are_scripts(dhow) {
        dhow.with_busybox();
        build(dhow, "RUN <<EOF\nset -e\necho one >/out\necho two >>/out\nEOF\nRUN <<END\n#!/bin/awk -f\nBEGIN { print \"awk\", ENVIRON[\"A\"] >\"/awk\" }\nEND\nRUN cat <<X >/x\nin $PATH\nX\n", "");
        assert_eq!(dhow.run("made cat /out /awk").ok().lines(), ["one", "two", "awk "]);
        assert!(dhow.run("made cat /x").ok().out().starts_with("in /"));
        let output = built(dhow, "SHELL [\"/bin/sh\", \"-ec\"]\nRUN false; echo no", "");
        assert!(output.code == 1 && output.err().contains("process \"/bin/sh -ec false; echo no\""), "{}", output.err());
    }

    fn the_surroundings_are_those_asked_for(dhow) {
        dhow.with_busybox();
        let said = build(dhow, "ARG A=arg\nENV E=env\nWORKDIR /w\nRUN echo \"$A $E $PWD $(hostname) $HOME\"; grep there /etc/hosts; df -k /dev/shm | tail -n 1; ulimit -n",
            "--add-host there:192.0.2.7 --shm-size 2m --ulimit nofile=200:300");
        for wanted in ["arg env /w buildkitsandbox /root", "192.0.2.7\tthere", " 2048 ", " 200\n"] {
            assert!(said.contains(wanted), "{wanted:?}: {said}");
        }
        // BuildKit in docker 26 writes that name to both places, too.
        let said = build(dhow, "RUN hostname; cat /etc/hosts", "--build-arg BUILDKIT_SANDBOX_HOSTNAME=my-host");
        assert!(said.contains(" my-host\n") && said.contains("127.0.0.1\tmy-host\n") && !said.contains("buildkitsandbox"), "{said}");
        let said = build(dhow, "RUN [\"/bin/echo\", \"$HOME\"]\nRUN ip -o link | wc -l\nRUN ls / && ls -A /dev", "");
        assert!(said.contains(" $HOME\n") && said.contains(" 1\n") && !said.contains(".dockerenv"), "{said}");
    }

    fn what_reaches_beyond_must_be_allowed(dhow) {
        dhow.with_busybox();
        for (line, what) in [("RUN --network=host true", "network.host"), ("RUN --security=insecure true", "security.insecure")] {
            let output = built(dhow, line, "");
            assert!(output.code == 1 && output.err().contains(&format!("{what} is not allowed")), "{}", output.err());
            build(dhow, line, &format!("--allow {what}"));
            // Nor is a result that is in the cache, as docker 26 has it: before anything runs.
            let cached = built(dhow, &format!("RUN echo first\n{line}"), "");
            assert!(cached.code == 1 && cached.err().contains(&format!("{what} is not allowed")), "{}", cached.err());
            assert!(cached.err().contains("Dockerfile:3\n") && !cached.err().contains("] RUN echo first"), "{}", cached.err());
            let cached = built(dhow, line, "");
            assert!(cached.code == 1 && cached.err().contains(&format!("{what} is not allowed")), "{}", cached.err());
        }
        let said = build(dhow, "RUN --security=insecure mount -t tmpfs none /tmp && echo mounted", "--allow security.insecure --no-cache");
        assert!(said.contains("mounted"), "{said}");
        let output = built(dhow, "RUN nothing-like-it", "");
        assert!(output.code == 1 && output.err().contains("exit code: 127"), "{}", output.err());
        let output = built(dhow, "RUN [\"/nothing\"]", "");
        assert!(output.code == 1 && output.err().contains("no such file or directory"), "{}", output.err());
    }

    fn an_agent_is_reached_through_a_socket_of_the_steps_own(dhow) {
        dhow.with_busybox();
        let path = dhow.dir().join("agent.sock");
        let _agent = UnixListener::bind(&path).unwrap();
        dhow.give(&path);
        let said = build(dhow, "RUN --mount=type=ssh,mode=0666 --mount=type=ssh,target=/own test -S $SSH_AUTH_SOCK && test -S /own && echo \"at $SSH_AUTH_SOCK\" && stat -c %a $SSH_AUTH_SOCK",
            &format!("--ssh default={}", path.display()));
        assert!(said.contains("at /run/buildkit/ssh_agent.0") && said.contains(" 666\n"), "{said}");
        assert_eq!(layers(dhow, "made"), 1);
        let output = built(dhow, "RUN --mount=type=ssh,required true", "");
        assert!(output.code == 1 && output.err().contains("no SSH key \"default\" forwarded"), "{}", output.err());
    }

    fn a_failed_step_can_be_looked_into_and_gone_on_from(dhow) {
        dhow.with_busybox();
        let lines = "RUN echo before >/before\nRUN echo half >>/half; test -e /run/secrets/go";
        let with = "RUN echo before >/before\nRUN echo half >>/half; test -e /run/secrets/go";
        let output = built(dhow, lines, "");
        let said = output.err();
        assert!(output.code == 1 && said.contains("exit code: 1"), "{said}");
        let name = said.split_whitespace().find(|word| word.starts_with("dhow.local/failed:")).expect(&said);
        assert_eq!(dhow.run(name).sh("cat /before /half").ok().lines(), ["before", "half"]);
        // Again it fails, on top of what it left.
        let output = built(dhow, with, "--resume");
        assert_eq!(output.code, 1, "{}", output.err());
        assert_eq!(dhow.run(name).sh("cat /before /half").ok().lines(), ["before", "half", "half"]);
        assert_eq!(dhow.cmd("images -q").ok().lines().len(), 2, "the state is one image, and the base another");
        // Without that it begins anew.
        built(dhow, with, "");
        assert_eq!(dhow.run(name).sh("cat /half").ok().lines(), ["half"]);
    }

    fn a_build_that_is_killed_leaves_nothing_that_stays(dhow) {
        dhow.with_busybox();
        dhow.write("ctx/Dockerfile", "FROM busybox\nRUN echo begun && touch /x && sleep 1000\n");
        let ctx = dhow.dir().join("ctx");
        let mut running = dhow.cmd("build --progress plain --network none").arg(&ctx).after_shell("exec 2>&1").start();
        running.expect("begun");
        assert_eq!(dhow.cmd("ps -aq").ok().out(), "", "a step is no container");
        running.kill();
        dhow.settle();
        build(dhow, "RUN touch /y", "");
        for dir in ["containers", "tmp", "trash"] {
            let left: Vec<_> = fs::read_dir(dhow.root().join(dir)).unwrap().flatten().map(|entry| entry.file_name()).collect();
            assert!(left.iter().all(|name| name == "by-name"), "{dir}: {left:?}");
        }
    }

    fn on_the_default_network_it_has_an_address(dhow) {
        dhow.with_busybox();
        dhow.write("ctx/Dockerfile", "FROM busybox\nRUN ip -o addr show eth0 | grep -c inet; cat /etc/resolv.conf\n");
        let output = dhow.cmd("build --progress plain").arg(dhow.dir().join("ctx")).output();
        assert!(output.code == 0 && output.err().contains("nameserver 127.0.0.11"), "{}", output.err());
    }
}
