//! Hostile and well-formed archives extracted on the host.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::*;
use crate::tar::TarTime;
use crate::tar::write::{member_header, padding};

fn member(kind: TarMemberKind, path: &str) -> TarMember {
    TarMember {
        kind,
        path: path.into(),
        link: Vec::new(),
        mode: if kind == TarMemberKind::Dir { 0o755 } else { 0o644 },
        uid: 0,
        gid: 0,
        mtime: TarTime { seconds: 1_600_000_000, nanos: 0 },
        device: (1, 3),
        xattrs: Vec::new(),
        size: 0,
        sparse: None,
    }
}

fn link(kind: TarMemberKind, path: &str, to: &str) -> TarMember {
    TarMember { link: to.into(), ..member(kind, path) }
}

/// An archive of these members; a file's content is its name.
fn archive(members: &[TarMember]) -> Vec<u8> {
    let mut out = Vec::new();
    for member in members {
        let size = if member.kind == TarMemberKind::File { member.path.len() as u64 } else { 0 };
        out.extend(member_header(&TarMember { size, ..member.clone() }));
        if size > 0 {
            out.extend_from_slice(&member.path);
            out.extend_from_slice(padding(size));
        }
    }
    out.extend_from_slice(&END_OF_ARCHIVE);
    out
}

fn unpack(dir: &Path, members: &[TarMember]) -> Result<BTreeSet<Vec<u8>>> {
    let root = OwnedFd::from(File::open(dir).unwrap());
    extract_archive(&archive(members)[..], root, ExtractSide::Host).map(|extracted| extracted.skipped)
}

/// A directory to extract to, next to files that must stay unchanged.
fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("in");
    fs::create_dir_all(inner.join("own")).unwrap();
    for file in ["secret", "in/own/mine"] {
        fs::write(dir.path().join(file), "untouched").unwrap();
        fs::set_permissions(dir.path().join(file), fs::Permissions::from_mode(0o600)).unwrap();
    }
    (dir, inner)
}

#[test]
fn nothing_leaves_the_directory() {
    use TarMemberKind::{Dir, File, HardLink, Symlink};
    let hostile: &[&[TarMember]] = &[
        &[member(File, "../secret")],
        &[member(File, "a/../../secret")],
        &[link(Symlink, "out", ".."), member(File, "out/secret")],
        &[link(Symlink, "out", ".."), member(Dir, "out"), member(File, "out/secret")],
        &[link(HardLink, "x", "../secret"), member(File, "x")],
        &[link(Symlink, "l", "../secret"), link(HardLink, "x", "l/"), member(File, "x/y")],
        &[link(HardLink, "x", "own/mine"), TarMember { mode: 0o777, ..member(File, "x") }],
        &[member(Dir, "d"), link(Symlink, "d", ".."), member(File, "d/secret")],
        &[member(Dir, "d"), member(File, "d/f"), link(Symlink, "d/f", "../../secret"), member(File, "d/f/x")],
        &[member(File, "own")],
        &[member(Dir, "own/mine")],
        &[TarMember { kind: TarMemberKind::Other(b'V'), ..member(File, "volume") }],
    ];
    for members in hostile {
        let (dir, inner) = place();
        assert!(unpack(&inner, members).is_err(), "{members:?}");
        for file in ["secret", "in/own/mine"] {
            let path = dir.path().join(file);
            assert_eq!(fs::read(&path).unwrap(), b"untouched", "{members:?}");
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
            assert_eq!(fs::metadata(&path).unwrap().nlink(), 1);
        }
        let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "{members:?}: {names:?}");
    }
}

#[test]
fn absolute_names_and_links_stay_inside() {
    let (dir, inner) = place();
    let secret = dir.path().join("secret");
    let secret = secret.to_str().unwrap();
    // A link is created as it is, and a file replaces it; its target is not touched.
    let members = [
        member(TarMemberKind::File, secret),
        link(TarMemberKind::Symlink, "l", secret),
        member(TarMemberKind::File, "l"),
        link(TarMemberKind::Symlink, "dangling", "../../../../etc/passwd"),
    ];
    unpack(&inner, &members).unwrap();
    assert_eq!(fs::read(secret).unwrap(), b"untouched");
    assert_eq!(fs::read(inner.join("l")).unwrap(), b"l");
    assert_eq!(fs::read(inner.join(&secret[1..])).unwrap(), secret.as_bytes());
    assert_eq!(fs::read_link(inner.join("dangling")).unwrap(), Path::new("../../../../etc/passwd"));
}

