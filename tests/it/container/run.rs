//! `run` in the foreground: streams, exit codes, users, mounts, and what else flags ask for.

use std::fs;

use crate::support::{Entry, Image, Layer, Mode, each_mode, fixtures};

each_mode! {
    fn output_and_exit_code_are_the_commands(dhow) {
        dhow.with_busybox();
        let output = dhow.run("busybox").sh("echo out; echo err >&2; exit 42").output();
        assert_eq!((output.code, output.out().as_str(), output.err().as_str()), (42, "out", "err"));
        assert_eq!(dhow.run("busybox echo hello").ok().out(), "hello");
        dhow.run("busybox true").ok();
        dhow.run("busybox false").exits(1);
    }

    fn a_signal_that_ends_the_command_shows_in_the_exit_code(dhow) {
        dhow.with_busybox();
        dhow.run("--init busybox").sh("kill -KILL $$").exits(137);
        dhow.run("--init busybox").sh("kill -TERM $$").exits(143);
    }

    fn exit_codes_tell_what_failed(dhow) {
        dhow.with_busybox();
        dhow.run("busybox no-such-command").fails(127, &["no-such-command"]);
        dhow.run("busybox /no/such/file").fails(127, &["/no/such/file"]);
        dhow.run("busybox /etc/passwd").fails(126, &["/etc/passwd", "ermission denied"]);
        dhow.run("busybox /etc").fails(126, &["/etc"]);
        dhow.run("--pull never absent true").fails(125, &["absent"]);
        dhow.run("--no-such-flag busybox true").fails(125, &["--no-such-flag"]);
        dhow.run("").fails(1, &["at least 1 argument"]);
    }

    fn standard_input_is_passed_only_when_asked(dhow) {
        dhow.with_busybox();
        let text = "line\n".repeat(100_000);
        let output = dhow.run("-i busybox cat").stdin(text.clone()).ok();
        assert_eq!(output.stdout.len(), text.len());
        assert_eq!(dhow.run("busybox cat").stdin("ignored").ok().out(), "");
    }

    fn binary_output_passes_unchanged(dhow) {
        dhow.with_busybox();
        let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
        assert_eq!(dhow.run("-i busybox cat").stdin(bytes.clone()).ok().stdout, bytes);
    }

    fn a_reader_that_goes_away_ends_the_writer(dhow) {
        dhow.with_busybox();
        let mut running = dhow.run("busybox yes").start_piped();
        running.expect("y\ny\n");
        running.kill();
        drop(running);
    }

    fn the_environment_is_the_images_and_what_was_asked(dhow) {
        let image = Image::new([fixtures::busybox_layer()]).set("Env", vec!["PATH=/bin", "FROM_IMAGE=1", "SHARED=image"]);
        dhow.load(&image, "env");
        let file = dhow.write("file.env", "# comment\nFROM_FILE=a b\n\nPASSED_BY_FILE\nSHARED=file\n");
        let output = dhow
            .run("-e SHARED=flag -e EMPTY= -e PASSED -e NOT_SET -h boat --env-file").arg(file).arg("env").arg("env")
            .env("PASSED", "through").env("PASSED_BY_FILE", "too").env("NOT_ASKED", "1").ok();
        let mut lines = output.lines();
        lines.sort();
        let expected = ["EMPTY=", "FROM_FILE=a b", "FROM_IMAGE=1", "HOME=/root", "HOSTNAME=boat", "PASSED=through",
            "PASSED_BY_FILE=too", "PATH=/bin", "SHARED=flag"];
        assert_eq!(lines, expected);
    }

    fn the_working_directory_is_made_where_it_is_missing(dhow) {
        dhow.load(&Image::new([fixtures::busybox_layer()]).set("WorkingDir", "/srv/deep/er"), "workdir");
        assert_eq!(dhow.run("workdir pwd").ok().out(), "/srv/deep/er");
        assert_eq!(dhow.run("-w /made/here workdir pwd").ok().out(), "/made/here");
        dhow.run("-w relative workdir pwd").fails(125, &["relative"]);
        dhow.run("-w /etc/passwd workdir pwd").fails(125, &["/etc/passwd"]);
    }

    fn entrypoint_and_command_combine_as_docker_does(dhow) {
        let image = Image::new([fixtures::busybox_layer()]).set("Entrypoint", vec!["echo", "entry"]).set("Cmd", vec!["cmd"]);
        dhow.load(&image, "entry");
        assert_eq!(dhow.run("entry").ok().out(), "entry cmd");
        assert_eq!(dhow.run("entry other").ok().out(), "entry other");
        assert_eq!(dhow.run("--entrypoint basename entry /a/b").ok().out(), "b");
        assert_eq!(dhow.run("--entrypoint").arg("").args(["entry", "echo", "plain"]).ok().out(), "plain");
        // Another entry point drops the image's command too.
        assert_eq!(dhow.run("--entrypoint echo entry").ok().out(), "");
        dhow.load(&Image::new([fixtures::busybox_layer()]).set("Cmd", serde_json::Value::Null), "nothing");
        dhow.run("nothing").fails(125, &["no command"]);
    }

    fn users_are_found_in_the_images_files(dhow) {
        dhow.load(&Image::new([fixtures::busybox_layer()]).set("User", "worker"), "user");
        let sees = |options: &str, ids: &str, home: &str, groups: &str| {
            let seen = dhow.run(options).sh("echo $(id -u):$(id -g) $HOME; id -G | tr ' ' '\\n' | sort -n | xargs").ok().lines();
            assert_eq!(seen[0], format!("{ids} {home}"), "{options}");
            // With one id only, the kernel keeps the caller's own groups whatever was asked.
            if dhow.mode == Mode::Mapped {
                assert_eq!(seen[1], groups, "{options}");
            }
        };
        sees("user", "1000:1000", "/home/worker", "50 1000");
        sees("-u root user", "0:0", "/root", "0");
        sees("-u 4321 user", "4321:0", "/", "0");
        sees("-u 4321:77 user", "4321:77", "/", "77");
        sees("-u nobody:staff user", "65534:50", "/", "50");
        sees("-u worker --group-add daemon --group-add 99 user", "1000:1000", "/home/worker", "1 50 99 1000");
        dhow.run("-u stranger user id").fails(125, &["stranger"]);
        dhow.run("-u worker:strangers user id").fails(125, &["strangers"]);
    }

    fn files_of_other_users_are_seen_as_theirs(dhow) {
        dhow.load(fixtures::multi_user(), "multi");
        let script = "stat -c '%u:%g %a %n' /data/root /data/worker /data/high /data/setuid /data/private; cat /data/root";
        let seen = dhow.run("multi").sh(script).ok().out();
        // The emulation of owners in `stat` without subordinate ids is not part of what is promised here.
        if dhow.mode == Mode::Mapped {
            assert_eq!(seen, "0:0 644 /data/root\n1000:1000 600 /data/worker\n65534:65534 644 /data/high\n\
                1:1 6755 /data/setuid\n1000:1000 700 /data/private\nroot's, changed");
        }
        let layers = dhow.run("multi").sh("ls /hidden; test -e /gone || echo gone is gone; cat /replaced/inside").ok().out();
        assert_eq!(layers, "after\ngone is gone\ninside");
    }

    fn changing_owners_succeeds(dhow) {
        dhow.with_busybox();
        dhow.run("busybox").sh("touch /f && chown 1000:50 /f && chown -h worker /bin/sh && mkdir /d && chgrp 7 /d").ok();
    }

    fn host_names(dhow) {
        dhow.with_busybox();
        let default = dhow.run("busybox").sh("hostname; cat /etc/hostname").ok().lines();
        assert_eq!(default[0], default[1]);
        assert!(default[0].len() == 12 && default[0].bytes().all(|byte| byte.is_ascii_hexdigit()), "{default:?}");
        let named = dhow.run("-h sloop busybox").sh("hostname; cat /etc/hostname").ok().lines();
        assert_eq!(named, ["sloop", "sloop"]);
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        assert_eq!(dhow.run("--uts host busybox hostname").ok().out(), host.trim());
    }

    fn name_resolution_files_follow_the_flags(dhow) {
        dhow.with_busybox();
        let flags = "--dns 192.0.2.1 --dns-search example.org --dns-option ndots:3 --add-host buoy:192.0.2.7";
        let output = dhow.run(flags).arg("busybox").sh("cat /etc/resolv.conf /etc/hosts").ok().out();
        for line in ["nameserver 192.0.2.1", "search example.org", "options ndots:3", "192.0.2.7\tbuoy"] {
            assert!(output.contains(line), "{line:?}: {output}");
        }
        dhow.run("--add-host nonsense busybox true").fails(125, &["nonsense"]);
        dhow.run("--dns nonsense busybox true").fails(125, &["nonsense"]);
    }

    fn networks_none_and_host(dhow) {
        dhow.with_busybox();
        let interfaces = dhow.run("busybox").sh("ls /sys/class/net; ip addr show lo | grep -c 'inet 127.0.0.1'").ok().out();
        assert_eq!(interfaces, "lo\n1");
        let own = fs::read_link("/proc/self/ns/net").unwrap();
        let seen = dhow.cmd("run --rm --network host busybox readlink /proc/self/ns/net").ok().out();
        assert_eq!(seen, own.to_str().unwrap());
        dhow.cmd("run --rm --network no-such-network busybox true").fails(125, &["no-such-network"]);
    }

    fn a_name_is_taken_while_its_container_runs(dhow) {
        dhow.with_busybox();
        let first = dhow.run("-i --name lugger busybox").sh("echo ready; cat").start_piped();
        first.expect("ready");
        dhow.run("--name lugger busybox true").fails(125, &["lugger", "in use"]);
        drop(first);
        crate::support::leaks::kill(&dhow.account, dhow.dir());
        // The killed container is gone, or is found dead and does not keep its name for ever.
        dhow.run("--name lugger busybox true").output();
        dhow.run("--name -dash busybox true").fails(125, &["-dash"]);
    }

    fn the_container_id_is_written_where_asked(dhow) {
        dhow.with_busybox();
        let file = dhow.home().join("cid");
        dhow.run("--cidfile").arg(&file).args(["busybox", "true"]).ok();
        let id = fs::read_to_string(&file).unwrap();
        assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id:?}");
        dhow.run("--cidfile").arg(&file).args(["busybox", "true"]).fails(125, &["cid"]);
    }

    fn a_read_only_root_refuses_writing(dhow) {
        dhow.with_busybox();
        let script = "touch /file; touch /tmp/file && echo tmp; touch /dev/shm/file && echo shm";
        let output = dhow.run("--read-only --tmpfs /tmp busybox").sh(script).output();
        assert!(output.err().contains("Read-only file system"), "{}", output.err());
        assert_eq!(output.out(), "tmp\nshm");
    }

    fn temporary_file_systems(dhow) {
        dhow.with_busybox();
        let script = "stat -f -c %T /t; df -k /t | tail -1 | awk '{print $2}'; stat -c %a /t; df -k /dev/shm | tail -1 | awk '{print $2}'";
        let output = dhow.run("--tmpfs /t:size=1m,mode=700 --shm-size 2m busybox").sh(script).ok().out();
        assert_eq!(output, "tmpfs\n1024\n700\n2048");
        let mounted = dhow.run("--mount type=tmpfs,target=/m,tmpfs-size=65536,tmpfs-mode=1770 busybox")
            .sh("stat -c %a /m; df -k /m | tail -1 | awk '{print $2}'").ok().out();
        assert_eq!(mounted, "1770\n64");
    }

    fn bind_mounts(dhow) {
        dhow.with_busybox();
        let dir = dhow.make_dir("shared");
        dhow.write("shared/file", "from the host\n");
        let volume = |options: &str| format!("{}:/mnt{options}", dir.display());
        let read = dhow.run("-v").arg(volume("")).arg("busybox").sh("cat /mnt/file; echo back >/mnt/answer").ok();
        assert_eq!(read.out(), "from the host");
        assert_eq!(fs::read_to_string(dir.join("answer")).unwrap(), "back\n");
        assert_eq!(crate::support::leaks::owner(&dir.join("answer")), (dhow.account.uid, dhow.account.gid));
        let refused = dhow.run("-v").arg(volume(":ro")).arg("busybox").sh("echo x >/mnt/answer").output();
        assert!(refused.code != 0 && refused.err().contains("Read-only"), "{}", refused.err());
        let single = dhow.run("-v").arg(format!("{}:/etc/one:ro", dir.join("file").display()));
        assert_eq!(single.args(["busybox", "cat", "/etc/one"]).ok().out(), "from the host");
    }

    fn bind_mounts_of_what_is_missing(dhow) {
        dhow.with_busybox();
        let made = dhow.home().join("made/by/flag");
        dhow.run("-v").arg(format!("{}:/mnt", made.display())).args(["busybox", "true"]).ok();
        assert!(made.is_dir());
        let mount = format!("type=bind,source={},target=/mnt", dhow.home().join("absent").display());
        dhow.run("--mount").arg(mount).args(["busybox", "true"]).fails(125, &["absent"]);
        dhow.run("-v relative/path:/mnt busybox true").fails(125, &["relative/path"]);
        dhow.run("-v /home:relative busybox true").fails(125, &["relative"]);
        dhow.run("--mount type=teapot,target=/x busybox true").fails(125, &["teapot"]);
    }

    fn named_volumes_persist_and_start_with_the_images_content(dhow) {
        let image = Image::new([fixtures::busybox_layer(), Layer::new([Entry::dir("data/"), Entry::file("data/seed", "seed\n")])]);
        dhow.load(&image, "seeded");
        let first = dhow.run("-v hold:/data seeded").sh("cat /data/seed; echo more >/data/more").ok();
        assert_eq!(first.out(), "seed");
        let second = dhow.run("--mount type=volume,source=hold,target=/data seeded").sh("cat /data/seed /data/more").ok();
        assert_eq!(second.out(), "seed\nmore");
        let bare = dhow.run("--mount type=volume,source=bare,target=/data,volume-nocopy seeded ls /data").ok();
        assert_eq!(bare.out(), "");
        dhow.run("-v hold:/data:ro seeded touch /data/x").output();
        assert_eq!(dhow.run("-v hold:/data seeded ls /data").ok().out(), "more\nseed");
    }

    fn the_images_volumes_end_with_the_container(dhow) {
        let layer = Layer::new([Entry::dir("data/"), Entry::file("data/seed", "seed\n")]);
        let image = Image::new([fixtures::busybox_layer(), layer]).set("Volumes", serde_json::json!({"/data": {}}));
        dhow.load(&image, "volume");
        assert_eq!(dhow.run("volume").sh("cat /data/seed; echo x >/data/seed; grep -c ' /data ' /proc/mounts").ok().out(), "seed\n1");
        assert_eq!(dhow.run("volume cat /data/seed").ok().out(), "seed");
        dhow.settle();
        let left = fs::read_dir(dhow.root().join("volumes")).map_or(0, Iterator::count);
        assert_eq!(left, 0, "anonymous volumes are removed with --rm");
    }

    fn changes_do_not_reach_the_image_or_the_next_container(dhow) {
        dhow.with_busybox();
        dhow.run("busybox").sh("echo changed >/etc/passwd; rm -rf /home; touch /new").ok();
        let output = dhow.run("busybox").sh("grep -c worker /etc/passwd; ls -d /home; test -e /new || echo clean").ok();
        assert_eq!(output.out(), "1\n/home\nclean");
    }

    fn limits_and_kernel_settings(dhow) {
        dhow.with_busybox();
        let script = "ulimit -n; ulimit -Hn; ulimit -c; cat /proc/sys/kernel/shm_rmid_forced";
        let flags = "--ulimit nofile=100:200 --ulimit core=0 --sysctl kernel.shm_rmid_forced=1 busybox";
        assert_eq!(dhow.run(flags).sh(script).ok().out(), "100\n200\n0\n1");
        dhow.run("--ulimit nonsense=1 busybox true").fails(125, &["nonsense"]);
        dhow.run("--sysctl kernel.hostname busybox true").fails(125, &["kernel.hostname"]);
        dhow.run("--sysctl vm.swappiness=1 busybox true").fails(125, &["vm.swappiness"]);
    }

    fn an_init_reaps_and_forwards(dhow) {
        dhow.with_busybox();
        // The orphan's parent is process 1, which must take its exit status: this loop ends, or meets its time limit.
        let script = "sh -c 'true &'; while grep -q 'State:.Z' /proc/[0-9]*/status 2>/dev/null; do :; done; echo $$";
        let own_pid = dhow.run("--init busybox").sh(script).ok().out();
        assert_ne!(own_pid, "1");
        assert_eq!(dhow.run("busybox").sh("echo $$").ok().out(), "1");
    }

    fn namespaces_are_shared_where_asked(dhow) {
        dhow.with_busybox();
        for (flag, kind) in [("--ipc host", "ipc"), ("--uts host", "uts"), ("--pid host", "pid"), ("--cgroupns host", "cgroup")] {
            let own = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
            let shared = dhow.run(flag).args(["busybox", "readlink"]).arg(format!("/proc/self/ns/{kind}")).ok().out();
            assert_eq!(shared, own.to_str().unwrap(), "{flag}");
            let private = dhow.run("busybox readlink").arg(format!("/proc/self/ns/{kind}")).ok().out();
            assert_ne!(private, own.to_str().unwrap(), "{kind}");
        }
    }

    fn devices_of_the_host_are_offered_where_asked(dhow) {
        dhow.with_busybox();
        let seen = dhow.run("--device /dev/zero:/dev/nothing busybox").sh("head -c 3 /dev/nothing | od -An -tx1").ok().out();
        assert_eq!(seen.trim(), "00 00 00");
        let nodes = dhow.run("busybox").sh("ls /dev | tr '\\n' ' '; echo x >/dev/null; ls -l /dev/stdin").ok().out();
        for node in ["fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "tty", "urandom", "zero"] {
            assert!(nodes.split(' ').any(|word| word == node), "{node}: {nodes}");
        }
        assert!(!nodes.contains("kmsg"), "{nodes}");
        dhow.run("--device /dev/no-such-device busybox true").fails(125, &["/dev/no-such-device"]);
    }

    fn a_directory_serves_as_root_file_system(dhow) {
        dhow.with_busybox();
        let root = dhow.make_dir("rootfs");
        for dir in ["bin", "proc", "dev", "sys", "etc", "tmp"] {
            dhow.make_dir(&format!("rootfs/{dir}"));
        }
        let busybox = crate::support::find_program("busybox").unwrap();
        fs::copy(busybox, root.join("bin/busybox")).unwrap();
        dhow.give(&root.join("bin/busybox"));
        let output = dhow.run("--rootfs").arg(&root).args(["/bin/busybox", "sh", "-c", "echo inside >/tmp/made; ls /"]).ok();
        assert!(output.lines().contains(&"proc".to_owned()), "{}", output.out());
        assert_eq!(fs::read_to_string(root.join("tmp/made")).unwrap(), "inside\n");
        dhow.run("--rootfs /no/such/dir true").fails(125, &["/no/such/dir"]);
    }

    fn a_foreign_architecture_says_what_is_missing(dhow) {
        let foreign = if std::env::consts::ARCH == "s390x" { "ppc64le" } else { "s390x" };
        dhow.load(&Image::new([fixtures::busybox_layer()]).set_top("architecture", foreign), "foreign");
        if fs::exists(format!("/proc/sys/fs/binfmt_misc/qemu-{foreign}")).unwrap() {
            crate::support::leave_out(&format!("an emulator of {foreign} is registered here"));
            return;
        }
        dhow.run(&format!("--platform linux/{foreign} foreign true")).fails(125, &[foreign, "emulat"]);
    }

    fn images_are_named_by_id_too(dhow) {
        dhow.with_busybox();
        let image = fixtures::busybox();
        for name in [image.id(), image.short_id(), image.id()[7..].to_owned(), "docker.io/library/busybox:latest".to_owned()] {
            assert_eq!(dhow.run("").args([name.as_str(), "echo", "x"]).ok().out(), "x", "{name}");
        }
    }

    fn users_keep_their_id_where_asked(dhow) {
        dhow.with_busybox();
        let output = dhow.run("--userns keep-id busybox").sh("echo $(id -u):$(id -g)").ok().out();
        assert_eq!(output, format!("{}:{}", dhow.account.uid, dhow.account.gid));
    }

    fn descriptors_of_the_caller_stay_outside(dhow) {
        dhow.with_busybox();
        let output = dhow.run("busybox ls /proc/self/fd").after_shell("exec 7</etc/passwd 42</").ok();
        // The fourth is that of the directory being listed.
        assert_eq!(output.out(), "0\n1\n2\n3");
    }

    fn nothing_of_a_container_is_left_with_rm(dhow) {
        dhow.with_busybox();
        dhow.run("busybox").sh("mkdir -p /a/b; touch /a/b/c; chmod 0 /a/b /a; ln -s / /link").ok();
        dhow.settle();
        let entries = |dir: &str| -> Vec<_> {
            fs::read_dir(dhow.root().join(dir)).map(|entries| entries.flatten().map(|entry| entry.file_name()).collect()).unwrap_or_default()
        };
        let containers: Vec<_> = entries("containers").into_iter().filter(|name| name != "by-name").collect();
        assert!(containers.is_empty(), "{containers:?}");
        assert!(entries("containers/by-name").is_empty());
        assert!(entries("tmp").is_empty() && entries("trash").is_empty());
    }
}
