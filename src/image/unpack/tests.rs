//! Behaviour of unpacking and packing: round trips of anything, refusals that leave nothing, attributes, limits.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use dhow_testing::hostile_layers::{self as hostile, Verdict, archive, kind, member, pax};
use proptest::prelude::*;

use super::*;
use crate::pack::pack_layer;
use dhow_model::progress::SilentProgress;
use dhow_store::{LayerSlot, Store};

fn options() -> UnpackOptions {
    let identity =
        if rustix::process::geteuid().is_root() { LayerOwnership::Mapped } else { LayerOwnership::Single };
    UnpackOptions { identity, limits: UnpackLimits::default(), label: "x".into(), compressed_size: 0 }
}

struct Fixture {
    dir: tempfile::TempDir,
    store: Store,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        Self { dir, store }
    }

    fn unpack_as(
        &self,
        source: &[u8],
        diff_id: &Digest,
        options: &UnpackOptions,
    ) -> anyhow::Result<LayerRecord> {
        let LayerSlot::Draft(draft) = self.store.begin_layer(diff_id)? else {
            return Ok(self.store.layer(diff_id)?.unwrap());
        };
        let record = unpack_layer(source, &draft, options, &SilentProgress)?;
        draft.commit(record.clone())?;
        Ok(record)
    }

    fn unpack(&self, tar: &[u8]) -> anyhow::Result<std::path::PathBuf> {
        let diff_id = Digest::of(tar);
        self.unpack_as(tar, &diff_id, &options())?;
        Ok(self.store.layer_tree(&diff_id))
    }

    /// Whether packing reproduces the archive.
    fn packs_again(&self, tar: &[u8]) -> bool {
        let mut out = Vec::new();
        if !rustix::process::geteuid().is_root() {
            // The engine packs inside a user namespace, where modes do not restrict access.
            let tree = self.store.layer_tree(&Digest::of(tar));
            std::process::Command::new("chmod").args(["-R", "u+rwX"]).arg(tree).output().unwrap();
        }
        pack_layer(&self.store, &Digest::of(tar), &mut out).unwrap();
        out == tar
    }

    fn is_clean(&self) -> bool {
        ["tmp", "trash", "layers"].iter().all(|name| {
            let dir = self.store.root().join(name);
            std::fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none())
        })
    }
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().permissions().mode() & 0o7777
}

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = Vec::with_capacity(256);
    rustix::fs::lgetxattr(path, name, rustix::buffer::spare_capacity(&mut value)).ok()?;
    Some(value)
}

#[test]
fn every_hostile_layer_gets_its_verdict() {
    let fixture = Fixture::new();
    let outside = fixture.dir.path().join("outside");
    std::fs::write(&outside, "untouched").unwrap();
    for case in hostile::corpus(outside.to_str().unwrap()) {
        let fixture = Fixture::new();
        match (fixture.unpack(&case.tar), case.verdict) {
            (Ok(_), Verdict::Harmless) => assert!(fixture.packs_again(&case.tar), "{}", case.name),
            (Err(error), Verdict::Refused(why)) => {
                let text = format!("{error:#}");
                assert!(text.contains(why), "{}: {text}", case.name);
                assert!(text.contains("cannot unpack layer sha256:"), "{}: {text}", case.name);
                assert!(fixture.is_clean(), "{} leaves something", case.name);
            }
            (Ok(_), _) => panic!("{} was not refused", case.name),
            (Err(error), _) => panic!("{} was refused: {error:#}", case.name),
        }
        let mut found = std::fs::read_dir(fixture.dir.path()).unwrap();
        assert!(found.next().is_some() && found.next().is_none(), "{} left the store", case.name);
    }
    assert_eq!(std::fs::read(&outside).unwrap(), b"untouched");
    assert_eq!(std::fs::read_dir(fixture.dir.path()).unwrap().count(), 2);
}

