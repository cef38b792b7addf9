//! Files that tests share and that are made once: the binary, where every account can execute it, and images.
//!
//! They are below `DHOW_TEST_FIXTURES` (by default `/var/tmp/dhow-fixtures-UID`), named after their content, so that
//! concurrent test runs, and later ones, never use an incomplete or outdated file.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, OnceLock};
use std::time::UNIX_EPOCH;

use super::account::is_root;
use super::image::hex;
use super::{Entry, Image, Layer, find_program};

/// The directory of the fixtures.
pub(crate) fn dir() -> &'static Path {
    static DIR: LazyLock<PathBuf> = LazyLock::new(|| {
        let own = || {
            use std::os::unix::fs::MetadataExt as _;
            let uid = fs::metadata("/proc/self").expect("/proc").uid();
            PathBuf::from(format!("/var/tmp/dhow-fixtures-{uid}"))
        };
        let dir = std::env::var_os("DHOW_TEST_FIXTURES").map_or_else(own, PathBuf::from);
        fs::create_dir_all(&dir).expect("the directory of fixtures");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).expect("its mode");
        dir
    });
    &DIR
}

/// The file `name`, made by `make` under a temporary name unless it exists.
pub(crate) fn cached(name: &str, mode: u32, make: impl FnOnce(&Path)) -> PathBuf {
    let path = dir().join(name);
    if !path.exists() {
        let draft = tempfile::Builder::new().prefix(".draft-").tempfile_in(dir()).expect("a draft");
        make(draft.path());
        fs::set_permissions(draft.path(), fs::Permissions::from_mode(mode)).expect("mode");
        draft.persist(&path).expect("a name for the draft");
    }
    path
}

/// dhow's binary, or `DHOW_TEST_BINARY`, copied to where the accounts can execute it.
pub(crate) fn binary() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY
        .get_or_init(|| {
            let built = std::env::var_os("DHOW_TEST_BINARY")
                .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_dhow")), PathBuf::from);
            if !is_root() {
                return built;
            }
            let meta = fs::metadata(&built).expect("the binary");
            let time = meta.modified().expect("a time").duration_since(UNIX_EPOCH).expect("after 1970");
            forget_old_binaries();
            // In a directory of its own, so that the program is called what users call it.
            let name = format!("dhow-{}-{}", meta.len(), time.as_nanos());
            fs::create_dir_all(dir().join(&name)).expect("a directory for the binary");
            cached(&format!("{name}/dhow"), 0o755, |draft| {
                fs::copy(&built, draft).expect("a copy of the binary");
            })
        })
        .clone()
}

