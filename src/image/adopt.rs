//! Commits an upper directory in place: what `RUN` left in its overlay, or what `COPY` wrote, becomes a
//! layer.
//!
//! Nothing is copied or moved. Entries that are no change are removed from the tree; the tar stream that it
//! stands for is hashed in the order and format of [`super::snapshot`], so that the same changes have the
//! same digest however they were made; and the tar-split data is written next to the tree.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::fs::{AtFlags, XattrFlags};

use super::changes::tidy;
use super::files::look::{Found, xattr};
use super::snapshot::{Files, record, times};
use super::tar::{Kind, Member, Time};
use crate::model::layer::{Identity, LayerRecord};
use crate::store::LayerDraft;

/// Parameters of [`commit_upper`].
#[derive(Clone, Copy, Debug)]
pub struct Adoption<'a> {
    /// The trees of the layers below, topmost first.
    pub lower: &'a [&'a Path],
    /// `SOURCE_DATE_EPOCH`, seconds since 1970: later modification times are clamped to it, in the tree and
    /// in the stream.
    pub epoch: Option<i64>,
    pub identity: Identity,
    /// In single-id mode, the owner of new files whose owner was never set: the user and group of the process
    /// that created them.
    pub owner_of_new: Option<(u32, u32)>,
    /// Owners by path, for links and pipes, which cannot have `user.dhow.owner`.
    pub owners: Option<&'a BTreeMap<Vec<u8>, (u32, u32)>>,
}

/// Turns the draft's tree into its layer. Returns the record to commit the draft with, or `None` if the tree
/// contains no change, so that there is no layer.
///
/// The caller must be able to access files of every owner, and nobody may use the tree meanwhile.
pub fn adopt(draft: &LayerDraft, how: &Adoption<'_>) -> Result<Option<LayerRecord>> {
    let tree = draft.tree();
    let changes = tidy(&tree, how.lower).context("cannot look through the changed files")?;
    if changes.is_empty() {
        return Ok(None);
    }
    let settle = Settle {
        epoch: how.epoch,
        owner_of_new: how.owner_of_new.filter(|owner| *owner != (0, 0) && how.identity == Identity::Single),
        owners: how.owners.cloned().unwrap_or_default(),
    };
    record(&tree, &changes, draft, how.identity, Files::Place(settle)).map(Some)
}

/// Adjustments to files that are committed in place.
pub(super) struct Settle {
    epoch: Option<i64>,
    owner_of_new: Option<(u32, u32)>,
    owners: BTreeMap<Vec<u8>, (u32, u32)>,
}

impl Settle {
    /// Adjusts the file `name` in `dir`, and `member`, which describes it.
    pub(super) fn file(&self, dir: &OwnedFd, name: &CStr, found: &Found, member: &mut Member) -> Result<()> {
        if let Some(owner) = self.owner_of_new {
            own(owner, found, member);
        }
        if let Some(owner) = self.owners.get(&member.path)
            && matches!(member.kind, Kind::Symlink | Kind::Fifo)
        {
            (member.uid, member.gid) = *owner;
        }
        if let Some(epoch) = self.epoch
            && (member.mtime.seconds, member.mtime.nanos) > (epoch, 0)
        {
            member.mtime = Time { seconds: epoch, nanos: 0 };
            rustix::fs::utimensat(dir, name, &times(member.mtime), AtFlags::SYMLINK_NOFOLLOW)
                .context("cannot set its time")?;
        }
        Ok(())
    }
}

/// Records `owner` for a file that was not copied up from a lower layer and whose owner nobody has set. A
/// symbolic link cannot have a `user.*` attribute; for it only the tar-split data keeps the owner.
fn own(owner: (u32, u32), found: &Found, member: &mut Member) {
    let fd = found.content.as_ref().map(std::os::fd::AsFd::as_fd).or(found.dir.as_ref().map(OwnedFd::as_fd));
    match fd {
        None if member.kind == Kind::Symlink => (member.uid, member.gid) = owner,
        None => {}
        Some(fd) => {
            // overlayfs sets `origin` on files that it copied up; those have an owner already.
            if xattr(fd, b"user.overlay.origin").is_some() || xattr(fd, b"user.dhow.owner").is_some() {
                return;
            }
            (member.uid, member.gid) = owner;
            let value = format!("{}:{}", owner.0, owner.1);
            // Without xattr support the tar-split data still has the owner.
            let _ = rustix::fs::fsetxattr(fd, "user.dhow.owner", value.as_bytes(), XattrFlags::empty());
        }
    }
}

#[cfg(test)]
#[path = "adopt_tests.rs"]
mod tests;
