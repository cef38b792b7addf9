//! Tests of [`super`].

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::PathBuf;

use super::*;
use crate::changes::changes;
use crate::pack::pack_layer;
use crate::snapshot::snapshot;
use dhow_model::digest::Digest;
use dhow_store::Store;
use dhow_sys::fs::{CreateMode, make_dir_in_root, make_file_in_root, open_dir};
use rustix::fs::XattrFlags;
use std::os::fd::AsFd as _;

struct Place {
    dir: tempfile::TempDir,
    store: Store,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        fs::create_dir_all(dir.path().join("lower/d")).unwrap();
        fs::write(dir.path().join("lower/d/gone"), "x").unwrap();
        Self { dir, store }
    }

    fn lower(&self) -> PathBuf {
        self.dir.path().join("lower")
    }

    fn adopt(&self, draft: &LayerDraft, epoch: Option<i64>) -> Option<LayerRecord> {
        let lower = self.lower();
        let how = UpperCommit {
            lower: &[&lower],
            epoch,
            identity: LayerOwnership::Single,
            owner_of_new: None,
            owners: None,
        };
        commit_upper(draft, &how).unwrap()
    }
}

fn fill(tree: &Path) {
    fs::create_dir_all(tree.join("d/deep")).unwrap();
    fs::write(tree.join("d/file"), vec![b'x'; 700_000]).unwrap();
    fs::hard_link(tree.join("d/file"), tree.join("d/link")).unwrap();
    fs::write(tree.join("d/deep/empty"), "").unwrap();
    symlink("file", tree.join("d/symlink")).unwrap();
    let sparse = File::create(tree.join("sparse")).unwrap();
    sparse.set_len(100 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"data", 50 << 20).unwrap();
}

#[test]
fn the_same_changes_have_the_digest_that_a_copy_has() {
    let place = Place::new();
    let draft = place.store.begin_layer_without_digest().unwrap();
    fill(&draft.tree());
    let lower = place.lower();
    let list = changes(&draft.tree(), &[&lower]).unwrap();
    let copy = place.store.begin_layer_without_digest().unwrap();
    let copied = snapshot(&draft.tree(), &list, &copy, LayerOwnership::Single).unwrap();
    let inode = fs::metadata(draft.tree().join("d/file")).unwrap().ino();
    let adopted = place.adopt(&draft, None).unwrap();
    assert_eq!(adopted, copied);
    let layer = draft.commit(adopted).unwrap();
    let mut stream = Vec::new();
    pack_layer(&place.store, &layer.diff_id, &mut stream).unwrap();
    assert_eq!(stream.len() as u64, layer.tar_size);
    assert_eq!(Digest::of(&stream), layer.diff_id);
    let tree = place.store.layer_tree(&layer.diff_id);
    assert_eq!(fs::metadata(tree.join("d/file")).unwrap().ino(), inode, "it is the same file");
}

#[test]
fn what_was_mounted_on_leaves_nothing() {
    let place = Place::new();
    let draft = place.store.begin_layer_without_digest().unwrap();
    let tree = draft.tree();
    fs::create_dir(tree.join("d")).unwrap();
    let before = fs::metadata(place.lower().join("d")).unwrap().modified().unwrap();
    File::open(tree.join("d")).unwrap().set_modified(before).unwrap();
    let root = open_dir(&tree).unwrap();
    let stubs = CreateMode::mount_stubs_in(root.as_fd()).unwrap();
    let probe = rustix::fs::setxattr(&tree, "user.dhow.probe", b"1", XattrFlags::empty());
    if probe.is_err() {
        return;
    }
    make_dir_in_root(root.as_fd(), Path::new("/d/new/er"), stubs).unwrap();
    make_file_in_root(root.as_fd(), Path::new("/run/secrets/key"), stubs).unwrap();
    assert_eq!(fs::metadata(tree.join("d")).unwrap().modified().unwrap(), before);
    let _socket = std::os::unix::net::UnixListener::bind(tree.join("socket")).unwrap();
    assert_eq!(place.adopt(&draft, None), None);
    assert_eq!(fs::read_dir(&tree).unwrap().count(), 0);
    // A file placed next to a mount point stays, so its parent directories become real.
    make_file_in_root(root.as_fd(), Path::new("/run/secrets/key"), stubs).unwrap();
    fs::write(tree.join("run/mine"), "").unwrap();
    let record = place.adopt(&draft, None).unwrap();
    let layer = draft.commit(record).unwrap();
    let tree = place.store.layer_tree(&layer.diff_id);
    assert!(tree.join("run/mine").exists() && !tree.join("run/secrets").exists());
    let found = changes(&tree, &[]).unwrap();
    let paths: Vec<_> = found.iter().map(|change| String::from_utf8_lossy(&change.path)).collect();
    assert_eq!(paths, ["run", "run/mine"]);
}

#[test]
fn an_opaque_directory_over_nothing_hides_nothing() {
    let place = Place::new();
    let draft = place.store.begin_layer_without_digest().unwrap();
    fs::create_dir(draft.tree().join("new")).unwrap();
    let opaque = |dir: &str| {
        let dir = draft.tree().join(dir);
        rustix::fs::setxattr(&dir, "user.overlay.opaque", b"y", XattrFlags::empty())
    };
    if opaque("new").is_err() {
        return;
    }
    place.adopt(&draft, None).unwrap();
    let left = rustix::fs::getxattr(draft.tree().join("new"), "user.overlay.opaque", &mut [0_u8; 2][..]);
    assert!(left.is_err());
}

#[test]
fn later_times_become_the_epoch() {
    let place = Place::new();
    let digests: Vec<Digest> = (0..2)
        .map(|_| {
            let draft = place.store.begin_layer_without_digest().unwrap();
            fill(&draft.tree());
            let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1000);
            File::open(draft.tree().join("d/deep/empty")).unwrap().set_modified(old).unwrap();
            let record = place.adopt(&draft, Some(1_000_000)).unwrap();
            let mtime = |path: &str| fs::symlink_metadata(draft.tree().join(path)).unwrap().mtime();
            assert_eq!((mtime("d"), mtime("d/symlink"), mtime("d/deep/empty")), (1_000_000, 1_000_000, 1000));
            record.diff_id
        })
        .collect();
    assert_eq!(digests[0], digests[1]);
}