#[test]
fn attributes_arrive() {
    let fixture = Fixture::new();
    let mut suid = hostile::header(kind::FILE, b"suid", b"", 1);
    suid[100..107].copy_from_slice(b"0004751");
    let suid = [&hostile::with_checksum(suid)[..], &[b'x'; 1], &[0; 511]].concat();
    let tar = archive(&[
        pax(&[("mtime", b"1000.5"), ("SCHILY.xattr.user.note", b"a\nb")]),
        member(kind::DIR, b"d", b"", b""),
        member(kind::FILE, b"d/f", b"", b"content"),
        suid,
        pax(&[("mtime", b"77.25")]),
        member(kind::SYMLINK, b"l", b"no/where", b""),
        member(kind::FIFO, b"p", b"", b""),
        member(kind::CHAR, b"c", b"", b""),
    ]);
    let tree = fixture.unpack(&tar).unwrap();
    let dir = tree.join("d").metadata().unwrap();
    assert_eq!((dir.mtime(), dir.mtime_nsec()), (1000, 500_000_000), "set after its content");
    assert_eq!(xattr(&tree.join("d"), "user.note").unwrap(), b"a\nb");
    assert_eq!(mode(&tree.join("suid")), 0o4751);
    let link = tree.join("l").symlink_metadata().unwrap();
    assert_eq!((link.mtime(), link.mtime_nsec()), (77, 250_000_000));
    assert_eq!(std::fs::read_link(tree.join("l")).unwrap(), Path::new("no/where"));
    assert!(tree.join("p").symlink_metadata().unwrap().file_type().is_fifo());
    assert_eq!(xattr(&tree.join("c"), "user.dhow.device").unwrap(), b"c 0:0");
}

#[test]
fn single_mode_remembers_owners_and_capabilities() {
    let fixture = Fixture::new();
    let capability = b"\x01\0\0\x02\n\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let tar = archive(&[
        pax(&[("uid", b"33"), ("gid", b"44"), ("SCHILY.xattr.security.capability", capability)]),
        member(kind::FILE, b"f", b"", b"x"),
        member(kind::FILE, b"root", b"", b"x"),
    ]);
    let diff_id = Digest::of(&tar);
    let options = UnpackOptions { identity: LayerOwnership::Single, ..options() };
    fixture.unpack_as(&tar, &diff_id, &options).unwrap();
    let tree = fixture.store.layer_tree(&diff_id);
    assert_eq!(xattr(&tree.join("f"), "user.dhow.owner").unwrap(), b"33:44");
    assert_eq!(xattr(&tree.join("f"), "user.dhow.xattr.security.capability").unwrap(), capability);
    assert_eq!(xattr(&tree.join("root"), "user.dhow.owner"), None);
    assert_eq!(tree.join("f").metadata().unwrap().uid(), rustix::process::geteuid().as_raw());
}

#[test]
fn deletions_are_in_overlayfs_format() {
    let fixture = Fixture::new();
    let file = |name: &str| member(kind::FILE, name.as_bytes(), b"", b"x");
    let tar = archive(&[
        file("gone/.wh.a"),
        file("kept"),
        file(".wh.kept"),
        file("dir/f"),
        file(".wh.dir"),
        file(".wh.later"),
        file("later/f"),
        file("opaque/.wh..wh..opq"),
    ]);
    let tree = fixture.unpack(&tar).unwrap();
    let whiteout = tree.join("gone/a").symlink_metadata().unwrap();
    assert!(whiteout.file_type().is_char_device() && whiteout.rdev() == 0);
    assert!(tree.join("kept").is_file());
    for opaque in ["dir", "later", "opaque"] {
        assert_eq!(xattr(&tree.join(opaque), "user.overlay.opaque").unwrap(), b"y", "{opaque}");
    }
    assert!(tree.join("dir/f").is_file() && tree.join("later/f").is_file());
    assert_eq!(xattr(&tree.join("gone"), "user.overlay.opaque"), None);
    assert_eq!(mode(&tree.join("gone")), 0o755, "missing parents");
}

#[test]
fn attributes_of_overlayfs_do_not_come_from_an_image() {
    let fixture = Fixture::new();
    let tar = archive(&[
        pax(&[("SCHILY.xattr.user.overlay.opaque", b"y"), ("SCHILY.xattr.user.dhow.owner", b"5:5")]),
        member(kind::DIR, b"d", b"", b""),
    ]);
    let tree = fixture.unpack(&tar).unwrap();
    assert_eq!(xattr(&tree.join("d"), "user.overlay.opaque"), None);
    assert_eq!(xattr(&tree.join("d"), "user.dhow.owner"), None);
}

#[test]
fn another_digest_is_refused_by_name() {
    let fixture = Fixture::new();
    let wanted = Digest::of(b"something else");
    let error = fixture.unpack_as(&archive(&[]), &wanted, &options()).unwrap_err();
    assert!(error.to_string().contains(wanted.as_str()), "{error}");
    assert_eq!(dhow_error::kind_of(&error), FailureKind::Corrupt);
    assert!(fixture.is_clean());
}

#[test]
fn limits_stop_bombs() {
    let fixture = Fixture::new();
    let tar = archive(&vec![member(kind::FILE, b"f", b"", &[0; 4096]); 100]);
    let bomb = decode::tests::compress(decode::CompressionFormat::Gzip, &tar);
    for limits in [
        UnpackLimits { bytes: 100_000, ..UnpackLimits::default() },
        UnpackLimits { entries: 50, ..UnpackLimits::default() },
    ] {
        let error =
            fixture.unpack_as(&bomb, &Digest::of(&tar), &UnpackOptions { limits, ..options() }).unwrap_err();
        assert_eq!(dhow_error::kind_of(&error), FailureKind::Full, "{error:#}");
        assert!(fixture.is_clean());
    }
    fixture.unpack_as(&bomb, &Digest::of(&tar), &options()).unwrap();
}

