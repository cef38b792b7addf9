//! `cp`: docker's rules for names and owners on both sides.

mod hostile;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use crate::support::containers::running;
use crate::support::{Dhow, Entry, Layer, Mode, each_mode, fixtures};

/// `dhow cp`, which must succeed.
fn cp(dhow: &Dhow, from: impl AsRef<std::ffi::OsStr>, to: impl AsRef<std::ffi::OsStr>) {
    dhow.cmd("cp").arg(from).arg(to).ok();
}

/// The output of `script` in a new container, from a commit of the container `name`.
fn seen(dhow: &Dhow, name: &str, script: &str) -> String {
    let id = dhow.cmd("commit").arg(name).ok().out();
    let out = dhow.run("").arg(&id).sh(script).ok().out();
    dhow.cmd("rmi").arg(&id).ok();
    out
}

/// Runs `body` with a running container and with a stopped one, both of which have run `script`.
fn both(dhow: &Dhow, options: &str, image: &str, script: &str, body: impl Fn(&str)) {
    let run = running(dhow, &format!("--name live {options}"), image, script);
    body("live");
    dhow.cmd("rm -fv live").ok();
    run.wait();
    dhow.cmd(&format!("run --network none --name dead {options} {image}")).sh(script).ok();
    body("dead");
    dhow.cmd("rm -v dead").ok();
}

/// Everything below `dir`: path, and content or link target.
fn tree(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    collect(dir, "", &mut found);
    found.sort();
    found
}

fn collect(dir: &Path, prefix: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.push(format!("{name}/"));
            collect(&entry.path(), &format!("{name}/"), found);
        } else if kind.is_symlink() {
            found.push(format!("{name}->{}", fs::read_link(entry.path()).unwrap().display()));
        } else {
            found.push(format!("{name}={}", fs::read_to_string(entry.path()).unwrap().trim_end()));
        }
    }
}

/// Whether a process holds a lock on `path`.
fn is_locked(path: &Path) -> bool {
    let Ok(file) = fs::File::options().read(true).write(true).open(path) else { return false };
    let mut question =
        libc::flock { l_type: libc::F_WRLCK as i16, l_whence: 0, l_start: 0, l_len: 0, l_pid: 0 };
    nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_OFD_GETLK(&mut question)).unwrap();
    question.l_type != libc::F_UNLCK as i16
}

