//! Images made to escape, to confuse or to exhaust resources: each is refused with a reason or unpacked harmlessly, and
//! nothing outside the data root is touched.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::{Dhow, Entry, Image, Layer, each_mode, fixtures};
use tar::EntryType;

/// Inode, mode, owner, size, time of change, and content or link target.
type Look = (u64, u32, u32, u64, i64, Vec<u8>);

/// Everything below `dir`, to compare with later.
fn look(dir: &Path) -> BTreeMap<PathBuf, Look> {
    let mut seen = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(path) = left.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let content = if meta.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        if meta.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        seen.insert(path, (meta.ino(), meta.mode(), meta.uid(), meta.size(), meta.ctime(), content));
    }
    seen
}

/// A directory of the account outside the data root, which an attack would change.
fn victim(dhow: &Dhow) -> PathBuf {
    let dir = dhow.make_dir("victim");
    dhow.write("victim/file", "untouched\n");
    dhow.make_dir("victim/dir");
    dhow.write("victim/dir/deep", "untouched\n");
    dir
}

/// Loads `image` (which may be refused), uses and removes it, and checks that the victim is untouched and that nothing
/// is left. Says whether it was accepted.
fn withstand(dhow: &Dhow, what: &str, image: &Image) -> bool {
    let victim = victim(dhow);
    let before = look(&victim);
    let around: Vec<_> = list(dhow.dir());
    let output =
        dhow.cmd("load").stdin(image.docker_archive(&["hostile:1"])).limit(Duration::from_secs(120)).output();
    let accepted = output.code == 0;
    if accepted {
        let run = dhow.run("hostile:1 true").output();
        assert!(!run.err().contains("panicked"), "{what}: {}", run.err());
        dhow.cmd("save hostile:1").output();
        dhow.cmd("rmi -f hostile:1").output();
    } else {
        assert_eq!(output.code, 1, "{what}: {}", output.err());
        assert!(!output.err().is_empty() && !output.err().contains("panicked"), "{what}: {}", output.err());
    }
    assert_eq!(look(&victim), before, "{what}");
    let mut new = list(dhow.dir());
    new.retain(|name| !around.contains(name) && name != "root");
    assert!(new.is_empty(), "{what}: {new:?}");
    for dir in ["layers", "tmp", "trash", "images"] {
        assert_eq!(list(&dhow.root().join(dir)), [""; 0], "{what}: {dir}");
    }
    accepted
}

