//! Tests of selecting, hashing and copying, in directories that stand for contexts and layers.

#[cfg(test)]
mod content;
mod dockerignore;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::*;
use dhow_model::layer::LayerOwnership;

/// Directories for a context, the layers below, and the layer made.
pub(super) struct World(tempfile::TempDir);

impl World {
    pub(super) fn new() -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        for dir in ["context", "one", "two"] {
            fs::create_dir(world.path(dir)).unwrap();
        }
        world
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// A file that holds its own path, and the directories above it.
    pub(super) fn file(&self, path: &str) -> &Self {
        self.text(path, path)
    }

    pub(super) fn text(&self, path: &str, text: &str) -> &Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        self
    }

    pub(super) fn dir(&self, path: &str, mode: u32) -> &Self {
        fs::create_dir_all(self.path(path)).unwrap();
        self.mode(path, mode)
    }

    pub(super) fn mode(&self, path: &str, mode: u32) -> &Self {
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    pub(super) fn link(&self, path: &str, target: &str) -> &Self {
        symlink(target, self.path(path)).unwrap();
        self
    }

    pub(super) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    pub(super) fn context(&self, ignore: &str) -> SourceTree {
        let ignore = IgnoreFile::parse(".dockerignore", ignore.as_bytes()).unwrap();
        SourceTree::directory(&self.path("context"), ignore).unwrap()
    }

    pub(super) fn target(&self) -> LayerWriter {
        let _ = fs::remove_dir_all(self.path("made"));
        fs::create_dir(self.path("made")).unwrap();
        let lowers = [self.path("one"), self.path("two")];
        LayerWriter::open(&self.path("made"), &lowers, LayerOwnership::Single, None).unwrap()
    }

    pub(super) fn copy_from(&self, source: &SourceTree, spec: &CopySpec) -> Result<ScanResult> {
        let mut target = self.target();
        let copied = copy_selected(source, spec, &mut target, &mut StatCache::default(), &mut NoUnpack)?;
        copy_here_docs(spec, &mut target)?;
        target.finish()?;
        Ok(copied)
    }

    pub(super) fn copy(&self, sources: &[&str], to: &str) -> Vec<String> {
        self.copy_spec(&spec(sources, to))
    }

    pub(super) fn copy_spec(&self, spec: &CopySpec) -> Vec<String> {
        let source = self.context("");
        let copied = self.copy_from(&source, spec).unwrap();
        assert_eq!(copied, scan_source(&source, spec, &mut StatCache::default()).unwrap());
        self.made()
    }

    /// What was made, one line each: the path, its mode, and what it holds.
    pub(super) fn made(&self) -> Vec<String> {
        let mut lines = Vec::new();
        list(&self.path("made"), "", &mut lines);
        lines
    }

    pub(super) fn why(&self, sources: &[&str], to: &str) -> String {
        format!("{:#}", self.copy_from(&self.context(""), &spec(sources, to)).unwrap_err())
    }
}

fn list(dir: &Path, above: &str, lines: &mut Vec<String>) {
    let mut entries: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap()).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = format!("{above}{}", entry.file_name().to_string_lossy());
        let metadata = entry.metadata().unwrap();
        let mode = metadata.mode() & 0o7777;
        if metadata.is_dir() {
            lines.push(format!("{path}/ {mode:o}"));
            list(&entry.path(), &format!("{path}/"), lines);
        } else if metadata.is_symlink() {
            lines.push(format!("{path} -> {}", fs::read_link(entry.path()).unwrap().display()));
        } else if metadata.is_file() {
            let text = fs::read(entry.path()).unwrap();
            lines.push(format!("{path} {mode:o} {}", String::from_utf8_lossy(&text)));
        } else {
            lines.push(format!("{path} special {mode:o}"));
        }
    }
}

pub(super) fn spec(sources: &[&str], to: &str) -> CopySpec {
    CopySpec {
        sources: sources.iter().map(|source| (*source).to_owned()).collect(),
        target: resolve_target_path("/", to),
        ..CopySpec::default()
    }
}