#[test]
fn links_that_the_user_has_are_not_followed() {
    let (dir, inner) = place();
    std::os::unix::fs::symlink(dir.path(), inner.join("up")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("secret"), inner.join("file")).unwrap();
    assert!(unpack(&inner, &[member(TarMemberKind::File, "up/secret")]).is_err());
    assert!(unpack(&inner, &[member(TarMemberKind::Dir, "up")]).is_err());
    unpack(&inner, &[member(TarMemberKind::File, "file")]).unwrap();
    assert_eq!(fs::read(dir.path().join("secret")).unwrap(), b"untouched");
    assert_eq!(fs::read(inner.join("file")).unwrap(), b"file");
}

#[test]
fn honest_archives_arrive() {
    let (_dir, inner) = place();
    let members = [
        TarMember { mode: 0o555, ..member(TarMemberKind::Dir, "d") },
        TarMember { mode: 0o6755, ..member(TarMemberKind::File, "d/f") },
        link(TarMemberKind::HardLink, "d/again", "d/f"),
        member(TarMemberKind::File, "no/parent/said"),
        member(TarMemberKind::File, "own/mine"),
        member(TarMemberKind::Fifo, "pipe"),
        member(TarMemberKind::Char, "device"),
        link(TarMemberKind::HardLink, "device-too", "device"),
    ];
    let left_out = unpack(&inner, &members).unwrap();
    assert_eq!(left_out, [b"device".to_vec(), b"device-too".to_vec()].into());
    let meta = |name: &str| fs::metadata(inner.join(name)).unwrap();
    assert_eq!(meta("d").mode() & 0o7777, 0o555);
    assert_eq!(meta("d").mtime(), 1_600_000_000);
    // No setuid program of another user becomes the user's.
    assert_eq!(meta("d/f").mode() & 0o7777, 0o755);
    assert_eq!(meta("d/f").ino(), meta("d/again").ino());
    assert_eq!(fs::read(inner.join("own/mine")).unwrap(), b"own/mine");
    assert!(inner.join("no/parent/said").exists() && inner.join("pipe").exists());
    assert_eq!(meta("own").mode() & 0o7777, 0o755);
}

#[test]
fn every_truncation_is_an_error() {
    let whole = archive(&[
        member(TarMemberKind::Dir, "d"),
        member(TarMemberKind::File, "d/f"),
        link(TarMemberKind::Symlink, "l", "x"),
    ]);
    for length in (0..whole.len() - END_OF_ARCHIVE.len()).filter(|length| length % 512 != 0) {
        let dir = tempfile::tempdir().unwrap();
        let root = OwnedFd::from(File::open(dir.path()).unwrap());
        assert!(extract_archive(&whole[..length], root, ExtractSide::Host).is_err(), "{length}");
    }
}

#[test]
fn no_damage_leads_out() {
    let links = [
        link(TarMemberKind::Symlink, "l", ".."),
        member(TarMemberKind::Dir, "d"),
        link(TarMemberKind::HardLink, "h", "d/f"),
        member(TarMemberKind::File, "d/f"),
        link(TarMemberKind::Symlink, "d/up", "../../secret"),
        TarMember {
            xattrs: vec![(b"user.x".to_vec(), b"y".to_vec())],
            ..member(TarMemberKind::File, "d/up/x")
        },
    ];
    let whole = archive(&links);
    let (dir, inner) = place();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x11;
        // Recomputes the checksum, so that the damaged header is parsed.
        let block = at / 512 * 512;
        let header = &mut damaged[block..block + 512];
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let _ = extract_archive(&damaged[..], OwnedFd::from(File::open(&inner).unwrap()), ExtractSide::Host);
    }
    assert_eq!(fs::read(dir.path().join("secret")).unwrap(), b"untouched");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}
