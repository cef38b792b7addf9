//! `cp`: copies files into a container and out of one, running or not.
//!
//! Whatever happens in the container is done by a helper process in its namespaces; this process does what happens
//! on the host. Between the two goes a tar stream, which each side treats as hostile: a container can race the
//! helper, and an archive can be made to escape the target directory.
//!
//! # Protocol
//!
//! ```text
//!  out of a container                          into a container
//!  helper: CopySourceInfo  ──▶ host            helper: CopyTargetInfo     ──▶ host
//!  host:   name in archive ──▶ helper          host:   ExtractInstructions ─▶ helper
//!  helper: tar             ──▶ host            host:   tar                ──▶ helper
//! ```

mod container_side;
mod host_side;

use std::collections::BTreeSet;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result};

use self::container_side::{CopySourceInfo, CopyTargetInfo, ExtractInstructions};
use dhow_error::{Failure, FailureKind, invalid};
use dhow_image::files::extract::{ExtractReport, ExtractSide, extract_archive};
use dhow_image::files::inspect::DhowXattrs;
use dhow_image::files::pack_tree::TreePacker;
use dhow_model::copy_request::{CopyPlacement, HostEndpoint, PathArg, TargetKind, decide_placement};
use dhow_model::event::EngineEvent;
use dhow_runtime::rootfs_view::RootfsView;
use dhow_sandbox::fs_helper::{FsHelper, PipeDirection};
use dhow_sandbox::identity::HostIdentity;
use dhow_store::Store;

/// Whose files are copied, and how.
#[derive(Clone, Copy)]
pub struct CopyContext<'a> {
    pub store: &'a Store,
    pub identity: &'a HostIdentity,
    /// The container, as the user named it.
    pub container: &'a str,
    pub options: CopyOptions,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyOptions {
    /// `-a`: files in the container keep the owners they have on the host, instead of root.
    pub archive: bool,
    /// `-L`: follow a symbolic link at the source.
    pub follow: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopyResult {
    /// Bytes of the archive that were transferred.
    pub bytes: u64,
    /// Names of what could not be created: device nodes, on the host.
    pub left_out: BTreeSet<Vec<u8>>,
}

/// Copies `source` of the container to `target`; a stream goes to `out`. The process must be
/// single-threaded and outside any user namespace.
pub fn copy_from(
    context: CopyContext<'_>,
    source: &PathArg,
    target: &HostEndpoint,
    out: &mut dyn Write,
) -> Result<CopyResult> {
    let CopyContext { store, identity, container: name, options } = context;
    let container = store.find_container(name)?;
    let event = EngineEvent::of_container(container.spec(), "archive-path");
    // Refuse a bad target before a helper is started.
    let target = match target {
        HostEndpoint::Path(path) => Some(host_side::HostDestination::resolve(path)?),
        HostEndpoint::Stream => None,
    };
    let view = RootfsView::for_reading(store, container, identity)?;
    let mut helper = view.spawn_helper(PipeDirection::Out, |inside| {
        container_side::pack_source(inside, source, options.follow, name)
    })?;
    let info: CopySourceInfo = helper.receive()?;
    let input = helper.take_data()?;
    let copied = match target {
        None => {
            helper.send(&info.name)?;
            io::copy(&mut std::fs::File::from(input), out)
                .map(|bytes| CopyResult { bytes, left_out: BTreeSet::new() })
                .context("cannot write the archive")
        }
        Some(target) => {
            let (dir, name) = target.extraction_dir(&info)?;
            helper.send(&name)?;
            extract_on_host(input, dir)
        }
    };
    // If both sides failed, the failure inside caused the other.
    helper.finish()?;
    store.record_event(event.with("path", source.path.to_string_lossy()));
    copied
}

fn extract_on_host(input: OwnedFd, dir: OwnedFd) -> Result<CopyResult> {
    let input = BufReader::with_capacity(128 << 10, std::fs::File::from(input));
    let ExtractReport { bytes, skipped: left_out } = extract_archive(input, dir, ExtractSide::Host)?;
    Ok(CopyResult { bytes, left_out })
}

/// Copies `source` to `target` in the container; a stream comes from `stdin`. The same conditions
/// apply as for [`copy_from`].
pub fn copy_into(
    context: CopyContext<'_>,
    source: &HostEndpoint,
    target: &PathArg,
    stdin: &mut dyn Read,
) -> Result<CopyResult> {
    let CopyContext { store, identity, container: name, options } = context;
    let container = store.find_container(name)?;
    let event = EngineEvent::of_container(container.spec(), "extract-to-dir");
    let source = match source {
        HostEndpoint::Path(path) => Some(host_side::HostSource::open(path, options.follow)?),
        HostEndpoint::Stream => None,
    };
    // The owners in an archive are meant as such; those of the user's files only with `-a`.
    let owners = options.archive || source.is_none();
    let read_only = container.spec().read_only;
    let view = RootfsView::for_writing(store, container, identity)?;
    let mut helper = view.spawn_helper(PipeDirection::In, |inside| {
        container_side::extract_at(inside, target, name, read_only)
    })?;
    let info: CopyTargetInfo = helper.receive()?;
    let placement = match &source {
        Some(source) => decide_placement(source.is_dir, info.there, target.is_directory)?,
        None if info.there == TargetKind::Directory => CopyPlacement::Within,
        None => {
            let path = target.path.display();
            return Err(invalid(format!("destination \"{name}:{path}\" must be a directory")).into());
        }
    };
    helper.send(&ExtractInstructions { placement, owners })?;
    let mut output = std::fs::File::from(helper.take_data()?);
    let sent = match source {
        Some(source) => {
            let archive_name =
                if placement == CopyPlacement::Within { source.name.clone() } else { info.name };
            pack_from_host(source, &archive_name, &mut output)
        }
        None => io::copy(stdin, &mut output).context("cannot pass the archive on"),
    };
    // End of file for the helper.
    drop(output);
    let bytes = finish_transfer(helper, sent)?;
    store.record_event(event.with("path", target.path.to_string_lossy()));
    Ok(CopyResult { bytes, left_out: BTreeSet::new() })
}

fn pack_from_host(source: host_side::HostSource, name: &[u8], output: &mut std::fs::File) -> Result<u64> {
    let mut out = BufWriter::with_capacity(128 << 10, output);
    let mut packer = TreePacker::new(&mut out, DhowXattrs::Ignore);
    source.pack(&mut packer, name)?;
    packer.finish()
}

/// A reader that failed breaks the writer's pipe, so its reason is the one to report. A writer that failed
/// leaves an archive without its end, which makes the reader fail too; then the writer's reason counts.
fn finish_transfer(helper: FsHelper, sent: Result<u64>) -> Result<u64> {
    let broken = |error: &anyhow::Error| {
        let io = |cause: &(dyn std::error::Error + 'static)| {
            cause.downcast_ref::<io::Error>().map(io::Error::kind)
        };
        error.chain().any(|cause| io(cause) == Some(io::ErrorKind::BrokenPipe))
    };
    match (sent, helper.finish()) {
        (Ok(bytes), finished) => finished.map(|()| bytes),
        (Err(error), Err(cause)) if broken(&error) => Err(cause),
        (Err(error), _) if !broken(&error) => Err(error),
        _ => Err(Failure::new(FailureKind::Interrupted, "the process inside the container has ended").into()),
    }
}