#[test]
fn targets_are_absolute() {
    for (workdir, written, expected) in [
        ("/app", "x", "/app/x"),
        ("/app", ".", "/app/"),
        ("/app", "./", "/app/"),
        ("/app", "..", "/"),
        ("app", "x/", "/app/x/"),
        ("", "/", "/"),
        ("/", "/a//b/", "/a/b/"),
        ("/app", "../../../x", "/x"),
    ] {
        assert_eq!(resolve_target_path(workdir, written), expected, "{workdir} {written}");
    }
}

#[test]
fn files_go_where_docker_puts_them() {
    let world = World::new();
    world.file("context/a").file("context/b").dir("one/dir", 0o750);
    assert_eq!(world.copy(&["a"], "/new"), ["new 644 context/a"]);
    assert_eq!(world.copy(&["a"], "/new/"), ["new/ 755", "new/a 644 context/a"]);
    assert_eq!(world.copy(&["a"], "/dir"), ["dir/ 750", "dir/a 644 context/a"]);
    assert_eq!(
        world.copy(&["a", "b"], "/x/y/"),
        ["x/ 755", "x/y/ 755", "x/y/a 644 context/a", "x/y/b 644 context/b"]
    );
    assert_eq!(world.copy(&["/a"], "/"), ["a 644 context/a"]);
    assert_eq!(world.copy(&["../../a"], "/"), ["a 644 context/a"]);
}

#[test]
fn of_a_directory_its_content_is_copied() {
    let world = World::new();
    world.file("context/d/f").file("context/d/sub/g").mode("context/d", 0o700).mode("context/d/sub", 0o711);
    let expected = ["new/ 755", "new/f 644 context/d/f", "new/sub/ 711", "new/sub/g 644 context/d/sub/g"];
    assert_eq!(world.copy(&["d"], "/new"), expected);
    assert_eq!(world.copy(&["d/"], "/new/"), expected);
    assert_eq!(world.copy(&["."], "/new/")[1], "new/d/ 700");
}

#[test]
fn directories_that_exist_keep_what_they_have_at_the_top_only() {
    let world = World::new();
    world
        .dir("two/app", 0o700)
        .dir("two/app/sub", 0o701)
        .dir("context/d/sub", 0o755)
        .mode("context/d", 0o755);
    world.file("context/d/sub/f").file("two/app/other");
    assert_eq!(world.copy(&["d"], "/app"), ["app/ 700", "app/sub/ 755", "app/sub/f 644 context/d/sub/f"]);
}

#[test]
fn the_time_of_a_repeated_directory_is_that_below() {
    let world = World::new();
    world.dir("one/app", 0o755).file("context/f");
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::open(world.path("one/app")).unwrap().set_modified(time).unwrap();
    fs::File::open(world.path("context/f")).unwrap().set_modified(time).unwrap();
    world.copy(&["f"], "/app/");
    for path in ["made/app", "made/app/f"] {
        assert_eq!(fs::metadata(world.path(path)).unwrap().modified().unwrap(), time, "{path}");
    }
}

#[test]
fn links_in_the_image_lead_inside_it() {
    let world = World::new();
    world
        .dir("two/usr/bin", 0o755)
        .link("two/bin", "usr/bin")
        .link("two/out", "/../../../usr")
        .file("context/a");
    let expected = ["usr/ 755", "usr/bin/ 755", "usr/bin/a 644 context/a"];
    assert_eq!(world.copy(&["a"], "/bin/"), expected);
    assert_eq!(world.copy(&["a"], "/out/bin/a"), expected);
    // A dangling symlink: what it points to is created.
    world.link("one/dangling", "made/there");
    assert_eq!(world.copy(&["a"], "/dangling"), ["made/ 755", "made/there 644 context/a"]);
    world.link("one/loop", "loop");
    assert!(world.why(&["a"], "/loop/").contains("loop"));
}