#[test]
fn damaged_compression_is_an_error() {
    let fixture = Fixture::new();
    let tar = archive(&[member(kind::FILE, b"f", b"", &[1; 100_000])]);
    for format in [
        decode::CompressionFormat::Gzip,
        decode::CompressionFormat::Zstd,
        decode::CompressionFormat::Bzip2,
        decode::CompressionFormat::Xz,
    ] {
        let whole = decode::tests::compress(format, &tar);
        let cut = &whole[..whole.len() * 2 / 3];
        assert!(fixture.unpack_as(cut, &Digest::of(&tar), &options()).is_err(), "{format:?} cut");
        let mut flipped = whole.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 0xff;
        assert!(fixture.unpack_as(&flipped, &Digest::of(&tar), &options()).is_err(), "{format:?} flipped");
        assert!(fixture.is_clean());
    }
}

#[test]
fn a_changed_layer_is_not_written_as_the_old_one() {
    let fixture = Fixture::new();
    let tar = archive(&[member(kind::FILE, b"f", b"", b"content"), member(kind::FILE, b"g", b"", b"x")]);
    let tree = fixture.unpack(&tar).unwrap();
    let repack = || pack_layer(&fixture.store, &Digest::of(&tar), &mut std::io::sink());
    std::fs::write(tree.join("f"), "CONTENT").unwrap();
    assert_eq!(dhow_error::kind_of(&repack().unwrap_err()), FailureKind::Corrupt);
    std::fs::write(tree.join("f"), "longer content").unwrap();
    assert!(format!("{:#}", repack().unwrap_err()).contains("at `f`"));
    std::fs::remove_file(tree.join("f")).unwrap();
    assert_eq!(dhow_error::kind_of(&repack().unwrap_err()), FailureKind::Corrupt);
}

/// Members with frequently colliding names, in random order.
fn any_member() -> impl Strategy<Value = Vec<u8>> {
    let part =
        prop::sample::select(vec!["a", "b", "c", ".", "..", ".wh.a", ".wh.b", ".wh..wh..opq", "\u{e4}"]);
    let name = prop::collection::vec(part, 1..4).prop_map(|parts| parts.join("/"));
    let kinds = vec![b'0', b'0', b'0', b'1', b'2', b'3', b'5', b'5', b'6', b'\0'];
    let content = prop::collection::vec(any::<u8>(), 0..1200);
    let attribute = prop::option::of(prop::collection::vec(any::<u8>(), 0..20));
    (prop::sample::select(kinds), name.clone(), name, content, attribute).prop_map(
        |(kind, name, link, content, attribute)| {
            let content = if matches!(kind, b'0' | b'\0') { content } else { Vec::new() };
            let mut bytes = attribute.map_or_else(Vec::new, |value| pax(&[("SCHILY.xattr.user.x", &value)]));
            bytes.extend(member(kind, name.as_bytes(), link.as_bytes(), &content));
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_unpacks_packs_to_the_same_bytes(members in prop::collection::vec(any_member(), 0..12)) {
        let fixture = Fixture::new();
        let mut tar: Vec<u8> = Vec::new();
        // Members that the layer cannot have are left out one by one, so that long archives remain.
        for member in members {
            let longer = [&tar[..], &member].concat();
            if fixture.unpack(&longer).is_ok() {
                tar = longer;
            }
        }
        fixture.unpack(&tar).unwrap();
        prop_assert!(fixture.packs_again(&tar));
    }

    #[test]
    fn damage_never_passes_and_never_panics(at in 0usize..4096, xor in 1u8..=255) {
        let fixture = Fixture::new();
        let tar = archive(&[
            pax(&[("mtime", b"1.5"), ("SCHILY.xattr.user.x", b"y")]),
            member(kind::FILE, b"d/f", b"", &[9; 700]),
            member(kind::HARD_LINK, b"g", b"d/f", b""),
        ]);
        let mut damaged = tar.clone();
        let at = at % damaged.len();
        damaged[at] ^= xor;
        prop_assert!(fixture.unpack_as(&damaged, &Digest::of(&tar), &options()).is_err());
        prop_assert!(fixture.is_clean());
        // As a layer of its own it must be either refused or reproduced exactly.
        if fixture.unpack(&damaged).is_ok() {
            prop_assert!(fixture.packs_again(&damaged));
        }
    }
}
