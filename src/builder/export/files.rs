//! The merged files of a result, as an archive or in a directory of the user's.

use std::fs::File;
use std::io::{BufReader, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use rustix::fs::{CWD, Mode, OFlags};

use dhow_image::files::extract::{ExtractSide, extract_archive};
use dhow_image::files::inspect::DhowXattrs;
use dhow_image::files::pack_tree::TreePacker;
use dhow_model::digest::Digest;
use dhow_sandbox::plan::OverlayLayers;
use dhow_sandbox::rootfs::overlay;
use dhow_store::{Store, TempDir};

/// The layers of a result mounted as one tree. Unmounted and removed on drop.
pub(crate) struct MergedTree {
    root: OwnedFd,
    work: TempDir,
}

impl Drop for MergedTree {
    fn drop(&mut self) {
        // A mount point cannot be removed. With the writable layer in memory there are two mounts.
        let stage = self.work.path().join("stage");
        while rustix::mount::unmount(&stage, rustix::mount::UnmountFlags::DETACH).is_ok() {}
    }
}

impl MergedTree {
    /// Mounts `layers`, lowest first. The process must have a single thread and be able to mount.
    pub(super) fn mount(store: &Store, layers: &[Digest]) -> Result<Self> {
        let work = store.temp_dir()?;
        // Relative to the store: fsconfig(2) limits each path to 255 bytes.
        let mut lower: Vec<PathBuf> =
            layers.iter().rev().map(|layer| PathBuf::from("layers").join(layer.hex()).join("fs")).collect();
        let base = store.root().to_owned();
        for name in ["lower", "upper", "work", "stage"] {
            rustix::fs::mkdirat(CWD, work.path().join(name), Mode::from_raw_mode(0o755))
                .context("cannot make a temporary directory")?;
        }
        // overlayfs needs at least one lower directory.
        if lower.is_empty() {
            lower.push(work.path().join("lower"));
        }
        let subdir = |name: &str| work.path().join(name);
        let layers = OverlayLayers {
            base,
            lower,
            upper: subdir("upper"),
            work: subdir("work"),
            volatile: true,
            must_persist: false,
        };
        let root = overlay::attach_in_new_mountns(&layers, &subdir("stage"))?;
        Ok(Self { root, work })
    }

    /// Writes all files to `out` as a tar archive.
    pub(crate) fn write_tar(&self, out: &mut dyn Write) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(&self.root, ".", flags, Mode::empty())?;
        let mut packer = TreePacker::new(out, DhowXattrs::Apply);
        packer.contents(&root)?;
        packer.finish().map(drop)
    }

    /// Extracts all files below `dir`, owned by the user. Returns the names of those that could not be
    /// created (devices).
    pub(crate) fn copy_to(&self, dir: &Path) -> Result<Vec<String>> {
        let doing = || format!("cannot write below {}", dir.display());
        make_dirs(dir).with_context(doing)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, dir, flags, Mode::empty()).with_context(doing)?;
        // Packed and extracted concurrently, so the archive is never stored.
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let extracted = std::thread::scope(|scope| {
            let packing = scope.spawn(move || self.write_tar(&mut File::from(writer)));
            let extracted = extract_archive(
                BufReader::with_capacity(256 << 10, File::from(reader)),
                root,
                ExtractSide::Host,
            );
            let packed = packing.join().unwrap_or_else(|_| Err(anyhow!("packing broke off")));
            // If extracting failed, packing got EPIPE: report the former. If packing failed, the archive just
            // ended early.
            extracted.and_then(|extracted| packed.map(|()| extracted))
        });
        let left_out = extracted.with_context(doing)?.skipped;
        Ok(left_out.iter().map(|name| String::from_utf8_lossy(name).escape_debug().to_string()).collect())
    }
}

/// Creates a directory and its parents, with the user's umask.
pub(crate) fn make_dirs(dir: &Path) -> Result<()> {
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty() && !parent.exists()) {
        make_dirs(parent)?;
    }
    match rustix::fs::mkdirat(CWD, dir, Mode::from_raw_mode(0o777)) {
        Err(rustix::io::Errno::EXIST) => Ok(()),
        other => Ok(other?),
    }
}