#[test]
fn what_is_in_the_way_is_named() {
    let world = World::new();
    world.file("one/file").dir("one/dir/name", 0o755).file("context/d/f").file("context/e/name");
    assert!(world.why(&["d"], "/file").contains("cannot copy to non-directory: /file"));
    assert!(world.why(&["d/f"], "/file/").contains("cannot copy to non-directory: /file"));
    assert!(world.why(&["e"], "/dir/").contains("cannot replace to directory /dir/name with file"));
}

#[test]
fn a_file_replaces_a_file_and_a_link() {
    let world = World::new();
    world.file("one/f").link("one/l", "f").file("context/d/f").file("context/d/l");
    assert_eq!(world.copy(&["d"], "/"), ["f 644 context/d/f", "l 644 context/d/l"]);
    // A symlink that is the destination is followed.
    assert_eq!(world.copy(&["d/l"], "/l"), ["f 644 context/d/l"]);
}

#[test]
fn what_upper_layers_hide_is_not_there() {
    let world = World::new();
    world.dir("two/gone", 0o700).file("context/a");
    let made = rustix::fs::mknodat(
        rustix::fs::CWD,
        world.path("one/gone"),
        rustix::fs::FileType::CharacterDevice,
        rustix::fs::Mode::empty(),
        0,
    );
    if made.is_ok() {
        assert_eq!(world.copy(&["a"], "/gone/"), ["gone/ 755", "gone/a 644 context/a"]);
        let source = SourceTree::layers(&[world.path("one"), world.path("two")]).unwrap();
        let error = scan_source(&source, &spec(&["gone"], "/"), &mut StatCache::default()).unwrap_err();
        assert!(error.to_string().ends_with("\"/gone\": not found"), "{error}");
    }
}

#[test]
fn wildcards() {
    let world = World::new();
    for name in ["a.txt", "b.txt", "c.md", "d/e.txt", "d/f/g.txt", "x/one", "y/two"] {
        world.file(&format!("context/{name}"));
    }
    assert_eq!(
        world.copy(&["*.txt"], "/to/"),
        ["to/ 755", "to/a.txt 644 context/a.txt", "to/b.txt 644 context/b.txt"]
    );
    assert_eq!(world.copy(&["d/*/g.txt"], "/"), ["g.txt 644 context/d/f/g.txt"]);
    // Two stars are one here.
    assert_eq!(world.copy(&["**/*.txt"], "/"), ["e.txt 644 context/d/e.txt"]);
    // For directories that match, their content is copied.
    assert_eq!(world.copy(&["[xy]"], "/"), ["one 644 context/x/one", "two 644 context/y/two"]);
    assert_eq!(world.copy(&["nothing*"], "/to/"), [""; 0]);
    assert_eq!(world.copy(&["c.md", "yarn.lock*"], "/"), ["c.md 644 context/c.md"]);
    world.file("context/[odd]");
    assert_eq!(world.copy(&["\\[odd]"], "/"), ["[odd] 644 context/[odd]"]);
    assert!(world.why(&["a[b"], "/").contains("syntax error in pattern"));
}

#[test]
fn links_given_are_followed_and_links_found_are_copied() {
    let world = World::new();
    world.file("context/real/f").link("context/dirlink", "real").link("context/real/l", "f");
    world.link("context/filelink", "real/f").link("context/up", "../../../../real/f");
    assert_eq!(world.copy(&["filelink"], "/to/"), ["to/ 755", "to/filelink 644 context/real/f"]);
    assert_eq!(world.copy(&["dirlink"], "/to/"), ["to/ 755", "to/f 644 context/real/f", "to/l -> f"]);
    assert_eq!(world.copy(&["dirlink/f"], "/"), ["f 644 context/real/f"]);
    // `..` stops at the root of the context.
    assert_eq!(world.copy(&["up"], "/"), ["up 644 context/real/f"]);
    world.link("context/absolute", "/etc/passwd");
    assert!(world.why(&["absolute"], "/").contains("\"/absolute\": not found"));
}

