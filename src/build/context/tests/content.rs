//! Tests of what is copied exactly, of digests, and of what happens when a context changes meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use super::{World, spec};
use crate::context::*;

fn digest_of(world: &World, ignore: &str, spec: &CopySpec) -> Digest {
    scan_source(&world.context(ignore), spec, &mut StatCache::default()).unwrap().digest
}

#[test]
fn hard_links_holes_and_pipes_stay() {
    let world = World::new();
    world.file("context/d/a");
    fs::hard_link(world.path("context/d/a"), world.path("context/d/b")).unwrap();
    let sparse =
        fs::OpenOptions::new().write(true).create_new(true).open(world.path("context/d/sparse")).unwrap();
    sparse.set_len(20 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"data", 10 << 20).unwrap();
    let fifo = world.path("context/d/pipe");
    rustix::fs::mknodat(rustix::fs::CWD, fifo, rustix::fs::FileType::Fifo, 0o640.into(), 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(world.path("context/d/socket")).unwrap();
    world.copy_from(&world.context(""), &spec(&["d"], "/")).unwrap();
    let of = |name: &str| fs::metadata(world.path("made").join(name)).unwrap();
    assert_eq!(of("a").ino(), of("b").ino());
    assert!(of("sparse").len() == 20 << 20 && of("sparse").blocks() * 512 < 1 << 20);
    let content = fs::read(world.path("made/sparse")).unwrap();
    assert_eq!(&content[10 << 20..(10 << 20) + 4], b"data");
    assert!(std::os::unix::fs::FileTypeExt::is_fifo(&of("pipe").file_type()));
    assert!(!world.path("made/socket").exists());
}

#[test]
fn large_files_are_copied_whole() {
    let world = World::new();
    let content: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    world.text("context/large", "");
    let large = fs::OpenOptions::new().write(true).open(world.path("context/large")).unwrap();
    std::io::Write::write_all(&mut &large, &content).unwrap();
    world.copy_from(&world.context(""), &spec(&["large"], "/")).unwrap();
    assert!(fs::read(world.path("made/large")).unwrap() == content);
}

#[test]
fn the_digest_is_of_content_and_not_of_time_or_place() {
    let worlds = [World::new(), World::new()];
    for world in &worlds {
        world.file("context/d/a").text("context/d/sub/b", "b").link("context/d/l", "a").file("context/other");
    }
    fs::File::open(worlds[1].path("context/d/a")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    worlds[1].mode("context/d", 0o700).mode("context/other", 0o600);
    let of = |world: &World| digest_of(world, "", &spec(&["d"], "/"));
    let before = of(&worlds[0]);
    assert_eq!(before, of(&worlds[1]));
    assert_eq!(before, digest_of(&worlds[0], "other", &spec(&["d/"], "/elsewhere")));
    let changes: BTreeMap<&str, fn(&World)> = BTreeMap::from([
        (
            "content",
            (|world| {
                world.text("context/d/a", "x");
            }) as fn(&World),
        ),
        ("mode", |world| {
            world.mode("context/d/sub", 0o700);
        }),
        ("mode of a file", |world| {
            world.mode("context/d/a", 0o600);
        }),
        ("new name", |world| {
            world.file("context/d/new");
        }),
        ("empty directory", |world| {
            world.dir("context/d/empty", 0o755);
        }),
        ("moved", |world| world.rename("context/d/a", "context/d/z")),
        ("link", |world| {
            world.rename("context/d/l", "context/old");
            world.link("context/d/l", "sub");
        }),
    ]);
    for (what, change) in changes {
        let world = World::new();
        world.file("context/d/a").text("context/d/sub/b", "b").link("context/d/l", "a");
        assert_eq!(of(&world), before);
        change(&world);
        assert_ne!(of(&world), before, "{what}");
    }
}

#[test]
fn names_do_not_run_together() {
    let (one, two) = (World::new(), World::new());
    one.text("context/ab", "c").text("context/d", "");
    two.text("context/a", "bc").text("context/d", "");
    assert_ne!(digest_of(&one, "", &spec(&["."], "/")), digest_of(&two, "", &spec(&["."], "/")));
}

#[test]
fn what_did_not_change_is_not_read_again() {
    let world = World::new();
    for n in 0..100 {
        world.file(&format!("context/f{n}"));
    }
    let source = world.context("");
    let spec = spec(&["."], "/");
    let mut cache = StatCache::default();
    let selection = select::select(&source, &spec).unwrap();
    // As if they had been written long ago, so that they may be cached.
    for file in &selection.files {
        cache.remember(&file.identity, i64::MAX, [1; 32]);
    }
    let trusted = scan_source(&source, &spec, &mut cache).unwrap().digest;
    assert_ne!(trusted, digest_of(&world, "", &spec), "the cache was asked");
    world.text("context/f5", "changed");
    assert_ne!(
        scan_source(&source, &spec, &mut cache).unwrap().digest,
        trusted,
        "and not believed where it is old"
    );
}

#[test]
fn what_changes_while_it_is_copied_is_told() {
    let world = World::new();
    world.file("context/f");
    let source = world.context("");
    let spec = spec(&["f"], "/");
    let mut cache = StatCache::default();
    // The cached digest is wrong, as for a file that changed after it was hashed.
    let scanned = scan_source(&source, &spec, &mut cache).unwrap();
    struct ChangingUnpacker<'a>(&'a World);
    impl ArchiveExtractor for ChangingUnpacker<'_> {
        fn is_archive(&mut self, _: &fs::File) -> Result<bool> {
            self.0.text("context/f", "other content");
            Ok(false)
        }
        fn unpack(
            &mut self,
            _: &fs::File,
            _: &mut LayerWriter,
            _: &std::rc::Rc<TargetDir>,
            _: Option<(u32, u32)>,
        ) -> Result<()> {
            Ok(())
        }
    }
    let mut target = world.target();
    let add = CopySpec { unpack: true, ..spec.clone() };
    let copied =
        copy_selected(&source, &add, &mut target, &mut cache, &mut ChangingUnpacker(&world)).unwrap();
    target.finish().unwrap();
    assert_eq!(world.made(), ["f 644 other content"]);
    assert_ne!(copied.digest, scanned.digest);
    assert_eq!(copied.digest, digest_of(&world, "", &spec));
}