each_mode! {
    fn out_of_a_container_by_dockers_rules(dhow) {
        dhow.with_busybox();
        let script = "mkdir -p /d/sub; echo 1 >/d/f; echo 2 >/d/sub/g; ln -s /d /link; ln -s f /d/l; ln -s /nowhere /d/broken; ln /d/f /d/again";
        both(dhow, "", "busybox", script, |name| {
            let home = dhow.make_dir(&format!("out-{name}"));
            let to = |target: &str| home.join(target);
            let from = |path: &str| format!("{name}:{path}");
            let all = ["again=1", "broken->/nowhere", "f=1", "l->f", "sub/", "sub/g=2"].map(str::to_owned);
            // A file to what is missing, to a file, into a directory.
            cp(dhow, from("/d/f"), to("new"));
            cp(dhow, from("d/sub/g"), to("new"));
            fs::create_dir(to("into")).unwrap();
            dhow.give(&to("into"));
            cp(dhow, from("/d/f"), to("into"));
            cp(dhow, from("/d/sub/../f"), to("into/other"));
            assert_eq!(tree(&home), ["into/", "into/f=1", "into/other=1", "new=2"]);
            dhow.cmd("cp").arg(from("/d/f")).arg(to("no/such")).fails(1, &["no\" does not exist"]);
            dhow.cmd("cp").arg(from("/d/f")).arg(format!("{}/", to("missing").display())).fails(1, &["no such directory"]);
            // A directory to what is missing, into a directory, its content, and onto a file.
            cp(dhow, from("/d"), to("copy"));
            assert_eq!(tree(&to("copy")), all);
            cp(dhow, from("/d"), to("into"));
            assert_eq!(tree(&to("into/d")), all);
            cp(dhow, from("/d/."), to("content"));
            assert_eq!(tree(&to("content")), all);
            fs::create_dir(to("more")).unwrap();
            dhow.give(&to("more"));
            cp(dhow, from("/d/."), to("more"));
            cp(dhow, from("/d/"), format!("{}/.", to("more").display()));
            assert_eq!(tree(&to("more/d")), all);
            assert!(to("more/f").exists());
            dhow.cmd("cp").arg(from("/d")).arg(to("new")).fails(1, &["cannot copy directory"]);
            // Links are copied as such, unless the end of the path or -L says otherwise.
            cp(dhow, from("/link"), to("link"));
            assert_eq!(fs::read_link(to("link")).unwrap(), Path::new("/d"));
            fs::remove_file(to("link")).unwrap();
            cp(dhow, from("/link/"), to("followed"));
            assert_eq!(tree(&to("followed")), all);
            dhow.cmd("cp -L").arg(from("/d/l")).arg(to("into")).ok();
            assert_eq!(fs::read_to_string(to("into/l")).unwrap(), "1\n");
            cp(dhow, from("/link/sub/g"), to("through"));
            assert_eq!(fs::read_to_string(to("through")).unwrap(), "2\n");
            // A target that is a link is followed, also where it leads nowhere yet.
            symlink("through", to("points")).unwrap();
            symlink("made", to("dangling")).unwrap();
            cp(dhow, from("/d/f"), to("points"));
            cp(dhow, from("/d/f"), to("dangling"));
            assert_eq!((fs::read_to_string(to("through")).unwrap(), fs::read_to_string(to("made")).unwrap()), ("1\n".into(), "1\n".into()));
            // What is not there, or is no directory.
            dhow.cmd("cp").arg(from("/absent")).arg(to("x")).fails(1, &["Could not find the file /absent in container"]);
            dhow.cmd("cp").arg(from("/d/f/")).arg(to("x")).fails(1, &["not a directory"]);
            dhow.cmd("cp").arg(from("/d/f/x")).arg(to("x")).fails(1, &["Could not find"]);
            assert!(!to("x").exists());
            let owner = crate::support::leaks::owner(&to("copy/f"));
            assert_eq!(owner, (dhow.account.uid, dhow.account.gid));
        });
    }

    fn into_a_container_by_dockers_rules(dhow) {
        dhow.with_busybox();
        let source = dhow.make_dir("source");
        for (name, text) in [("f", "1\n"), ("d/x", "2\n"), ("d/deep/y", "3\n")] {
            dhow.write(&format!("source/{name}"), text);
        }
        symlink("f", source.join("l")).unwrap();
        symlink("d", source.join("ld")).unwrap();
        symlink("/etc/passwd", source.join("d/abs")).unwrap();
        let at = |path: &str| format!("{}/{path}", source.display());
        both(dhow, "", "busybox", "mkdir /t; echo old >/t/old; ln -s /t /tl; ln -s /t/made /dangling; ln -s t/old /to-old", |name| {
            let to = |path: &str| format!("{name}:{path}");
            cp(dhow, at("f"), to("/new"));
            cp(dhow, at("f"), to("/t"));
            cp(dhow, at("f"), to("t/renamed"));
            cp(dhow, at("f"), to("/t/old"));
            cp(dhow, at("f"), to("/dangling"));
            cp(dhow, at("d"), to("/t/"));
            cp(dhow, at("d"), to("/copy"));
            cp(dhow, at("d/."), to("/content"));
            cp(dhow, at("d/."), to("/tl"));
            cp(dhow, at("l"), to("/t/l"));
            cp(dhow, at("ld/"), to("/ld"));
            dhow.cmd("cp --follow-link").arg(at("l")).arg(to("/tl")).ok();
            dhow.cmd("cp f").arg(to("/relative")).cwd(&source).ok();
            let look = "cat /new /t/f /t/renamed /t/old /t/made /t/d/x /copy/deep/y /content/x /t/x /ld/x /relative | xargs; \
                readlink /copy/abs; test -L /t/l || cat /t/l; stat -c '%u:%g' /new /copy /copy/deep/y /copy/abs | uniq";
            assert_eq!(seen(dhow, name, look), "1 1 1 1 1 2 3 2 2 2 1\n/etc/passwd\n1\n0:0");
            dhow.cmd("cp").arg(at("d")).arg(to("/new")).fails(1, &["cannot copy directory"]);
            dhow.cmd("cp").arg(at("f")).arg(to("/absent/")).fails(1, &["no such directory"]);
            dhow.cmd("cp").arg(at("f")).arg(to("/no/such")).fails(1, &["Could not find the file /no in container"]);
            dhow.cmd("cp").arg(at("f/")).arg(to("/x")).fails(1, &["not a directory"]);
            dhow.cmd("cp").arg(at("absent")).arg(to("/x")).fails(1, &["absent"]);
            dhow.cmd("cp").arg(at("f")).arg(to("/dev/null")).output();
            // A directory where a file is, and a file where a directory is, below the target.
            dhow.write("clash/x/file", "");
            dhow.cmd("cp").arg(format!("{}/clash/.", dhow.dir().display())).arg(to("/t")).fails(1, &["cannot overwrite non-directory"]);
            dhow.write("clash2/deep", "");
            dhow.cmd("cp").arg(format!("{}/clash2/.", dhow.dir().display())).arg(to("/copy")).fails(1, &["cannot overwrite directory"]);
        });
    }

    fn the_ends_must_make_sense(dhow) {
        dhow.with_busybox();
        dhow.cmd("run --network none --name box busybox true").ok();
        dhow.cmd("cp a b").fails(1, &["must specify at least one container source"]);
        dhow.cmd("cp box:/a box:/b").fails(1, &["copying between containers is not supported"]);
        dhow.cmd("cp box:/etc/passwd").fails(1, &["DEST_PATH"]);
        dhow.cmd("cp absent:/x .").fails(1, &["No such container: absent"]);
        dhow.cmd("cp . absent:/x").fails(1, &["No such container: absent"]);
        dhow.cmd("cp - box:/etc/passwd").stdin("").fails(1, &["must be a directory"]);
        dhow.cmd("cp - box:/").stdin("this is no archive, but long enough to be read as one; ".repeat(20)).fails(1, &[]);
        dhow.write("home/with:colon", "colon\n");
        dhow.cmd("cp ./with:colon box:/tmp/").ok();
        dhow.cmd("cp box:/tmp/with:colon ./back").ok();
        assert_eq!(fs::read_to_string(dhow.home().join("back")).unwrap(), "colon\n");
        dhow.cmd("rm box").ok();
    }

    fn archives_go_both_ways(dhow) {
        dhow.load(fixtures::multi_user(), "multi");
        both(dhow, "", "multi", "true", |name| {
            let out = dhow.cmd("cp").arg(format!("{name}:/data")).arg("-").ok().stdout;
            let mut owners = Vec::new();
            for entry in tar::Archive::new(&out[..]).entries().unwrap() {
                let entry = entry.unwrap();
                let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
                owners.push((path, entry.header().uid().unwrap(), entry.header().gid().unwrap()));
            }
            assert!(owners.contains(&("data/".into(), 0, 50)), "{owners:?}");
            assert!(owners.contains(&("data/worker".into(), 1000, 1000)));
            dhow.cmd("cp -").arg(format!("{name}:/home")).stdin(out.clone()).ok();
            let id = dhow.cmd("commit").arg(name).ok().out();
            let again = dhow.cmd("create --network none --name again").arg(&id).ok();
            drop(again);
            let back = dhow.cmd("cp again:/home/data -").ok().stdout;
            let mut same = Vec::new();
            for entry in tar::Archive::new(&back[..]).entries().unwrap() {
                let entry = entry.unwrap();
                let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
                same.push((path, entry.header().uid().unwrap(), entry.header().gid().unwrap()));
            }
            assert_eq!(same, owners, "owners go with the archive");
            dhow.cmd("rm again").ok();
            dhow.cmd("rmi").arg(&id).ok();
            let packed = zstd::encode_all(&out[..], 1).unwrap();
            dhow.cmd("cp -").arg(format!("{name}:/var")).stdin(packed).ok();
            assert_eq!(seen(dhow, name, "cat /var/data/private/file"), "private");
            let content = dhow.cmd("cp").arg(format!("{name}:/data/private/.")).arg("-").ok().stdout;
            let names: Vec<_> = tar::Archive::new(&content[..]).entries().unwrap()
                .map(|entry| String::from_utf8(entry.unwrap().path_bytes().into_owned()).unwrap()).collect();
            assert_eq!(names, ["./", "./file"]);
        });
    }

    fn a_whole_container_is_copied_without_the_systems_own(dhow) {
        dhow.with_busybox();
        both(dhow, "-v vol:/vol --tmpfs /mem", "busybox", "echo 1 >/vol/f; echo 2 >/dev/shm/f; echo 3 >/mem/f", |name| {
            let target = dhow.home().join(format!("whole-{name}"));
            cp(dhow, format!("{name}:/"), &target);
            for there in ["bin/busybox", "etc/passwd", "vol/f", "proc", "dev", "sys", "tmp"] {
                assert!(target.join(there).exists(), "{there}");
            }
            for empty in ["proc", "sys"] {
                assert_eq!(fs::read_dir(target.join(empty)).unwrap().count(), 0, "{empty}");
            }
            assert!(!target.join("dev/null").exists() && !target.join("dev/shm/f").exists());
            assert_eq!(target.join("mem/f").exists(), name == "live");
            if name == "live" {
                cp(dhow, "live:/dev/shm/f", dhow.home().join("shm"));
                assert_eq!(fs::read_to_string(dhow.home().join("shm")).unwrap(), "2\n");
            }
        });
        dhow.cmd("volume rm vol").ok();
    }

    fn owners_and_modes(dhow) {
        dhow.with_busybox();
        let file = dhow.write("home/script", "#!/bin/sh\n");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o751)).unwrap();
        let run = running(dhow, "--name box", "busybox", "mkdir -m 777 /w; echo s >/w/suid; chown 1000:1000 /w /w/suid; chmod 4755 /w/suid");
        cp(dhow, &file, "box:/plain");
        dhow.cmd("cp -a").arg(&file).arg("box:/kept").ok();
        let id = dhow.cmd("commit box").ok().out();
        let saved = dhow.cmd("create --network none --name look").arg(&id).ok();
        drop(saved);
        let out = dhow.cmd("cp look:/ -").ok().stdout;
        for entry in tar::Archive::new(&out[..]).entries().unwrap() {
            let entry = entry.unwrap();
            let header = entry.header();
            let owner = (header.uid().unwrap(), header.gid().unwrap());
            match &*String::from_utf8_lossy(&entry.path_bytes()) {
                "./plain" => assert_eq!((owner, header.mode().unwrap()), ((0, 0), 0o751)),
                "./kept" => {
                    let own = (u64::from(dhow.account.uid), u64::from(dhow.account.gid));
                    assert_eq!((owner, header.mode().unwrap()), (own, 0o751));
                }
                _ => {}
            }
        }
        // A container's program does not run as the user who copied it.
        cp(dhow, "box:/w/suid", dhow.home().join("suid"));
        let meta = fs::metadata(dhow.home().join("suid")).unwrap();
        assert_eq!((meta.mode() & 0o7777, meta.uid()), (0o755, dhow.account.uid));
        // Merged directories stay whose they are.
        dhow.write("merge/w/more", "");
        cp(dhow, dhow.dir().join("merge/w"), "box:/");
        if dhow.mode == Mode::Mapped {
            assert_eq!(seen(dhow, "box", "stat -c '%u %a' /w"), "1000 777");
        }
        dhow.cmd("rm -f box look").ok();
        dhow.cmd("rmi").arg(&id).ok();
        run.wait();
    }

    fn volumes_tmpfs_and_binds_are_copied_into(dhow) {
        dhow.with_busybox();
        let bound = dhow.make_dir("bound");
        let file = dhow.write("home/file", "content\n");
        let single = dhow.write("single", "single\n");
        let options = format!("-v data:/vol -v {}:/bound -v {}:/single --tmpfs /mem", bound.display(), single.display());
        let run = running(dhow, &format!("--name box {options}"), "busybox", "true");
        for target in ["/vol/f", "/bound/f", "/mem/f", "/single", "/etc/hosts"] {
            cp(dhow, &file, format!("box:{target}"));
            let back = dhow.home().join("back");
            cp(dhow, format!("box:{target}"), &back);
            assert_eq!(fs::read_to_string(&back).unwrap(), "content\n", "{target}");
        }
        assert_eq!(fs::read_to_string(bound.join("f")).unwrap(), "content\n");
        assert_eq!(fs::read_to_string(&single).unwrap(), "content\n");
        dhow.cmd("rm -f box").ok();
        run.wait();
        assert_eq!(dhow.run("-v data:/vol busybox cat /vol/f").ok().out(), "content");
        dhow.cmd(&format!("create --network none --name box {options} busybox true")).ok();
        dhow.write("home/file", "second\n");
        cp(dhow, &file, "box:/vol/f");
        cp(dhow, &file, "box:/bound/g");
        assert_eq!(fs::read_to_string(bound.join("g")).unwrap(), "second\n");
        assert_eq!(dhow.run("-v data:/vol busybox cat /vol/f").ok().out(), "second");
        cp(dhow, "box:/vol/.", dhow.home().join("vol"));
        assert_eq!(tree(&dhow.home().join("vol")), ["f=second"]);
        dhow.cmd("rm box").ok();
        dhow.cmd("volume rm data").ok();
    }

    fn what_is_read_only_stays_so(dhow) {
        dhow.with_busybox();
        let file = dhow.write("home/file", "x\n");
        for (name, start) in [("live", true), ("dead", false)] {
            let options = format!("--name {name} --read-only -v ro:/ro:ro -v rw:/rw");
            let run = start.then(|| running(dhow, &options, "busybox", "true"));
            if !start {
                dhow.cmd(&format!("create --network none {options} busybox true")).ok();
            }
            dhow.cmd("cp").arg(&file).arg(format!("{name}:/etc/x")).fails(1, &["container rootfs is marked read-only"]);
            dhow.cmd("cp").arg(&file).arg(format!("{name}:/ro/x")).fails(1, &["read-only"]);
            cp(dhow, &file, format!("{name}:/rw/x"));
            cp(dhow, format!("{name}:/etc/passwd"), dhow.home().join("passwd"));
            dhow.cmd("rm -f").arg(name).ok();
            if let Some(run) = run {
                run.wait();
            }
        }
        let run = running(dhow, "--name live -v ro:/ro:ro", "busybox", "true");
        dhow.cmd("cp").arg(&file).arg("live:/ro/x").fails(1, &["mounted volume is marked read-only"]);
        dhow.cmd("rm -f live").ok();
        run.wait();
        dhow.cmd("volume rm ro rw").ok();
    }

    fn a_copy_into_a_stopped_container_is_there_when_it_starts(dhow) {
        dhow.with_busybox();
        let file = dhow.write("home/file", "here\n");
        dhow.cmd("create --network none --name box busybox cat /srv/file").ok();
        dhow.cmd("cp").arg(&file).arg("box:/srv/file").fails(1, &["Could not find the file /srv in container"]);
        dhow.write("srv/file", "here\n");
        cp(dhow, dhow.dir().join("srv"), "box:/");
        assert_eq!(dhow.cmd("start -a box").ok().out(), "here");
        assert_eq!(dhow.cmd("diff box").ok().lines(), ["A /srv", "A /srv/file"]);
        dhow.cmd("rm box").ok();
    }

    fn nobody_starts_what_is_being_copied_into(dhow) {
        dhow.with_busybox();
        dhow.cmd("create --network none --name box busybox cat /tmp/late").ok();
        let archive = Layer::new([Entry::file("late", "in time\n")]).0;
        let mut copy = dhow.cmd("cp - box:/tmp").start_piped();
        let pipe = copy.child.stdin.as_mut().unwrap();
        std::io::Write::write_all(pipe, &archive[..512]).unwrap();
        // Once the copy holds the container, a start waits for it.
        let lock = dhow.cmd("inspect -f {{.Id}} box").ok().out();
        let lock = dhow.root().join("containers").join(lock).join("lock");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while !is_locked(&lock) {
            assert!(std::time::Instant::now() < deadline, "it is never held");
            std::thread::yield_now();
        }
        let start = dhow.cmd("start -a box").start();
        std::io::Write::write_all(copy.child.stdin.as_mut().unwrap(), &archive[512..]).unwrap();
        drop(copy.child.stdin.take());
        assert_eq!(copy.wait().code, 0);
        let started = start.wait();
        assert_eq!((started.code, started.out()), (0, "in time".into()), "{}", started.err());
        dhow.cmd("rm box").ok();
    }

    fn large_and_sparse_files_arrive(dhow) {
        dhow.with_busybox();
        let big: Vec<u8> = (0..3_000_000_u32).flat_map(|n| (n ^ (n >> 5)).to_le_bytes()).collect();
        let file = dhow.write("home/big", &big);
        let sparse = dhow.write("home/sparse", "");
        fs::File::options().write(true).open(&sparse).unwrap().set_len(3 << 30).unwrap();
        both(dhow, "", "busybox", "true", |name| {
            for path in [&file, &sparse] {
                let inside = format!("{name}:/tmp/{}", path.file_name().unwrap().to_str().unwrap());
                cp(dhow, path, &inside);
                let back = dhow.home().join("back");
                cp(dhow, &inside, &back);
                let (old, new) = (fs::metadata(path).unwrap(), fs::metadata(&back).unwrap());
                assert_eq!(old.len(), new.len());
                assert!(new.blocks() * 512 <= 16 << 20, "{} blocks", new.blocks());
            }
            cp(dhow, format!("{name}:/tmp/big"), dhow.home().join("back"));
            assert!(fs::read(dhow.home().join("back")).unwrap() == big);
        });
    }

    fn a_paused_container_is_copied_and_committed(dhow) {
        dhow.with_busybox();
        let file = dhow.write("home/file", "x\n");
        let run = running(dhow, "--name box", "busybox", "true");
        dhow.cmd("pause box").ok();
        cp(dhow, &file, "box:/tmp/in");
        cp(dhow, "box:/tmp/in", dhow.home().join("out"));
        dhow.cmd("commit box made:1").ok();
        assert_eq!(dhow.run("made:1 cat /tmp/in").ok().out(), "x");
        assert_eq!(dhow.cmd("inspect -f {{.State.Paused}} box").ok().out(), "true");
        dhow.cmd("unpause box").ok();
        assert_eq!(dhow.cmd("exec box cat /tmp/in").ok().out(), "x");
        dhow.cmd("rm -f box").ok();
        run.wait();
    }

    fn devices_are_left_out_on_the_host(dhow) {
        dhow.load(fixtures::multi_user(), "multi");
        dhow.cmd("create --network none --name devices multi").ok();
        dhow.cmd("cp devices:/data data").warns("left out, because only root can make devices: data/null").ok();
        assert!(dhow.home().join("data/root").exists() && !dhow.home().join("data/null").exists());
        fs::set_permissions(dhow.home().join("data/private"), fs::Permissions::from_mode(0o755)).unwrap();
        dhow.cmd("rm devices").ok();
    }

    fn what_was_copied_is_said_on_a_terminal(dhow) {
        dhow.with_busybox();
        dhow.cmd("run --network none --name box busybox true").ok();
        dhow.write("home/x", "x");
        let mut terminal = dhow.cmd("cp x box:/x").pty(80, 24);
        terminal.expect("Successfully copied 2.05kB to box:/x");
        assert_eq!(terminal.wait().0, 0);
        let (code, shown) = dhow.cmd("cp -q box:/x y").pty(80, 24).wait();
        assert_eq!((code, shown.trim()), (0, ""));
        dhow.cmd("cp --quiet=false box:/x y").warns("Successfully copied 2.05kB to ").ok();
        let (code, shown) = dhow.cmd("cp box:/x -").pty(80, 24).wait();
        assert!(code == 1 && shown.contains("refusing"), "{shown}");
        dhow.cmd("rm box").ok();
    }
}