#[test]
fn what_is_missing_is_explained() {
    let world = World::new();
    world.file("context/src/main.rs").file("context/secret");
    let source = world.context("secret\n");
    let failure = |path: &str| {
        let error = scan_source(&source, &spec(&[path], "/"), &mut StatCache::default()).unwrap_err();
        dhow_error::Failure::from_chain(&error)
    };
    let missing = failure("srv/main.rs");
    let words = "failed to compute cache key: failed to calculate checksum of ref context: \"/srv/main.rs\": not found";
    assert_eq!(missing.to_string(), words);
    assert_eq!(missing.hint_text(), Some("did you mean `src/main.rs`?"));
    assert_eq!(failure("SRC").hint_text(), Some("did you mean `src`?"));
    assert_eq!(
        failure("secret").hint_text(),
        Some("`secret` is in the context, but .dockerignore leaves it out")
    );
    assert!(failure("../other").hint_text().unwrap().contains("outside the context"));
    assert_eq!(missing.kind(), dhow_error::FailureKind::NotFound);
}

#[test]
fn exclusion() {
    let world = World::new();
    for name in ["d/a.txt", "d/b.md", "d/sub/c.md", "e.md"] {
        world.file(&format!("context/{name}"));
    }
    let exclude = |sources: &[&str], patterns: &[&str]| {
        let exclude = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        world.copy_spec(&CopySpec {
            flags: CopyFlags { exclude, ..CopyFlags::default() },
            ..spec(sources, "/")
        })
    };
    assert_eq!(
        exclude(&["d"], &["*.md"]),
        ["a.txt 644 context/d/a.txt", "sub/ 755", "sub/c.md 644 context/d/sub/c.md"]
    );
    assert_eq!(exclude(&["d"], &["**/*.md"]), ["a.txt 644 context/d/a.txt", "sub/ 755"]);
    assert_eq!(exclude(&["d"], &["*", "!sub/c.md"]), ["sub/ 755", "sub/c.md 644 context/d/sub/c.md"]);
    assert_eq!(exclude(&["d", "e*"], &["*.md", "sub"]), ["a.txt 644 context/d/a.txt"]);
}

#[test]
fn parents_are_kept() {
    let world = World::new();
    for name in ["x/a/f.txt", "x/b/f.txt", "y/g"] {
        world.file(&format!("context/{name}"));
    }
    world.mode("context/x/a", 0o750);
    let parents = |sources: &[&str], to: &str| {
        world.copy_spec(&CopySpec {
            flags: CopyFlags { parents: true, ..CopyFlags::default() },
            ..spec(sources, to)
        })
    };
    assert_eq!(
        parents(&["x/a/f.txt", "y"], "/to"),
        [
            "to/ 755",
            "to/x/ 755",
            "to/x/a/ 750",
            "to/x/a/f.txt 644 context/x/a/f.txt",
            "to/y/ 755",
            "to/y/g 644 context/y/g"
        ]
    );
    assert_eq!(
        parents(&["x/./*/f.txt"], "/"),
        ["a/ 750", "a/f.txt 644 context/x/a/f.txt", "b/ 755", "b/f.txt 644 context/x/b/f.txt"]
    );
    assert_eq!(parents(&["**/g"], "/"), ["y/ 755", "y/g 644 context/y/g"]);
}

