//! `export`: the file system of a container as one tar archive, without what is mounted in it.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::fs::{Mode, OFlags};

use dhow_image::archive::output::write_output_file;
use dhow_image::files::inspect::DhowXattrs;
use dhow_image::files::pack_tree::TreePacker;
use dhow_model::event::EngineEvent;
use dhow_runtime::rootfs_view::RootfsView;
use dhow_sandbox::identity::HostIdentity;
use dhow_store::Store;

/// A container's files, open and ready to be written to an archive.
pub struct ContainerExport {
    tree: OwnedFd,
    name: String,
}

/// Opens the files of the container `text`, running or not. The process must be single-threaded and outside
/// any user namespace.
pub fn prepare_export(store: &Store, text: &str, identity: &HostIdentity) -> Result<ContainerExport> {
    let container = store.find_container(text)?;
    let event = EngineEvent::of_container(container.spec(), "export");
    let name = container.spec().name.clone();
    let tree = RootfsView::for_reading(store, container, identity)?.own_tree()?;
    store.record_event(event);
    Ok(ContainerExport { tree, name })
}

impl ContainerExport {
    /// Writes the archive. The process must be able to read files of every owner (see `userns`); owners are
    /// written as an image of this container would have them.
    pub fn write(&self, out: &mut dyn Write) -> Result<()> {
        // The tree is held like an O_PATH descriptor (open_tree(2)), which cannot be read from.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(&self.tree, ".", flags, Mode::empty())?;
        let mut packer = TreePacker::new(out, DhowXattrs::Apply);
        packer
            .contents(&root)
            .and_then(|()| packer.finish().map(drop))
            .with_context(|| format!("cannot export container {}", self.name))
    }

    /// [`ContainerExport::write`] to a file, which appears only once it is complete. A device or pipe is
    /// written to directly.
    pub fn write_to_file(&self, path: &Path) -> Result<()> {
        write_output_file(path, |out| self.write(out))
    }
}
