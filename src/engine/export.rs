//! `export`: the file system of a container as one tar archive, without what is mounted in it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::fs::{Mode, OFlags};

use super::rootfs_view::View;
use crate::image::archive::output::OutputFile;
use crate::image::files::look::Meaning;
use crate::image::files::pack::Packer;
use crate::model::event::Event;
use crate::sandbox::identity::Identity;
use crate::store::Store;

/// A container's files, open and ready to be written to an archive.
pub struct Export {
    tree: OwnedFd,
    name: String,
}

/// Opens the files of the container `text`, running or not. The process must be single-threaded and outside
/// any user namespace.
pub fn open(store: &Store, text: &str, identity: &Identity) -> Result<Export> {
    let container = store.find_container(text)?;
    let event = Event::of_container(container.spec(), "export");
    let name = container.spec().name.clone();
    let tree = View::for_reading(store, container, identity)?.own_tree()?;
    store.record_event(event);
    Ok(Export { tree, name })
}

impl Export {
    /// Writes the archive. The process must be able to read files of every owner (see `userns`); owners are
    /// written as an image of this container would have them.
    pub fn write(&self, out: &mut dyn Write) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(&self.tree, ".", flags, Mode::empty())?;
        let mut packer = Packer::new(out, Meaning::Kept);
        packer
            .below(&root)
            .and_then(|()| packer.finish().map(drop))
            .with_context(|| format!("cannot export container {}", self.name))
    }

    /// [`ContainerExport::write`] to a file, which appears only once it is complete. A device or pipe is
    /// written to directly.
    pub fn write_to_file(&self, path: &Path) -> Result<()> {
        let doing = || format!("cannot write {}", path.display());
        if path.metadata().is_ok_and(|found| !found.is_file()) {
            let mut file = File::options().write(true).open(path).with_context(doing)?;
            return self.write(&mut file);
        }
        let unfinished = OutputFile::beside(path).with_context(doing)?;
        self.write(&mut BufWriter::with_capacity(256 << 10, unfinished.file()))?;
        unfinished.rename(path).with_context(doing)
    }
}