#[test]
fn nothing_outside_is_read_through_a_directory_that_becomes_a_link() {
    let world = World::new();
    world.file("context/d/f").text("outside/f", "secret");
    let source = world.context("");
    let spec = spec(&["d/f"], "/");
    let selection = select::select(&source, &spec).unwrap();
    world.rename("context/d", "context/old");
    world.link("context/d", "../outside");
    assert!(source.view.open(&selection.files[0].path, 0).is_err());
}

#[test]
fn making_directories_says_whether_it_did() {
    let world = World::new();
    world.dir("one/app", 0o755).link("one/l", "app");
    let mut target = world.target();
    assert!(!target.make_dirs("/app", (0, 0)).unwrap());
    assert!(!target.make_dirs("/l/.", (0, 0)).unwrap());
    assert!(target.make_dirs("/l/new/deep", (0, 0)).unwrap());
    assert!(!target.make_dirs("/app/new", (0, 0)).unwrap());
    target.finish().unwrap();
    assert_eq!(world.made(), ["app/ 755", "app/new/ 755", "app/new/deep/ 755"]);
}

#[test]
fn a_directory_in_the_place_of_a_file_hides_the_one_below_it() {
    let world = World::new();
    world.file("two/x/hidden");
    let mut target = world.target();
    let attributes = FileAttributes { mode: 0o755, ..FileAttributes::default() };
    let root = std::rc::Rc::clone(target.root());
    drop(target.create(&root, c"x", 0o644, true).unwrap());
    let dir = target.make_dir(&root, c"x", &attributes, true, true);
    let Ok(dir) = dir else { return };
    assert!(dir.lookup(c"hidden").unwrap().is_none());
    let again = root.enter(c"x").unwrap();
    assert!(again.lookup(c"hidden").unwrap().is_none());
}

#[test]
fn owners_that_links_cannot_hold_are_told() {
    let world = World::new();
    world.file("context/d/f").link("context/d/l", "f").link("context/d/m", "f");
    let mut target = world.target();
    let copy_as = |target: &mut LayerWriter, sources: &[&str], chown: Option<&str>| {
        let spec = CopySpec {
            flags: CopyFlags { chown: chown.map(str::to_owned), ..CopyFlags::default() },
            ..spec(sources, "/to/")
        };
        copy_selected(&world.context(""), &spec, target, &mut StatCache::default(), &mut NoUnpack).unwrap();
    };
    copy_as(&mut target, &["d"], Some("7:8"));
    let owners = target.finish().unwrap();
    assert_eq!(owners, BTreeMap::from([(b"to/l".to_vec(), (7, 8)), (b"to/m".to_vec(), (7, 8))]));
    let mut target = world.target();
    copy_as(&mut target, &["d"], Some("7:8"));
    copy_as(&mut target, &["d"], None);
    assert!(target.finish().unwrap().is_empty());
}
