//! The files of a result, without layers: as an archive, or below a directory of the user's.

use std::fs::File;
use std::io::{BufReader, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use rustix::fs::{CWD, Mode, OFlags};

use crate::image::files::extract::{Side, extract};
use crate::image::files::look::Meaning;
use crate::image::files::pack::Packer;
use crate::model::digest::Digest;
use crate::sandbox::overlay;
use crate::sandbox::plan::Overlay;
use crate::store::{Store, TempDir};

/// Layers as one tree. The directory under it goes with it.
pub(super) struct Tree {
    root: OwnedFd,
    work: TempDir,
}

impl Drop for Tree {
    fn drop(&mut self) {
        // What is mounted on could not be removed. There are two mounts where the writable layer is in memory.
        let stage = self.work.path().join("stage");
        while rustix::mount::unmount(&stage, rustix::mount::UnmountFlags::DETACH).is_ok() {}
    }
}

impl Tree {
    /// Puts `layers`, lowest first, on each other. This process has one thread and may mount.
    pub(super) fn of(store: &Store, layers: &[Digest]) -> Result<Self> {
        let work = store.temp_dir()?;
        let mut lower: Vec<PathBuf> =
            layers.iter().rev().map(|layer| PathBuf::from("layers").join(layer.hex()).join("fs")).collect();
        let base = store.root().to_owned();
        for name in ["lower", "upper", "work", "stage"] {
            rustix::fs::mkdirat(CWD, work.path().join(name), Mode::from_raw_mode(0o755))
                .context("cannot make a temporary directory")?;
        }
        if lower.is_empty() {
            lower.push(work.path().join("lower"));
        }
        let place = |name: &str| work.path().join(name);
        let layers =
            Overlay { base, lower, upper: place("upper"), work: place("work"), volatile: true, kept: false };
        let root = overlay::attach_alone(&layers, &place("stage"))?;
        Ok(Self { root, work })
    }

    /// Writes all files to `out` as an archive.
    pub(super) fn write(&self, out: &mut dyn Write) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(&self.root, ".", flags, Mode::empty())?;
        let mut packer = Packer::new(out, Meaning::Kept);
        packer.below(&root)?;
        packer.finish().map(drop)
    }

    /// Makes all files below `dir` as files of the user's. Returns the names of those that could not be made here.
    pub(super) fn copy_to(&self, dir: &Path) -> Result<Vec<String>> {
        let doing = || format!("cannot write below {}", dir.display());
        make_dirs(dir).with_context(doing)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, dir, flags, Mode::empty()).with_context(doing)?;
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let extracted = std::thread::scope(|scope| {
            let packing = scope.spawn(move || self.write(&mut File::from(writer)));
            let extracted =
                extract(BufReader::with_capacity(256 << 10, File::from(reader)), root, Side::Outside);
            let packed = packing.join().unwrap_or_else(|_| Err(anyhow!("packing broke off")));
            // Where making files failed, packing was cut off; the other way round the archive ended early.
            extracted.and_then(|extracted| packed.map(|()| extracted))
        });
        let left_out = extracted.with_context(doing)?.left_out;
        Ok(left_out.iter().map(|name| String::from_utf8_lossy(name).escape_debug().to_string()).collect())
    }
}

/// Makes a directory with those above it, as the user does.
pub(in crate::engine::build) fn make_dirs(dir: &Path) -> Result<()> {
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty() && !parent.exists()) {
        make_dirs(parent)?;
    }
    match rustix::fs::mkdirat(CWD, dir, Mode::from_raw_mode(0o777)) {
        Err(rustix::io::Errno::EXIST) => Ok(()),
        other => Ok(other?),
    }
}
