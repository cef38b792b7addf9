//! A finished tree becomes its layer as it lies: what `RUN` left in its upper directory, or what `COPY` wrote.
//!
//! Nothing is copied or moved. The tree is freed of what is no change, the tar stream that it stands for is hashed in the
//! order and form of [`super::snapshot`], so that the same changes have the same digest however they were made, and the
//! recipe of the stream is written beside the tree.

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

/// What counts at an adoption.
#[derive(Clone, Copy, Debug)]
pub struct Adoption<'a> {
    /// The trees of the layers below, the uppermost first.
    pub lower: &'a [&'a Path],
    /// Seconds since 1970 (`SOURCE_DATE_EPOCH`): what was changed later was changed then, in the tree and in the stream.
    pub epoch: Option<i64>,
    /// How owners are kept.
    pub identity: Identity,
    /// With one id only, the user and group to whom new files belong whose owner was never set: whoever the process was
    /// that made them.
    pub owner_of_new: Option<(u32, u32)>,
    /// Owners, by path, of what cannot remember them itself: links and pipes.
    pub owners: Option<&'a BTreeMap<Vec<u8>, (u32, u32)>>,
}

/// Makes the tree of `draft` the layer of it. Returns the record to commit the draft with, or `None` where the tree
/// changes nothing, and there is no layer.
///
/// The caller must be able to handle files of every owner, and nobody may use the tree meanwhile.
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

/// What files get that stay where they are.
pub(super) struct Settle {
    epoch: Option<i64>,
    owner_of_new: Option<(u32, u32)>,
    owners: BTreeMap<Vec<u8>, (u32, u32)>,
}

impl Settle {
    /// Gives the file `name` in `dir` what it lacks, and `member`, which describes it.
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

/// Remembers `owner` as that of a file which was not brought up from a layer below and whose owner nobody set. A link
/// cannot remember it; the recipe does.
fn own(owner: (u32, u32), found: &Found, member: &mut Member) {
    let fd = found.content.as_ref().map(std::os::fd::AsFd::as_fd).or(found.dir.as_ref().map(OwnedFd::as_fd));
    match fd {
        None if member.kind == Kind::Symlink => (member.uid, member.gid) = owner,
        None => {}
        Some(fd) => {
            if xattr(fd, b"user.overlay.origin").is_some() || xattr(fd, b"user.dhow.owner").is_some() {
                return;
            }
            (member.uid, member.gid) = owner;
            let value = format!("{}:{}", owner.0, owner.1);
            let _ = rustix::fs::fsetxattr(fd, "user.dhow.owner", value.as_bytes(), XattrFlags::empty());
        }
    }
}

#[cfg(test)]
#[path = "adopt_tests.rs"]
mod tests;