fn list(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// An image of busybox and these layers.
fn on_busybox(layers: impl IntoIterator<Item = Vec<Entry>>) -> Image {
    let layers = layers.into_iter().map(Layer::new);
    Image::new(std::iter::once(fixtures::busybox_layer()).chain(layers))
}

each_mode! {
    fn names_that_climb_out(dhow) {
        let outside = dhow.dir().join("victim").display().to_string();
        let up = "../".repeat(24);
        let names = [
            format!("{up}{outside}/file"), format!("{outside}/file"), format!("//{outside}/new"), format!("a/{up}{outside}/new"),
            "..".to_owned(), "../x".to_owned(), "a/..".to_owned(), ".".to_owned(), "./".to_owned(), "/".to_owned(), String::new(),
            "a/./../../x".to_owned(), "../../../../fs/x".to_owned(), "../recipe".to_owned(), "../layer.json".to_owned(),
        ];
        for name in &names {
            withstand(dhow, name, &on_busybox([vec![Entry::file(name, "escaped")]]));
            withstand(dhow, name, &on_busybox([vec![Entry::dir(name).mode(0)]]));
            withstand(dhow, name, &on_busybox([vec![Entry::symlink(name, "/")]]));
            withstand(dhow, name, &on_busybox([vec![Entry::hardlink(name, "bin/busybox")]]));
        }
    }

    fn links_that_point_out(dhow) {
        let outside = dhow.dir().join("victim").display().to_string();
        let up = format!("{}{}", "../".repeat(24), outside.trim_start_matches('/'));
        for target in [outside.as_str(), up.as_str()] {
            let cases: Vec<(&str, Vec<Vec<Entry>>)> = vec![
                ("write through a link", vec![vec![Entry::symlink("l", target), Entry::file("l/file", "x"), Entry::file("l/new", "x")]]),
                ("write through a link of a lower layer", vec![vec![Entry::symlink("l", target)], vec![Entry::file("l/file", "x")]]),
                ("directory through a link", vec![vec![Entry::symlink("l", target), Entry::dir("l/dir/").mode(0), Entry::dir("l/").mode(0)]]),
                ("hard link to the outside", vec![vec![Entry::hardlink("h", format!("{target}/file")), Entry::file("h", "x")]]),
                ("hard link through a link", vec![vec![Entry::symlink("l", target), Entry::hardlink("h", "l/file"), Entry::file("h", "x")]]),
                ("hard link to a link", vec![vec![Entry::symlink("l", format!("{target}/file")), Entry::hardlink("h", "l"), Entry::file("h", "x")]]),
                ("whiteout through a link", vec![vec![Entry::symlink("l", target)], vec![Entry::whiteout("l/", "file"), Entry::whiteout("l/", "dir")]]),
                ("whiteout through a link of the same layer", vec![vec![Entry::symlink("l", target), Entry::whiteout("l/", "file")]]),
                ("opaque through a link", vec![vec![Entry::symlink("l", target), Entry::opaque("l/")]]),
                ("attributes through a link", vec![vec![Entry::symlink("l", format!("{target}/file")).xattr("user.x", "y").mode(0o777)]]),
                ("link to a link", vec![vec![Entry::symlink("a", target), Entry::symlink("b", "a"), Entry::file("b/file", "x")]]),
                ("fifo through a link", vec![vec![Entry::symlink("l", target), Entry::new(EntryType::Fifo, "l/file")]]),
            ];
            for (what, layers) in cases {
                withstand(dhow, what, &on_busybox(layers));
            }
        }
    }

    fn whiteouts_of_odd_names(dhow) {
        for name in [".wh.", ".wh..", ".wh...", ".wh..wh.", ".wh..wh..wh.x", "a/.wh.", "a/.wh...", ".wh./x", ".wh.a/b", ".wh..wh..opq/x", ".wh..wh.plnk/x"] {
            withstand(dhow, name, &on_busybox([vec![Entry::file(name, "")], vec![Entry::dir(name)]]));
        }
    }

    fn marks_of_overlay_from_an_image_mean_nothing(dhow) {
        let image = on_busybox([vec![
            Entry::dir("home/").xattr("user.overlay.opaque", "y").xattr("trusted.overlay.opaque", "y"),
            Entry::dir("redirected/").xattr("user.overlay.redirect", "/etc").xattr("trusted.overlay.redirect", "/etc"),
            Entry::file("meta", "content").xattr("user.overlay.metacopy", "").xattr("user.overlay.redirect", "/bin/busybox"),
            Entry::file("owned", "content").xattr("user.dhow.owner", "1234:1234"),
            Entry::device("whiteout", 0, 0),
        ]]);
        let output = dhow.cmd("load").stdin(image.docker_archive(&["marks:1"])).output();
        assert_eq!(output.code, 0, "{}", output.err());
        let seen = dhow.run("marks:1").sh("ls -d /home/worker; ls /redirected; cat /meta; stat -c ' %u' /owned").ok().out();
        assert_eq!(seen, "/home/worker\ncontent 0");
        let saved = dhow.cmd("save marks:1").ok().stdout;
        assert!(crate::support::process::contains(&saved, &image.layers[1].0[..image.layers[1].0.len() - 1024]), "and yet they are saved");
    }

    fn device_nodes_open_no_device(dhow) {
        let nodes = vec![
            Entry::device("kmem", 1, 2).mode(0o666), Entry::device("zero", 1, 5).mode(0o666),
            Entry::new(EntryType::Block, "disk").mode(0o666),
        ];
        dhow.load(&on_busybox([nodes]), "devices:1");
        // Either a stand-in lies there or the kernel refuses to open it: never the device.
        let script = "for n in kmem zero disk; do head -c 1 /$n 2>/dev/null | wc -c; done; mknod /made c 1 5 2>/dev/null && head -c 1 /made | wc -c; true";
        let seen = dhow.run("--cap-add MKNOD devices:1").sh(script).output().out();
        assert!(seen.lines().all(|line| line.trim() == "0"), "{seen}");
    }

    fn names_of_odd_bytes_are_kept_apart(dhow) {
        let names: [&[u8]; 8] = [b"odd\xff", b"odd\xfe", b"new\nline", b"tab\t", b"back\\slash", b"quote\"", b"colon:comma,", b"e\xcc\x81"];
        let image = on_busybox([names.iter().map(|name| Entry::file([b"odd/", *name].concat(), *name)).collect()]);
        let output = dhow.cmd("load").stdin(image.docker_archive(&["odd:1"])).output();
        assert_eq!(output.code, 0, "{}", output.err());
        assert_eq!(dhow.run("odd:1").sh("ls -A /odd | wc -c; for f in /odd/*; do test \"/odd/$(cat \"$f\")\" = \"$f\" || echo differs; done").ok().lines().len(), 1);
        let saved = dhow.cmd("save odd:1").ok().stdout;
        assert!(crate::support::process::contains(&saved, &image.layers[1].0[..image.layers[1].0.len() - 1024]));
    }

    fn long_names(dhow) {
        let deep = "d/".repeat(1500);
        let accepted = withstand(dhow, "a path of 3,000 bytes", &on_busybox([vec![Entry::file(format!("{deep}file"), "x")]]));
        assert!(accepted);
        withstand(dhow, "a name of 256 bytes", &on_busybox([vec![Entry::file("n".repeat(256), "x")]]));
        withstand(dhow, "a path of 10,000 bytes", &on_busybox([vec![Entry::file("d/".repeat(5000), "x")]]));
        withstand(dhow, "a whiteout of a name of 255 bytes", &on_busybox([vec![Entry::whiteout("", &"n".repeat(255))]]));
        withstand(dhow, "a link to 5,000 bytes", &on_busybox([vec![Entry::symlink("l", "x".repeat(5000))]]));
    }

    fn sizes_that_lie(dhow) {
        for size in [1, 511, 1 << 20, 1 << 40, u64::MAX >> 1, u64::MAX] {
            withstand(dhow, "a size", &on_busybox([vec![Entry::file("f", "short").claim_size(size)]]));
            withstand(dhow, "a size by PAX", &on_busybox([vec![Entry::file("f", "short").pax("size", size.to_string())]]));
            withstand(dhow, "a size of a directory", &on_busybox([vec![Entry::dir("d/").claim_size(size)]]));
            withstand(dhow, "a size of a link", &on_busybox([vec![Entry::symlink("l", "x").claim_size(size)]]));
        }
    }

    fn extended_headers_of_all_kinds(dhow) {
        let records: [(&str, &[u8]); 10] = [
            ("path", b"../../escape"), ("path", b""), ("path", b"a\0b"), ("linkpath", b"/etc/passwd"), ("uid", b"-1"), ("uid", b"99999999999999999999"),
            ("gid", b"x"), ("mtime", b"99999999999999999999.5"), ("mtime", b"-1.5"), ("SCHILY.xattr.", b"empty name"),
        ];
        for (key, value) in records {
            withstand(dhow, key, &on_busybox([vec![Entry::file("f", "x").pax(key, value)]]));
        }
        for data in ["", "5 a=", "99 path=x\n", "3\n", "-1 a=b\n", "0 a=b\n", "18446744073709551616 a=b\n", "6 path\n"] {
            let header = Entry::new(EntryType::XHeader, "PaxHeaders/x").data(data);
            withstand(dhow, data, &on_busybox([vec![header.clone(), Entry::file("f", "x")]]));
            withstand(dhow, data, &on_busybox([vec![header]]));
        }
        for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::GNUSparse, EntryType::XGlobalHeader, EntryType::Continuous, EntryType::new(b'Z')] {
            let odd = Entry::new(kind, "././@LongLink").data("../../victim/file\0");
            withstand(dhow, "an unusual kind", &on_busybox([vec![odd.clone(), odd.clone(), Entry::file("f", "x")]]));
            withstand(dhow, "an unusual kind at the end", &on_busybox([vec![odd]]));
        }
    }

    fn an_extended_header_without_end(dhow) {
        let huge = Entry::new(EntryType::XHeader, "PaxHeaders/x").data(vec![b'9'; 20 << 20]);
        let accepted = withstand(dhow, "an extended header of 20 MB", &on_busybox([vec![huge, Entry::file("f", "x")]]));
        assert!(!accepted);
    }

    fn the_same_name_many_times(dhow) {
        withstand(dhow, "kinds that change", &on_busybox([vec![
            Entry::file("x", "1"), Entry::dir("x"), Entry::file("x/y", "2"), Entry::symlink("x", "/etc"), Entry::dir("x"),
            Entry::file("x/passwd", "3"), Entry::hardlink("x", "bin/busybox"), Entry::file("x", "4"), Entry::hardlink("self", "self"),
        ]]));
        let image = on_busybox([vec![Entry::file("twice", "first"), Entry::file("twice", "second")]]);
        dhow.cmd("load").stdin(image.docker_archive(&["twice:1"])).ok();
        assert_eq!(dhow.run("twice:1 cat /twice").ok().out(), "second");
        let saved = dhow.cmd("save twice:1").ok().stdout;
        assert!(crate::support::process::contains(&saved, &image.layers[1].0[..image.layers[1].0.len() - 1024]));
    }

    fn users_and_groups_that_lie_elsewhere(dhow) {
        let victim = victim(dhow);
        let host = dhow.write("victim/passwd", "worker:x:0:0::/:/bin/sh\n");
        for etc in [
            vec![Entry::whiteout("etc/", "passwd"), Entry::dir("etc/passwd/")],
            vec![Entry::symlink("etc/passwd", host.to_str().unwrap())],
            vec![Entry::symlink("etc/passwd", format!("{}{}", "../".repeat(20), host.display()))],
            vec![Entry::new(EntryType::Fifo, "etc/passwd")],
            vec![Entry::device("etc/passwd", 1, 5)],
            vec![Entry::file("etc/passwd", "worker:x\nworker\n:::::::\nworker:x:-5:99999999999::/:\n\0\n")],
        ] {
            dhow.load(&on_busybox([etc]), "users:1");
            let output = dhow.run("-u worker users:1 id -u").limit(Duration::from_secs(20)).output();
            assert_eq!(output.code, 125, "{} {}", output.out(), output.err());
            assert!(output.err().contains("worker"), "{}", output.err());
            // Not `id`, which would wait for somebody to write into a user database that is a pipe.
            let own = dhow.run("-u 5 users:1").sh("sed -n 's/^Uid:.//p' /proc/self/status").output().out();
            assert_eq!(own.split_whitespace().next(), Some("5"), "{own}");
        }
        assert!(look(&victim).len() == 5);
    }

    fn targets_through_links_stay_inside(dhow) {
        let outside = victim(dhow);
        let target = outside.to_str().unwrap();
        let image = on_busybox([vec![
            Entry::symlink("work", target), Entry::symlink("up", format!("{}{target}", "../".repeat(20))), Entry::symlink("loop", "loop"),
        ]]).set("WorkingDir", "/work/new").set("Volumes", serde_json::json!({"/up/volume": {}}));
        dhow.load(&image, "links:1");
        let before = look(&outside);
        assert!(dhow.run("links:1 pwd").ok().out().ends_with("/new"));
        dhow.run("--tmpfs /work/dir -v /etc/hosts:/up/file -v named:/up/dir/deep -w /up/dir links:1 true").output();
        dhow.run("-w /loop/x links:1 true").output();
        dhow.run("-v named:/loop/x links:1 true").output();
        assert_eq!(look(&outside), before);
    }

    fn system_directories_that_are_links(dhow) {
        let outside = victim(dhow);
        let target = outside.to_str().unwrap();
        for name in ["proc", "dev", "sys", "etc", "tmp", "run"] {
            let layer = vec![Entry::whiteout("", name), Entry::symlink(name, target)];
            dhow.load(&on_busybox([layer]), "system:1");
            let before = look(&outside);
            let output = dhow.run("system:1 true").output();
            assert!(!output.err().contains("panicked"), "{name}: {}", output.err());
            assert_eq!(look(&outside), before, "{name}");
        }
    }

    fn configurations_that_lie(dhow) {
        let busybox = || Image::new([fixtures::busybox_layer()]);
        let zeros = format!("sha256:{}", "0".repeat(64));
        let wrong = |diff_ids: serde_json::Value| busybox().set_top("rootfs", serde_json::json!({"type": "layers", "diff_ids": diff_ids}));
        let refused = [
            ("another diff-id", wrong(serde_json::json!([zeros]))),
            ("no diff-id", wrong(serde_json::json!([]))),
            ("one diff-id too many", wrong(serde_json::json!([fixtures::busybox_layer().diff_id(), zeros]))),
            ("a diff-id that is a path", wrong(serde_json::json!(["sha256:../../../../victim"]))),
            ("a diff-id that is a number", wrong(serde_json::json!([7]))),
        ];
        for (what, image) in &refused {
            assert!(!withstand(dhow, what, image), "{what}");
        }
        let odd = [
            busybox().set("Env", serde_json::json!([""," ", "=x", "A\u{0}B=c", "NOEQUALS"])), busybox().set("Cmd", serde_json::json!([""])),
            busybox().set("User", "::::"), busybox().set("User", "99999999999"), busybox().set("WorkingDir", "relative/../.."),
            busybox().set("Entrypoint", "a string"), busybox().set("Volumes", serde_json::json!({"": {}, "relative": {}, "/": {}})),
            busybox().set("StopSignal", "SIGNONSENSE"), busybox().set_top("created", "yesterday"), busybox().set_top("architecture", "../x"),
            busybox().set_top("config", serde_json::Value::Null), busybox().set_top("history", serde_json::json!("x")),
        ];
        for image in &odd {
            withstand(dhow, &image.config.to_string(), image);
        }
    }

    fn archives_whose_members_point_out(dhow) {
        let outside = victim(dhow);
        let before = look(&outside);
        let file = outside.join("file").display().to_string();
        let config = fixtures::busybox().config_bytes();
        let manifest = |config: &str, layer: &str| serde_json::json!([{"Config": config, "RepoTags": ["x:1"], "Layers": [layer]}]).to_string();
        let archives = [
            vec![Entry::symlink("c.json", &file), Entry::symlink("l.tar", &file), Entry::file("manifest.json", manifest("c.json", "l.tar"))],
            vec![Entry::file("manifest.json", manifest(&file, &file))],
            vec![Entry::file("c.json", config.clone()), Entry::file("manifest.json", manifest("c.json", "../../../../etc/passwd"))],
            vec![Entry::file("../victim/file", config.clone()), Entry::file("manifest.json", manifest("../victim/file", "x"))],
            vec![Entry::symlink("a", "b"), Entry::symlink("b", "a"), Entry::file("manifest.json", manifest("a", "b"))],
            vec![Entry::file("manifest.json", "[")],
            vec![Entry::file("manifest.json", "[{}]")],
            vec![Entry::file("manifest.json", "[".repeat(100_000))],
            vec![Entry::file("index.json", "{}"), Entry::file("oci-layout", "{}")],
        ];
        for entries in archives {
            let output = dhow.cmd("load").stdin(Layer::new(entries).0).output();
            assert_eq!(output.code, 1, "{} {}", output.out(), output.err());
            assert!(!output.err().contains("panicked"), "{}", output.err());
        }
        assert_eq!(look(&outside), before);
        assert_eq!(dhow.cmd("images -aq").ok().out(), "");
    }

    fn very_many_entries(dhow) {
        let entries = (0..60_000).map(|n| if n % 1000 == 0 { Entry::dir(format!("d{}/", n / 1000)) } else { Entry::file(format!("d{}/{n}", n / 1000), "") });
        let image = on_busybox([entries.collect()]);
        dhow.cmd("load").stdin(image.docker_archive(&["many:1"])).limit(Duration::from_secs(120)).ok();
        let removal = dhow.cmd("rmi many:1").limit(Duration::from_secs(120)).ok();
        assert!(removal.out().contains("Deleted: "));
    }

    fn layers_by_the_hundred(dhow) {
        dhow.load(&fixtures::many_layers(300), "tall:1");
        assert_eq!(dhow.run("tall:1").sh("cat /layer-0 /layer-150 /layer-299").ok().out(), "0\n150\n299");
    }
}