#[test]
fn modes_and_owners_as_asked() {
    let world = World::new();
    world.file("context/d/f").dir("context/d/sub", 0o755).file("one/here/x");
    world
        .text("one/etc/passwd", "root:x:0:0::/:\nweb:x:33:34:::\n")
        .text("two/etc/group", "root:x:0:\nstaff:x:50:\n");
    let given = |chmod: &str| {
        world.copy_spec(&CopySpec {
            flags: CopyFlags { chmod: Some(chmod.into()), ..CopyFlags::default() },
            ..spec(&["d"], "/new/")
        })
    };
    // The directories that the copy makes have the mode, too, as in BuildKit from 0.21 on.
    assert_eq!(given("600"), ["new/ 600", "new/f 600 context/d/f", "new/sub/ 600"]);
    assert_eq!(given("u=rwX,go="), ["new/ 700", "new/f 600 context/d/f", "new/sub/ 700"]);
    let target = world.target();
    for (text, owner) in [
        ("web", (33, 34)),
        ("web:staff", (33, 50)),
        ("7", (7, 7)),
        ("7:staff", (7, 50)),
        ("0:8", (0, 8)),
        ("web:", (33, 34)),
    ] {
        assert_eq!(target.owner(text).unwrap(), owner, "{text}");
    }
    let why = format!("{:#}", target.owner("nobody").unwrap_err());
    assert!(why.contains("can't find uid for user nobody: no such user: nobody"), "{why}");
    assert!(target.owner("web:x").is_err() && target.owner("99999999999").is_err());
    world.copy_spec(&CopySpec {
        flags: CopyFlags { chown: Some("web".into()), ..CopyFlags::default() },
        ..spec(&["d"], "/here/new/")
    });
    let owner = |path: &str| {
        let file = fs::File::open(world.path("made").join(path)).unwrap();
        let mut value = [0; 20];
        let length = rustix::fs::fgetxattr(&file, "user.dhow.owner", &mut value[..]).ok()?;
        Some(String::from_utf8_lossy(&value[..length]).into_owned())
    };
    if owner("here/new/f").is_some() {
        // Existing directories keep their owner.
        let all: Vec<_> = ["here", "here/new", "here/new/f", "here/new/sub"].map(owner).into();
        let web = Some("33:34".to_owned());
        assert_eq!(all, [None, web.clone(), web.clone(), web]);
    }
}

#[test]
fn texts_of_the_dockerfile() {
    let world = World::new();
    let text = InlineFile { name: "run.sh".into(), content: "echo".into() };
    let spec = CopySpec { here_docs: vec![text], ..spec(&[], "/bin/") };
    assert_eq!(world.copy_spec(&spec), ["bin/ 755", "bin/run.sh 644 echo"]);
    let spec = CopySpec {
        target: "/named".into(),
        flags: CopyFlags { chmod: Some("755".into()), ..CopyFlags::default() },
        ..spec
    };
    assert_eq!(world.copy_spec(&spec), ["named 755 echo"]);
}

#[test]
fn a_linked_layer_knows_nothing_of_those_below() {
    let world = World::new();
    world.dir("one/real", 0o700).link("one/app", "real").file("context/f");
    let spec = CopySpec { flags: CopyFlags { link: true, ..CopyFlags::default() }, ..spec(&["f"], "/app/") };
    assert_eq!(world.copy_spec(&spec), ["app/ 755", "app/f 644 context/f"]);
}

#[test]
fn layers_are_copied_as_they_are_seen() {
    let world = World::new();
    world.file("two/d/old").file("two/d/both").file("one/d/both").file("one/d/new").link("one/d/l", "new");
    world.mode("one/d/new", 0o4755).dir("two/d/sub", 0o711);
    let source = SourceTree::layers(&[world.path("one"), world.path("two")]).unwrap();
    let spec = spec(&["/d"], "/to");
    let copied = world.copy_from(&source, &spec).unwrap();
    assert_eq!(
        world.made(),
        [
            "to/ 755",
            "to/both 644 one/d/both",
            "to/l -> new",
            "to/new 4755 one/d/new",
            "to/old 644 two/d/old",
            "to/sub/ 711"
        ]
    );
    assert_eq!(copied.digest, scan_source(&source, &spec, &mut StatCache::default()).unwrap().digest);
    assert_eq!((copied.files, copied.bytes), (3, 28));
}
