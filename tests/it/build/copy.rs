//! COPY and ADD: which files are selected, where they go, their owners and modes, and when the cache is used.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::image::{Entry, Layer};
use crate::support::process::{Output, must_run};
use crate::support::{Dhow, each_mode};

/// Writes a context with these files; a name that ends in a slash is a directory.
fn context(dhow: &Dhow, name: &str, files: &[(&str, &str)]) -> PathBuf {
    let dir = dhow.make_dir(name);
    for (file, content) in files {
        let path = dir.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if file.ends_with('/') {
            fs::create_dir_all(&path).unwrap();
        } else {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        }
    }
    dhow.give(&dir);
    dir
}

fn build(dhow: &Dhow, dir: &Path, options: &str) -> Output {
    dhow.cmd("build --progress plain").words(options).arg(dir).warns("building with").ok()
}

/// Mode, owner and name of everything below `under` in the layers of the image built from `dir`. A container with a
/// single id could not tell owners apart.
fn listing(dhow: &Dhow, dir: &Path, under: &str) -> Vec<String> {
    let saved = dhow.dir().join("listed.tar");
    build(dhow, dir, &format!("-o type=tar,dest={}", saved.display()));
    let mut archive = tar::Archive::new(fs::File::open(saved).unwrap());
    let line = |entry: std::io::Result<tar::Entry<'_, fs::File>>| {
        let entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().trim_end_matches('/').to_owned();
        let below = if under.is_empty() { &path } else { path.strip_prefix(under)?.strip_prefix('/')? };
        let name = below.to_owned();
        let header = entry.header();
        let (mode, uid, gid) =
            (header.mode().unwrap() & 0o7777, header.uid().unwrap(), header.gid().unwrap());
        Some(format!("{mode:o} {uid}:{gid} {name}"))
    };
    let mut lines: Vec<String> = archive.entries().unwrap().filter_map(line).collect();
    lines.sort_by(|a, b| a.rsplit(' ').next().cmp(&b.rsplit(' ').next()));
    lines
}

/// The owner of a path in the layers of an image.
fn owner_in_layers(dhow: &Dhow, image: &str, path: &str) -> (u64, u64) {
    let saved = dhow.cmd("save").arg(image).ok().stdout;
    let mut archive = tar::Archive::new(&saved[..]);
    for member in archive.entries().unwrap() {
        let mut layer = tar::Archive::new(member.unwrap());
        // What is no archive has no entries that can be read.
        for entry in layer.entries().unwrap().map_while(Result::ok) {
            if entry.path().is_ok_and(|found| found == Path::new(path)) {
                return (entry.header().uid().unwrap(), entry.header().gid().unwrap());
            }
        }
    }
    panic!("{path} is in no layer");
}

fn is_cached(built: &Output, step: &str) -> bool {
    let text = built.err();
    let number = text.lines().find(|line| line.contains(step)).unwrap().split(' ').next().unwrap().to_owned();
    text.lines().any(|line| line == format!("{number} CACHED"))
}

/// An archive of files and (with a slash at the end) directories, owned by 3:4.
fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        let directory = name.ends_with('/');
        header.set_entry_type(if directory { tar::EntryType::Directory } else { tar::EntryType::Regular });
        header.set_mode(if directory { 0o755 } else { 0o644 });
        header.set_uid(3);
        header.set_gid(4);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Serves a directory over HTTP as long as the test process lives; git can clone a repository from it.
fn serve(dir: PathBuf) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let head: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            let path = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
            let path = path.split('?').next().unwrap_or_default().trim_start_matches('/').to_owned();
            let (status, body) = match fs::read(dir.join(path)) {
                Ok(body) => ("200 OK", body),
                Err(_) => ("404 Not Found", Vec::new()),
            };
            let head =
                format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            // A client that has seen enough may be gone.
            let _ = stream.write_all(&[head.as_bytes(), &body].concat());
        }
    });
    address
}