/// Removes copies that are too old to be in use.
fn forget_old_binaries() {
    for entry in fs::read_dir(dir()).expect("fixtures").flatten() {
        let old = |meta: fs::Metadata| meta.modified().ok()?.elapsed().ok().map(|age| age.as_secs() > 7200);
        let ours = entry.file_name().to_string_lossy().starts_with("dhow-");
        if ours && entry.metadata().ok().and_then(old) == Some(true) {
            // Another test run may have removed it first.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The image as a docker archive that calls it `name`.
pub(crate) fn docker_archive(image: &Image, name: &str) -> PathBuf {
    let escaped = name.replace(['/', ':'], "_");
    cached(&format!("image-{}-{escaped}.tar", hex(&image.id())), 0o644, |draft| {
        fs::write(draft, image.docker_archive(&[name])).expect("an archive");
    })
}

/// The image as an OCI layout directory in which it is called `latest`.
pub(crate) fn oci_layout(image: &Image) -> PathBuf {
    let path = dir().join(format!("layout-{}-{:?}", hex(&image.id()), image.compression));
    if !path.exists() {
        let draft = tempfile::Builder::new().prefix(".draft-").tempdir_in(dir()).expect("a draft").keep();
        fs::set_permissions(&draft, fs::Permissions::from_mode(0o755)).expect("mode");
        image.write_oci_layout(&draft, "latest");
        if fs::rename(&draft, &path).is_err() {
            // Another test was faster.
            fs::remove_dir_all(&draft).expect("removal of a draft");
        }
    }
    path
}

/// Busybox with its commands as links, and the users and directories that programs expect.
pub(crate) fn busybox() -> &'static Image {
    static IMAGE: LazyLock<Image> = LazyLock::new(|| Image::new([busybox_layer()]));
    &IMAGE
}

/// The layer of [`busybox`], to build other images on.
pub(crate) fn busybox_layer() -> Layer {
    static LAYER: LazyLock<Layer> = LazyLock::new(|| {
        let program =
            find_program("busybox").expect("busybox is installed; tests/run says so where it is not");
        let program = fs::read(program).expect("busybox");
        let mut entries: Vec<Entry> =
            ["bin/", "dev/", "etc/", "home/", "proc/", "root/", "sys/", "usr/", "usr/bin/", "var/"]
                .map(Entry::dir)
                .into();
        entries.push(Entry::dir("tmp/").mode(0o1777));
        entries.push(Entry::file("bin/busybox", program).mode(0o755));
        entries
            .extend(APPLETS.split_whitespace().map(|name| Entry::symlink(format!("bin/{name}"), "busybox")));
        entries.push(Entry::file("etc/passwd", PASSWD));
        entries.push(Entry::file("etc/group", GROUP));
        entries.push(Entry::dir("home/worker/").owner(1000, 1000));
        Layer::new(entries)
    });
    LAYER.clone()
}

const APPLETS: &str = "ash awk basename cat chgrp chmod chown cp cut date dd df dirname echo env expr false find grep \
    head hexdump hostname id ip kill ln ls md5sum mkdir mkfifo mknod mount mv nc nproc od ping ps pwd readlink \
    realpath rm rmdir sed seq sh sha256sum sleep sort stat stty sync tail tar tee test touch tr true tty umount \
    uname uniq vi wc wget which whoami xargs yes";

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\n\
    worker:x:1000:1000:worker:/home/worker:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n";

const GROUP: &str = "root:x:0:\ndaemon:x:1:\nstaff:x:50:worker\nworker:x:1000:\nnogroup:x:65534:\n";

/// An image in three layers whose files belong to many users and have all properties that an archive can express. The
/// second layer deletes and replaces, the third has an opaque directory.
pub(crate) fn multi_user() -> &'static Image {
    static IMAGE: LazyLock<Image> = LazyLock::new(|| {
        let files = Layer::new([
            Entry::dir("data/").owner(0, 50).mode(0o2775),
            Entry::file("data/root", "root's\n"),
            Entry::file("data/worker", "worker's\n").owner(1000, 1000).mode(0o600),
            Entry::file("data/high", "high\n").owner(65534, 65534),
            Entry::file("data/setuid", "#!/bin/sh\n").owner(1, 1).mode(0o6755),
            Entry::file("data/closed", "nobody reads\n").owner(1000, 1000).mode(0o000),
            Entry::hardlink("data/worker-again", "data/worker").owner(1000, 1000).mode(0o600),
            Entry::symlink("data/link", "root").owner(1000, 50),
            Entry::file("data/xattr", "x\n").xattr("user.colour", b"blue\0green"),
            Entry::file("data/capable", "c\n").mode(0o755).xattr("security.capability", NET_BIND_SERVICE),
            Entry::device("data/null", 1, 3).mode(0o666),
            Entry::new(tar::EntryType::Fifo, "data/pipe").owner(1000, 1000),
            Entry::dir("data/private/").owner(1000, 1000).mode(0o700),
            Entry::file("data/private/file", "private\n").owner(1000, 1000).mtime(1_234_567_890),
            Entry::dir("gone/"),
            Entry::file("gone/file", "gone\n"),
            Entry::dir("hidden/"),
            Entry::file("hidden/before", "before\n"),
            Entry::file("replaced", "by a directory\n"),
        ]);
        let changes = Layer::new([
            Entry::whiteout("", "gone"),
            Entry::dir("data/").owner(0, 50).mode(0o2775),
            Entry::file("data/root", "root's, changed\n"),
            Entry::dir("replaced/"),
            Entry::file("replaced/inside", "inside\n"),
        ]);
        let opaque = Layer::new([
            Entry::dir("hidden/").owner(1000, 1000),
            Entry::opaque("hidden/"),
            Entry::file("hidden/after", "after\n"),
        ]);
        Image::new([busybox_layer(), files, changes, opaque])
    });
    &IMAGE
}

/// `cap_net_bind_service=ep` as the kernel stores it (`struct vfs_cap_data`, revision 2).
const NET_BIND_SERVICE: &[u8] = &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Files that share nothing with other images: `count` layers of a few files each, on busybox.
pub(crate) fn many_layers(count: usize) -> Image {
    let layers = (0..count).map(|n| Layer::new([Entry::file(format!("layer-{n}"), format!("{n}\n"))]));
    Image::new(std::iter::once(busybox_layer()).chain(layers))
}

/// Writes `content` to a file that every account can read, named after `name` and its content.
pub(crate) fn shared_file(name: &str, content: &[u8]) -> PathBuf {
    let digest = super::image::digest(content);
    cached(&format!("{}-{name}", hex(&digest)), 0o644, |draft| {
        fs::File::create(draft).and_then(|mut file| file.write_all(content)).expect("a file");
    })
}
