//! Applies one member of a layer to the tree: creates a file, directory, link or device, or a whiteout.
//!
//! Deletions follow the OCI image specification ("Whiteouts"): `.wh.NAME` hides NAME of the lower layers but
//! never a NAME of this layer, wherever in the archive either occurs; `.wh..wh..opq` hides all of the
//! directory's lower entries.

use anyhow::Context as _;

use super::TarSplitRecorder;
use super::tree::{LayerTree, TreeLocation};
use crate::tar::fill::{fill_plain, fill_sparse};
use crate::tar::name::MemberPath;
use crate::tar::{TarMember, TarMemberKind, TarReader};
use dhow_error::{corrupt, unsupported};

const WHITEOUT: &[u8] = b".wh.";
/// Prefix of AUFS's internal files, which mean nothing in a layer.
const AUFS: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

fn is_aufs(name: &MemberPath) -> bool {
    let opaque = name.base == OPAQUE;
    (name.base.starts_with(AUFS) && !opaque)
        || name.dir.split(|b| *b == b'/').any(|part| part.starts_with(AUFS))
}

/// Applies `member`; its content is read from `archive`.
pub(super) fn apply_member(
    tree: &mut LayerTree,
    archive: &mut TarReader<TarSplitRecorder>,
    member: &TarMember,
) -> anyhow::Result<()> {
    let name = MemberPath::parse(&member.path)?;
    if is_aufs(&name) {
        return Ok(());
    }
    if name.base.is_empty() {
        return root(tree, member);
    }
    // The parent is created even for whiteouts: hiding a name needs its directory in this layer.
    let at = tree.locate(&name.dir, &name.base)?;
    if name.base == OPAQUE {
        return at.parent.make_opaque();
    }
    if let Some(hidden) = name.base.strip_prefix(WHITEOUT) {
        return apply_whiteout(tree, &name.dir, hidden);
    }
    match member.kind {
        TarMemberKind::File => file(tree, archive, member, &name, &at),
        TarMemberKind::Dir => tree.make_dir(&at, &name.path(), member),
        TarMemberKind::Symlink => tree.make_symlink(&at, member),
        TarMemberKind::HardLink => hard_link(tree, member, &at),
        TarMemberKind::Fifo => tree.make_fifo(&at, member),
        TarMemberKind::Char | TarMemberKind::Block => tree.make_device(&at, member),
        TarMemberKind::Other(kind) => Err(unsupported(format!(
            "the archive's entry type `{}` is not one of a layer",
            char::from(kind).escape_debug()
        ))
        .into()),
    }
}

fn root(tree: &mut LayerTree, member: &TarMember) -> anyhow::Result<()> {
    if member.kind != TarMemberKind::Dir {
        return Err(corrupt("the root of the layer is not a directory").into());
    }
    tree.set_root(member)
}

fn apply_whiteout(tree: &mut LayerTree, dir: &[u8], hidden: &[u8]) -> anyhow::Result<()> {
    if matches!(hidden, b"" | b"." | b"..") {
        return Err(corrupt("a whiteout does not say what it hides").into());
    }
    let at = tree.locate(dir, hidden)?;
    tree.make_whiteout(&at)
}

fn hard_link(tree: &mut LayerTree, member: &TarMember, at: &TreeLocation) -> anyhow::Result<()> {
    let target = MemberPath::parse(&member.link)?;
    if target.base.is_empty() {
        return Err(corrupt("a hard link to the root of the layer").into());
    }
    let shown = || format!("cannot link to `{}`", String::from_utf8_lossy(&member.link).escape_debug());
    let source = tree.locate_existing(&target.dir, &target.base).with_context(shown)?;
    tree.make_hard_link(&source, at).with_context(shown)
}

fn file(
    tree: &mut LayerTree,
    archive: &mut TarReader<TarSplitRecorder>,
    member: &TarMember,
    name: &MemberPath,
    at: &TreeLocation,
) -> anyhow::Result<()> {
    let mut new = tree.create_file(at, member)?;
    if let Some((real_size, segments)) = &member.sparse {
        // Recorded as raw bytes, since the tree does not keep how the archive divided the file.
        fill_sparse(archive, &new.file, *real_size, segments)?;
    } else if member.size > 0 {
        let number = archive.input().begin_content(&name.path(), member.size)?;
        let filled = fill_plain(archive, &mut new.file);
        // The padding and later headers are recorded again.
        archive.input().end_content();
        filled?;
        // If the file is replaced later in the archive, its content must survive for the tar-split data.
        tree.remember_content(at, &new, number)?;
    }
    tree.finish_file(&new, member)
}
