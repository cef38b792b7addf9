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

use super::changes::prune_unchanged;
use super::files::inspect::{FileInfo, read_xattr};
use super::snapshot::{SnapshotMode, timestamps, write_layer};
use super::tar::{TarMember, TarMemberKind, TarTime};
use dhow_model::layer::{LayerOwnership, LayerRecord};
use dhow_store::LayerDraft;

/// Parameters of [`commit_upper`].
#[derive(Clone, Copy, Debug)]
pub struct UpperCommit<'a> {
    /// The trees of the layers below, topmost first.
    pub lower: &'a [&'a Path],
    /// `SOURCE_DATE_EPOCH`, seconds since 1970: later modification times are clamped to it, in the tree and
    /// in the stream.
    pub epoch: Option<i64>,
    pub identity: LayerOwnership,
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
pub fn commit_upper(draft: &LayerDraft, how: &UpperCommit<'_>) -> Result<Option<LayerRecord>> {
    let tree = draft.tree();
    let changes = prune_unchanged(&tree, how.lower).context("cannot look through the changed files")?;
    if changes.is_empty() {
        return Ok(None);
    }
    let settle = InPlaceFixups {
        epoch: how.epoch,
        owner_of_new: how
            .owner_of_new
            .filter(|owner| *owner != (0, 0) && how.identity == LayerOwnership::Single),
        owners: how.owners.cloned().unwrap_or_default(),
    };
    write_layer(&tree, &changes, draft, how.identity, SnapshotMode::InPlace(settle)).map(Some)
}

/// Adjustments to files that are committed in place.
pub(crate) struct InPlaceFixups {
    epoch: Option<i64>,
    owner_of_new: Option<(u32, u32)>,
    owners: BTreeMap<Vec<u8>, (u32, u32)>,
}

impl InPlaceFixups {
    /// Adjusts the file `name` in `dir`, and `member`, which describes it.
    pub(crate) fn apply(
        &self,
        dir: &OwnedFd,
        name: &CStr,
        found: &FileInfo,
        member: &mut TarMember,
    ) -> Result<()> {
        if let Some(owner) = self.owner_of_new {
            record_owner(owner, found, member);
        }
        if let Some(owner) = self.owners.get(&member.path)
            && matches!(member.kind, TarMemberKind::Symlink | TarMemberKind::Fifo)
        {
            (member.uid, member.gid) = *owner;
        }
        if let Some(epoch) = self.epoch
            && (member.mtime.seconds, member.mtime.nanos) > (epoch, 0)
        {
            member.mtime = TarTime { seconds: epoch, nanos: 0 };
            rustix::fs::utimensat(dir, name, &timestamps(member.mtime), AtFlags::SYMLINK_NOFOLLOW)
                .context("cannot set its time")?;
        }
        Ok(())
    }
}

/// Records `owner` for a file that was not copied up from a lower layer and whose owner nobody has set. A
/// symbolic link cannot have a `user.*` attribute; for it only the tar-split data keeps the owner.
fn record_owner(owner: (u32, u32), found: &FileInfo, member: &mut TarMember) {
    let fd = found.content.as_ref().map(std::os::fd::AsFd::as_fd).or(found.dir.as_ref().map(OwnedFd::as_fd));
    match fd {
        None if member.kind == TarMemberKind::Symlink => (member.uid, member.gid) = owner,
        None => {}
        Some(fd) => {
            // overlayfs sets `origin` on files that it copied up; those have an owner already.
            if read_xattr(fd, b"user.overlay.origin").is_some()
                || read_xattr(fd, b"user.dhow.owner").is_some()
            {
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
mod tests;
