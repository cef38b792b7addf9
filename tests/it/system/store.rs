//! The data root as a whole.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::IFlags;

use crate::support::disk::Disk;
use crate::support::{Dhow, Entry, Image, Layer, each_mode, fixtures};

/// The directories whose children are trees of their own.
const TREE_PARENTS: [&str; 6] = ["layers", "containers", "volumes", "cache/mounts", "trash", "tmp"];

/// Those of them that the file system is to spread over the disk.
fn spread(root: &Path) -> Vec<&'static str> {
    let has_flag = |name: &&str| {
        let dir = fs::File::open(root.join(name)).unwrap();
        rustix::fs::ioctl_getflags(&dir).unwrap().contains(IFlags::TOPDIR)
    };
    TREE_PARENTS.into_iter().filter(has_flag).collect()
}

/// As a release left it that did not know of the flag.
fn take_flags(root: &Path) {
    for name in TREE_PARENTS {
        let dir = fs::File::open(root.join(name)).unwrap();
        let flags = rustix::fs::ioctl_getflags(&dir).unwrap();
        rustix::fs::ioctl_setflags(&dir, flags - IFlags::TOPDIR).unwrap();
    }
}

/// A disk of eight block groups with 256 inodes each.
fn grouped_disk(dhow: &Dhow) -> Option<Disk> {
    Disk::mount(dhow, 64, &["-b", "1024", "-N", "2048", "-O", "^flex_bg,^has_journal"])
}

fn group_of(path: &Path) -> u64 {
    (path.metadata().unwrap().ino() - 1) / 256
}

each_mode! {
    fn a_store_of_another_version_is_refused_by_name(dhow) {
        dhow.with_busybox();
        fs::write(dhow.root().join("version"), "999\n").unwrap();
        dhow.cmd("images").fails(1, &["999"]);
    }

    fn trees_lie_apart_on_ext4(dhow) {
        let Some(disk) = grouped_disk(dhow) else { return };
        let root = disk.root();
        let on_disk = |line: &str| dhow.cmd(line).env("DHOW_ROOT", &root);
        on_disk("images").ok();
        assert_eq!(spread(&root), TREE_PARENTS);
        let layers = [1, 2, 3].map(|n| Layer::new([Entry::file(format!("{n}"), "x")]));
        on_disk("load -q -i").arg(fixtures::docker_archive(&Image::new(layers), "apart:1")).ok();
        let layers = fs::read_dir(root.join("layers")).unwrap().map(|layer| layer.unwrap().path());
        assert_eq!(layers.map(|layer| group_of(&layer.join("fs"))).collect::<BTreeSet<_>>().len(), 3);
        let containers = [1, 2, 3].map(|_| on_disk("create apart:1 x").ok().out());
        let uppers = containers.map(|id| group_of(&root.join("containers").join(id).join("upper")));
        assert_eq!(BTreeSet::from(uppers).len(), 3, "{uppers:?}");
    }

    fn a_store_made_without_the_flag_gets_it(dhow) {
        let Some(disk) = grouped_disk(dhow) else { return };
        let root = disk.root();
        let on_disk = |line: &str| dhow.cmd(line).env("DHOW_ROOT", &root);
        let archive = fixtures::docker_archive(fixtures::busybox(), "busybox:latest");
        on_disk("load -q -i").arg(&archive).ok();
        let context = dhow.make_dir("context");
        fs::write(context.join("Dockerfile"), "FROM busybox\n").unwrap();
        for command in [on_disk("load -q -i").arg(&archive), on_disk("system prune -f"), on_disk("build -q").arg(&context)] {
            take_flags(&root);
            // A start does not look.
            on_disk("run --rm --network none busybox true").ok();
            assert_eq!(spread(&root), [""; 0]);
            command.ok();
            assert_eq!(spread(&root), TREE_PARENTS);
        }
    }
}
