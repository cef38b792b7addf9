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

mod host;
mod inside;

use std::collections::BTreeSet;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result};

use self::inside::{Found, Take, Target};
use super::rootfs_view::View;
use crate::error::{Failure, Kind, invalid};
use crate::image::files::extract::{Extracted, Side, extract};
use crate::image::files::look::Meaning;
use crate::image::files::pack::Packer;
use crate::model::copy::{Outside, PathArg, Placement, There, place};
use crate::model::event::Event;
use crate::sandbox::identity::Identity;
use crate::sandbox::visit::{Flow, Visitor};
use crate::store::Store;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyOptions {
    /// `-a`: files in the container keep the owners they have on the host, instead of root.
    pub archive: bool,
    /// `-L`: follow a symbolic link at the source.
    pub follow: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Bytes of the archive that were transferred.
    pub bytes: u64,
    /// Names of what could not be created: device nodes, on the host.
    pub left_out: BTreeSet<Vec<u8>>,
}

/// Copies `source` of the container `name` to `target`; a stream goes to `out`. The process must be
/// single-threaded and outside any user namespace.
pub fn copy_from(
    store: &Store,
    identity: &Identity,
    name: &str,
    source: &PathArg,
    target: &Outside,
    options: CopyOptions,
    out: &mut dyn Write,
) -> Result<Copied> {
    let container = store.find_container(name)?;
    let event = Event::of_container(container.spec(), "archive-path");
    // Refuse a bad target before a helper is started.
    let target = match target {
        Outside::Path(path) => Some(host::Destination::find(path)?),
        Outside::Stream => None,
    };
    let view = View::for_reading(store, container, identity)?;
    let mut visitor = view.visit(Flow::Out, |inside| inside::send(inside, source, options.follow, name))?;
    let found: Found = visitor.hear()?;
    let input = visitor.take_data()?;
    let copied = match target {
        None => {
            visitor.tell(&found.name)?;
            io::copy(&mut std::fs::File::from(input), out)
                .map(|bytes| Copied { bytes, left_out: BTreeSet::new() })
                .context("cannot write the archive")
        }
        Some(target) => {
            let (dir, name) = target.place(&found)?;
            visitor.tell(&name)?;
            receive(input, dir)
        }
    };
    // If both sides failed, the failure inside caused the other.
    visitor.finish()?;
    store.record_event(event.with("path", source.path.to_string_lossy()));
    copied
}

fn receive(input: OwnedFd, dir: OwnedFd) -> Result<Copied> {
    let input = BufReader::with_capacity(128 << 10, std::fs::File::from(input));
    let Extracted { bytes, left_out } = extract(input, dir, Side::Outside)?;
    Ok(Copied { bytes, left_out })
}

/// Copies `source` to `target` in the container `name`; a stream comes from `stdin`. The same conditions
/// apply as for [`copy_from`].
pub fn copy_into(
    store: &Store,
    identity: &Identity,
    name: &str,
    source: &Outside,
    target: &PathArg,
    options: CopyOptions,
    stdin: &mut dyn Read,
) -> Result<Copied> {
    let container = store.find_container(name)?;
    let event = Event::of_container(container.spec(), "extract-to-dir");
    let source = match source {
        Outside::Path(path) => Some(host::Source::find(path, options.follow)?),
        Outside::Stream => None,
    };
    // The owners in an archive are meant as such; those of the user's files only with `-a`.
    let owners = options.archive || source.is_none();
    let read_only = container.spec().read_only;
    let view = View::for_writing(store, container, identity)?;
    let mut visitor = view.visit(Flow::In, |inside| inside::receive(inside, target, name, read_only))?;
    let there: Target = visitor.hear()?;
    let placement = match &source {
        Some(source) => place(source.is_dir, there.there, target.is_directory)?,
        None if there.there == There::Directory => Placement::Within,
        None => {
            let path = target.path.display();
            return Err(invalid(format!("destination \"{name}:{path}\" must be a directory")).into());
        }
    };
    visitor.tell(&Take { placement, owners })?;
    let mut output = std::fs::File::from(visitor.take_data()?);
    let sent = match source {
        Some(source) => {
            let called = if placement == Placement::Within { source.name.clone() } else { there.name };
            send(source, &called, &mut output)
        }
        None => io::copy(stdin, &mut output).context("cannot pass the archive on"),
    };
    // End of file for the helper.
    drop(output);
    let bytes = settle(visitor, sent)?;
    store.record_event(event.with("path", target.path.to_string_lossy()));
    Ok(Copied { bytes, left_out: BTreeSet::new() })
}

fn send(source: host::Source, called: &[u8], output: &mut std::fs::File) -> Result<u64> {
    let mut out = BufWriter::with_capacity(128 << 10, output);
    let mut packer = Packer::new(&mut out, Meaning::Plain);
    source.pack(&mut packer, called)?;
    packer.finish()
}

/// A reader that failed breaks the writer's pipe, so its reason is the one to report. A writer that failed
/// leaves an archive without its end, which makes the reader fail too; then the writer's reason counts.
fn settle(visitor: Visitor, sent: Result<u64>) -> Result<u64> {
    let broken = |error: &anyhow::Error| {
        let io = |cause: &(dyn std::error::Error + 'static)| {
            cause.downcast_ref::<io::Error>().map(io::Error::kind)
        };
        error.chain().any(|cause| io(cause) == Some(io::ErrorKind::BrokenPipe))
    };
    match (sent, visitor.finish()) {
        (Ok(bytes), finished) => finished.map(|()| bytes),
        (Err(error), Err(cause)) if broken(&error) => Err(cause),
        (Err(error), _) if !broken(&error) => Err(error),
        _ => Err(Failure::new(Kind::Interrupted, "the process inside the container has ended").into()),
    }
}