each_mode! {
    fn what_is_copied_where_and_whose_it_is(dhow) {
        dhow.with_busybox();
        let dockerfile = "FROM busybox\nCOPY one /a/\nCOPY --chown=12:34 --chmod=u=rwX,go= dir /b\n\
            COPY --parents dir/sub/*.txt /c/\nCOPY --exclude=**/*.md . /d/\nCOPY <<END /e/text\nexpanded\nEND\n\
            COPY --link --chown=7 on* /f\nCOPY dir/li?k /g/\n";
        let files = [("Dockerfile", dockerfile), ("one", "1"), ("dir/two", "2"), ("dir/sub/three.txt", "3"),
            ("dir/sub/four.md", "4"), ("secret", "s"), (".dockerignore", "secret\n.dockerignore\nDockerfile\n")];
        let dir = context(dhow, "context", &files);
        symlink("two", dir.join("dir/link")).unwrap();
        dhow.give(&dir);
        build(dhow, &dir, "-t app");
        assert_eq!(listing(dhow, &dir, "a"), ["644 0:0 one"]);
        let b = ["700 12:34 sub", "600 12:34 sub/four.md", "600 12:34 sub/three.txt", "600 12:34 two"];
        let found = listing(dhow, &dir, "b");
        assert_eq!((&found[1..], &found[0][found[0].len() - 5..]), (&b.map(str::to_owned)[..], " link"));
        // A file system of one id has no owner of a link, but the layer does.
        assert_eq!(owner_in_layers(dhow, "app", "b/link"), (12, 34));
        assert_eq!(listing(dhow, &dir, "c"), ["755 0:0 dir", "755 0:0 dir/sub", "644 0:0 dir/sub/three.txt"]);
        let d: Vec<String> = listing(dhow, &dir, "d").iter().map(|line| line.split(' ').nth(2).unwrap().to_owned()).collect();
        assert_eq!(d, ["dir", "dir/link", "dir/sub", "dir/sub/three.txt", "dir/two", "one"]);
        assert_eq!(dhow.run("app cat /e/text").ok().out(), "expanded");
        assert!(listing(dhow, &dir, "g") == ["644 0:0 link"]);
        assert_eq!(dhow.run("app cat /g/link").ok().out(), "2");
    }

    fn the_cache_goes_by_content(dhow) {
        dhow.with_busybox();
        let files = [("Dockerfile", "FROM busybox\nCOPY src /src\nCOPY other /\n"), ("src/a", "a"), ("src/deep/b", "b"),
            ("other", "o"), ("src/notes.log", "l"), (".dockerignore", "**/*.log\n")];
        let dir = context(dhow, "context", &files);
        build(dhow, &dir, "");
        fs::write(dir.join("src/notes.log"), "more").unwrap();
        let later = context(dhow, "checkout", &files);
        fs::File::open(later.join("src/a")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        for dir in [&dir, &later] {
            let built = build(dhow, dir, "");
            assert!(is_cached(&built, "COPY src") && is_cached(&built, "COPY other"), "{}", built.err());
        }
        fs::write(dir.join("src/deep/b"), "changed").unwrap();
        assert!(!is_cached(&build(dhow, &dir, ""), "COPY src"));
        fs::set_permissions(later.join("src/a"), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(!is_cached(&build(dhow, &later, ""), "COPY src"));
        fs::write(dir.join("src/deep/b"), "b").unwrap();
        assert!(is_cached(&build(dhow, &dir, ""), "COPY src"));
    }

    fn copies_from_stages_follow_what_is_in_them(dhow) {
        dhow.with_busybox();
        let dockerfile = "FROM busybox AS make\nRUN mkdir -p /out/d && echo x >/out/d/f && ln -s d /out/l && echo gone >/gone \n\
            RUN rm /gone && chown -R 5:6 /out/d && chmod 4755 /out/d/f\nFROM busybox\nCOPY --from=make /out /got\nCOPY --from=make /out/l/f /file\n";
        let dir = context(dhow, "context", &[("Dockerfile", dockerfile)]);
        build(dhow, &dir, "-t app");
        assert_eq!(listing(dhow, &dir, "got"), ["755 5:6 d", "4755 5:6 d/f", "777 0:0 l"]);
        assert_eq!(dhow.run("app cat /file /got/l/f").ok().out(), "x\nx");
        fs::write(dir.join("Dockerfile"), dockerfile.replace("/out/l/f /file", "/gone /")).unwrap();
        dhow.cmd("build").arg(&dir).warns("building with").fails(1, &["\"/gone\": not found"]);
    }

    fn what_is_missing_is_named_with_what_may_be_meant(dhow) {
        dhow.with_busybox();
        let dir = context(dhow, "context", &[("Dockerfile", "FROM busybox\nCOPY srv/main.c /\n"), ("src/main.c", "")]);
        dhow.cmd("build").arg(&dir).warns("building with").fails(1, &["failed to calculate checksum of ref", "\"/srv/main.c\": not found", "src/main.c"]);
        symlink("/etc/passwd", dir.join("outside")).unwrap();
        fs::write(dir.join("Dockerfile"), "FROM busybox\nCOPY outside /\n").unwrap();
        dhow.cmd("build").arg(&dir).warns("building with").fails(1, &["\"/outside\": not found"]);
    }

    fn add_unpacks_fetches_and_checks_out(dhow) {
        dhow.with_busybox();
        let archive = tar(&[("t/", ""), ("t/f", "inside")]);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/file.txt", listener.local_addr().unwrap());
        let again = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&again);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let head: Vec<String> = lines.map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
                let known = head.iter().any(|line| line.to_lowercase() == "if-none-match: \"v\"");
                counted.fetch_add(u32::from(known), Ordering::Relaxed);
                let answer: &[u8] = match known {
                    true => b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n",
                    false => b"HTTP/1.1 200 OK\r\nETag: \"v\"\r\nConnection: close\r\nContent-Length: 4\r\n\r\ntext",
                };
                stream.write_all(answer).unwrap();
            }
        });
        let dockerfile = format!("FROM busybox\nADD a.tar /un/\nADD --unpack=false a.tar /whole/\nADD {url} /web/\n");
        let dir = context(dhow, "context", &[("Dockerfile", &dockerfile)]);
        fs::write(dir.join("a.tar"), archive).unwrap();
        dhow.give(&dir);
        build(dhow, &dir, "-t app");
        assert_eq!(listing(dhow, &dir, "un"), ["755 3:4 t", "644 3:4 t/f"]);
        assert_eq!(listing(dhow, &dir, "web"), ["600 0:0 file.txt"]);
        assert_eq!(dhow.run("app").sh("cat /web/file.txt /un/t/f; ls /whole").ok().out(), "textinsidea.tar");
        assert!(is_cached(&build(dhow, &dir, ""), "ADD http"));
        assert!(again.load(Ordering::Relaxed) > 0, "the server was asked whether it changed");
    }

    /// docker 26 answered the same, but for `--chown`: that is BuildKit's from 0.23 on.
    fn an_archive_leaves_its_destination_alone(dhow) {
        dhow.with_busybox();
        let archive = Layer::new([
            Entry::dir("./").mode(0o700).owner(7, 8),
            Entry::dir("./s/").mode(0o750).owner(8, 9),
            Entry::file("./s/f", "f").mode(0o640).owner(9, 10),
            Entry::file("./i/g", "g").mode(0o600).owner(9, 10),
        ]);
        let dockerfile = "FROM busybox\nRUN mkdir /old && chmod 1777 /old\nADD a.tar /new/deep/\nADD a.tar /old\n\
            ADD --chown=3:4 --chmod=700 a.tar /ch/\n";
        let dir = context(dhow, "context", &[("Dockerfile", dockerfile)]);
        fs::write(dir.join("a.tar"), &archive.0).unwrap();
        dhow.give(&dir);
        build(dhow, &dir, "-t app");
        let brought = ["755 0:0 i", "600 9:10 i/g", "750 8:9 s", "640 9:10 s/f"];
        assert_eq!(listing(dhow, &dir, "new/deep"), brought);
        assert_eq!(listing(dhow, &dir, "old"), brought);
        assert_eq!(listing(dhow, &dir, "ch"), ["755 0:0 i", "600 3:4 i/g", "750 3:4 s", "640 3:4 s/f"]);
        let places: Vec<String> =
            listing(dhow, &dir, "").into_iter().filter(|line| ["new", "new/deep", "old", "ch"].iter().any(|name| line.ends_with(&format!(" {name}")))).collect();
        assert_eq!(places, ["755 3:4 ch", "755 0:0 new", "755 0:0 new/deep", "1777 0:0 old"]);
    }

    /// Directories on the way have the mode since BuildKit 0.21; before, and in docker 26, they had 0755.
    fn directories_that_a_copy_makes_have_its_mode(dhow) {
        dhow.with_busybox();
        let dockerfile = "FROM busybox\nCOPY --chmod=750 d /m/x/\nCOPY --chmod=600 t.txt /m/y/t\nCOPY --chmod=u=rwX,go= --chown=5:6 t.txt /m/z/\n\
            COPY --chmod=711 <<end /m/w/h\nend\nCOPY --link --chmod=700 t.txt /l/\nCOPY **/*.txt /m/one/\nCOPY --parents **/*.txt /m/all/\n";
        let files = [("Dockerfile", dockerfile), ("t.txt", "t"), ("d/a.txt", "a"), ("d/e/b.txt", "b")];
        let dir = context(dhow, "context", &files);
        build(dhow, &dir, "-t app");
        assert_eq!(listing(dhow, &dir, "m"), [
            // Two stars stand for directories only with --parents.
            "755 0:0 all", "755 0:0 all/d", "644 0:0 all/d/a.txt", "755 0:0 all/d/e", "644 0:0 all/d/e/b.txt", "644 0:0 all/t.txt",
            "755 0:0 one", "644 0:0 one/a.txt",
            "711 0:0 w", "711 0:0 w/h",
            "750 0:0 x", "750 0:0 x/a.txt", "750 0:0 x/e", "750 0:0 x/e/b.txt",
            "600 0:0 y", "600 0:0 y/t",
            "700 5:6 z", "600 5:6 z/t.txt",
        ]);
        assert!(listing(dhow, &dir, "").contains(&"700 0:0 l".to_owned()));
    }

    fn contexts_from_streams_and_repositories(dhow) {
        dhow.with_busybox();
        let archive = tar(&[("Dockerfile", "FROM busybox\nCOPY f /f\n"), ("f", "of the archive")]);
        dhow.cmd("build -t streamed -").stdin(archive).warns("building with").ok();
        assert_eq!(dhow.run("streamed cat /f").ok().out(), "of the archive");
        dhow.cmd("build -t alone -").stdin("FROM busybox\nCOPY <<X /f\nno context\nX\n").warns("building with").ok();
        assert_eq!(dhow.run("alone cat /f").ok().out(), "no context");
        let repository = context(dhow, "served/r.git", &[("sub/Dockerfile", "FROM busybox\nCOPY . /r\n"), ("sub/f", "committed")]);
        let git = |arguments: &[&str]| {
            let mut git = Command::new("git");
            git.args(["-c", "user.name=me", "-c", "user.email=me@x", "-c", "safe.directory=*"]);
            must_run(git.args(arguments).current_dir(&repository));
        };
        git(&["init", "-q", "-b", "main"]);
        git(&["add", "."]);
        git(&["commit", "-qm", "all"]);
        git(&["update-server-info"]);
        // What serves it has the repository itself at this address.
        let served = serve(repository.join(".git"));
        let address = format!("{served}/r.git");
        fs::rename(repository.join(".git"), dhow.dir().join("bare")).unwrap();
        fs::create_dir_all(repository.join(".git")).unwrap();
        fs::rename(dhow.dir().join("bare"), repository.join(".git/r.git")).unwrap();
        dhow.cmd("build -t cloned").arg(format!("{address}#main:sub")).warns("building with").ok();
        assert_eq!(dhow.run("cloned").sh("cat /r/f; ls -A /r").ok().out(), "committedDockerfile\nf");
        let dir = context(dhow, "adding", &[("Dockerfile", &format!("FROM busybox\nADD {address}#main /r/\n"))]);
        build(dhow, &dir, "-t added");
        assert_eq!(dhow.run("added").sh("cd /r && find . -type f | sort").ok().lines(), ["./sub/Dockerfile", "./sub/f"]);
        assert!(is_cached(&build(dhow, &dir, ""), "ADD http"));
    }
}
