//! Creates a layer from a container's changes: files are copied (as reflinks where possible) and hashed as
//! the layer's tar stream, whose tar-split data is written along the way. Or does the same for a tree that
//! becomes the layer in place ([`super::commit_upper`]); then nothing is copied.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::rc::Rc;

use super::changes::{ChangeKind, FileChange};
use super::files::inspect::{DhowXattrs, FileInfo, inspect, read_content};
use super::tar::write::{END_OF_ARCHIVE, member_header, padding};
use super::tar::{TarMember, TarMemberKind, TarTime};
use super::tar_hash::TarHash;
use super::tar_split::TarSplitWriter;
use anyhow::{Context as _, Result};
use dhow_model::layer::{DEVICE_XATTR, OWNER_XATTR, owner_value};
use dhow_model::layer::{LayerOwnership, LayerRecord};
use dhow_store::LayerDraft;
use dhow_sys::fs::open_beneath;
use dhow_sys::overlay::{make_whiteout, set_opaque};
use dhow_sys::xattr::{read_xattr, set_xattr_best_effort, xattr_names};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use std::collections::BTreeMap;

/// Creates in `draft` the layer with `changes`, found in `upper`. Returns the record to commit the draft
/// with.
///
/// The caller must be able to give files the owners that those in `upper` have. The container may keep
/// running; each file is captured at some moment.
pub fn snapshot(
    upper: &Path,
    changes: &[FileChange],
    draft: &LayerDraft,
    identity: LayerOwnership,
) -> Result<LayerRecord> {
    let tree = rustix::fs::openat(CWD, draft.tree(), DIRECTORY, Mode::empty())?;
    write_layer(upper, changes, draft, identity, SnapshotMode::Copy(tree))
}

/// What happens to the files.
pub(super) enum SnapshotMode {
    /// Copied to this directory.
    Copy(OwnedFd),
    /// Kept in place, with adjustments.
    InPlace(InPlaceFixups),
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Reads `changes` from `from`, writes the draft's tar-split data, and returns the layer's record.
pub(super) fn write_layer(
    from: &Path,
    changes: &[FileChange],
    draft: &LayerDraft,
    identity: LayerOwnership,
    files: SnapshotMode,
) -> Result<LayerRecord> {
    let tar_split = draft.create_tar_split().context("cannot create the tar-split data")?;
    let (tree, fixups) = match files {
        SnapshotMode::Copy(tree) => (Some(tree), None),
        SnapshotMode::InPlace(fixups) => (None, Some(fixups)),
    };
    let mut snapshot = SnapshotWriter {
        upper: rustix::fs::openat(CWD, from, DIRECTORY, Mode::empty()).context("cannot open its files")?,
        tree,
        fixups,
        stream: LayerStream { tar_split: TarSplitWriter::new(tar_split)?, tar: TarHash::default() },
        size: 0,
        links: HashMap::new(),
        dirs: Vec::new(),
        last: None,
    };
    for change in changes.iter().filter(|change| !change.by_opaque_parent) {
        snapshot.add_change(change).with_context(|| {
            format!("cannot take `/{}`", String::from_utf8_lossy(&change.path).escape_debug())
        })?;
    }
    snapshot.finish(identity)
}

/// Adjustments to files that are committed in place.
pub(super) struct InPlaceFixups {
    pub(super) epoch: Option<i64>,
    pub(super) owner_of_new: Option<(u32, u32)>,
    pub(super) owners: BTreeMap<Vec<u8>, (u32, u32)>,
}

impl InPlaceFixups {
    /// Adjusts the file `name` in `dir`, and `member`, which describes it.
    fn apply(&self, dir: &OwnedFd, name: &CStr, info: &FileInfo, member: &mut TarMember) -> Result<()> {
        if let Some(owner) = self.owner_of_new {
            record_owner(owner, info, member);
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
            rustix::fs::utimensat(dir, name, &member.mtime.timestamps(), AtFlags::SYMLINK_NOFOLLOW)
                .context("cannot set its time")?;
        }
        Ok(())
    }
}

/// Records `owner` for a file that was not copied up from a lower layer and whose owner nobody has set. A
/// symbolic link cannot have a `user.*` attribute; for it only the tar-split data keeps the owner.
fn record_owner(owner: (u32, u32), info: &FileInfo, member: &mut TarMember) {
    let fd = info.content.as_ref().map(std::os::fd::AsFd::as_fd).or(info.dir.as_ref().map(OwnedFd::as_fd));
    match fd {
        None if member.kind == TarMemberKind::Symlink => (member.uid, member.gid) = owner,
        None => {}
        Some(fd) => {
            // overlayfs sets `origin` on files that it copied up; those have an owner already.
            if read_xattr(fd, "user.overlay.origin").is_some() || read_xattr(fd, OWNER_XATTR).is_some() {
                return;
            }
            (member.uid, member.gid) = owner;
            // Without xattr support the tar-split data still has the owner.
            set_xattr_best_effort(fd, OWNER_XATTR, owner_value(owner).as_bytes());
        }
    }
}

/// The layer's tar stream: hashed, counted, and recorded as tar-split data.
struct LayerStream {
    tar_split: TarSplitWriter,
    tar: TarHash,
}

impl LayerStream {
    fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.content(bytes);
        self.tar_split.raw(bytes).context("cannot write the tar-split data")
    }

    fn content(&mut self, bytes: &[u8]) {
        self.tar.update(bytes);
    }
}

/// The same directory in the container and in the layer.
struct ParentDirs {
    upper: OwnedFd,
    tree: Option<OwnedFd>,
}

impl ParentDirs {
    /// The layer's directory; an error if files stay in place.
    fn tree(&self) -> Result<&OwnedFd> {
        self.tree.as_ref().ok_or_else(|| anyhow::anyhow!("there is nowhere to copy it to"))
    }
}

struct SnapshotWriter {
    upper: OwnedFd,
    /// Where files are copied to; `None` if they stay in place.
    tree: Option<OwnedFd>,
    /// Adjustments of files that stay in place.
    fixups: Option<InPlaceFixups>,
    stream: LayerStream,
    size: u64,
    /// The first name of a file with several hard links, by device and inode number.
    links: HashMap<(u64, u64), Vec<u8>>,
    /// Directories whose mode and time are set at the end: adding entries changes the time, and the mode may
    /// forbid it.
    dirs: Vec<(Vec<u8>, TarMember)>,
    last: Option<(Vec<u8>, Rc<ParentDirs>)>,
}

impl SnapshotWriter {
    fn add_change(&mut self, change: &FileChange) -> Result<()> {
        let (dir, base) = split(&change.path);
        let base = CString::new(base)?;
        // The entry may have been removed since the changes were listed.
        let Some(parents) = self.parents(dir)? else { return Ok(()) };
        if change.kind == ChangeKind::Deleted {
            return self.delete(&parents, &base, dir);
        }
        let Some(info) = inspect(parents.upper.as_fd(), &base, DhowXattrs::Apply)? else { return Ok(()) };
        let mut member = TarMember { path: change.path.clone(), ..info.member.clone() };
        if let Some(fixups) = &self.fixups {
            fixups.apply(&parents.upper, &base, &info, &mut member)?;
        }
        match &info.dir {
            Some(from) => self.directory(&parents, &base, from, member, change.opaque),
            None => self.add_non_directory(&parents, &base, &info, member),
        }
    }

    fn parents(&mut self, dir: &[u8]) -> Result<Option<Rc<ParentDirs>>> {
        if let Some((path, parents)) = &self.last
            && path == dir
        {
            return Ok(Some(Rc::clone(parents)));
        }
        let tree = self.tree.as_ref().map(|tree| open_dir_beneath(tree, dir)).transpose();
        let parents = match (open_dir_beneath(&self.upper, dir), tree) {
            (Ok(upper), Ok(tree)) => Rc::new(ParentDirs { upper, tree }),
            (Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP), _) | (_, Err(Errno::NOENT)) => return Ok(None),
            (Err(error), _) | (_, Err(error)) => return Err(error.into()),
        };
        self.last = Some((dir.to_vec(), Rc::clone(&parents)));
        Ok(Some(parents))
    }

    fn delete(&mut self, parents: &ParentDirs, base: &CStr, dir: &[u8]) -> Result<()> {
        self.add_marker(dir, &[b".wh.", base.to_bytes()].concat())?;
        match &parents.tree {
            Some(tree) => Ok(make_whiteout(tree, base)?),
            None => Ok(()),
        }
    }

    /// Adds an empty marker member: a whiteout or an opaque mark.
    fn add_marker(&mut self, dir: &[u8], name: &[u8]) -> Result<()> {
        let path = if dir.is_empty() { name.to_vec() } else { [dir, b"/", name].concat() };
        self.stream.raw(&member_header(&TarMember { path, ..empty_member() }))
    }

    fn directory(
        &mut self,
        parents: &ParentDirs,
        base: &CStr,
        from: &OwnedFd,
        mut member: TarMember,
        opaque: bool,
    ) -> Result<()> {
        let path = member.path.clone();
        member.path.push(b'/');
        self.stream.raw(&member_header(&member))?;
        if opaque {
            self.add_marker(&path, b".wh..wh..opq")?;
        }
        let Some(tree) = &parents.tree else { return Ok(()) };
        rustix::fs::mkdirat(tree, base, Mode::RWXU)?;
        let to = rustix::fs::openat(tree, base, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
        if opaque {
            set_opaque(&to)?;
        }
        copy_owner_and_xattrs(from, &to)?;
        self.dirs.push((path, member));
        Ok(())
    }

    fn add_non_directory(
        &mut self,
        parents: &ParentDirs,
        base: &CStr,
        info: &FileInfo,
        member: TarMember,
    ) -> Result<()> {
        if let Some(first) = info.linked.and_then(|linked| self.links.get(&linked)) {
            if let (Some(root), Some(tree)) = (&self.tree, &parents.tree) {
                let (dir, name) = split(first);
                let from = open_dir_beneath(root, dir)?;
                rustix::fs::linkat(&from, CString::new(name)?, tree, base, AtFlags::empty())?;
            }
            return self.stream.raw(&member_header(&member.into_hard_link(first)));
        }
        self.links.extend(info.linked.map(|linked| (linked, member.path.clone())));
        self.stream.raw(&member_header(&member))?;
        match (&info.content, member.kind) {
            (Some(content), _) if self.tree.is_none() => self.content(content, &member, |_, _| Ok(())),
            (Some(content), _) => self.file(parents, base, content, &member),
            (None, _) if self.tree.is_none() => Ok(()),
            (None, TarMemberKind::Symlink) => {
                rustix::fs::symlinkat(&member.link[..], parents.tree()?, base)?;
                set_owner_and_time(parents, base, &member)
            }
            (None, TarMemberKind::Fifo) => {
                let mode = Mode::from_raw_mode(member.mode);
                rustix::fs::mknodat(parents.tree()?, base, FileType::Fifo, Mode::RUSR, 0)?;
                rustix::fs::chmodat(parents.tree()?, base, mode, AtFlags::empty())?;
                set_owner_and_time(parents, base, &member)
            }
            _ => create_device_stub(parents, base, &member),
        }
    }

    fn file(&mut self, parents: &ParentDirs, base: &CStr, from: &File, member: &TarMember) -> Result<()> {
        let to = create(parents, base)?;
        let real_size = member.sparse.as_ref().map_or(member.size, |(size, _)| *size);
        // FICLONE shares the data blocks (btrfs, XFS); the clone is then read instead of the changing
        // original.
        let shared = real_size > 0 && rustix::fs::ioctl_ficlone(&to, from).is_ok();
        // Also for clones: the original may have changed size since it was inspected.
        to.set_len(real_size).context("cannot give it its size")?;
        let source = if shared { &to } else { from };
        self.content(source, member, |at, part| {
            if !shared {
                to.write_all_at(part, at).context("cannot write the copy")?;
            }
            Ok(())
        })?;
        copy_owner_and_xattrs(from, &to)?;
        // After chown(2), which clears the setuid bit.
        rustix::fs::fchmod(&to, Mode::from_raw_mode(member.mode))?;
        Ok(rustix::fs::futimens(&to, &member.mtime.timestamps())?)
    }

    /// Adds a file's content and its padding; `each` receives all parts as well.
    fn content(
        &mut self,
        source: &File,
        member: &TarMember,
        each: impl Fn(u64, &[u8]) -> Result<()>,
    ) -> Result<()> {
        if member.size > 0 && member.sparse.is_none() {
            self.stream
                .tar_split
                .file(&member.path, member.size)
                .context("cannot write the tar-split data")?;
        }
        let stream = &mut self.stream;
        read_content(source, member, |at, part| {
            each(at, part)?;
            // The tree does not record how the stream divides a sparse file into segments, so its content
            // goes in raw.
            if member.sparse.is_some() {
                return stream.raw(part);
            }
            stream.content(part);
            Ok(())
        })?;
        self.stream.raw(padding(member.size))?;
        self.size += member.size;
        Ok(())
    }

    fn finish(mut self, identity: LayerOwnership) -> Result<LayerRecord> {
        self.stream.raw(&END_OF_ARCHIVE)?;
        // Deepest first: a mode may forbid entering the directory.
        while let Some((path, member)) = self.dirs.pop() {
            let Some(tree) = &self.tree else { break };
            let dir = open_dir_beneath(tree, &path)?;
            let dir = rustix::fs::openat(&dir, ".", DIRECTORY, Mode::empty())?;
            rustix::fs::fchmod(&dir, Mode::from_raw_mode(member.mode))?;
            rustix::fs::futimens(&dir, &member.mtime.timestamps())?;
        }
        self.stream.tar_split.finish().context("cannot write the tar-split data")?;
        let (diff_id, tar_size) = self.stream.tar.finish()?;
        Ok(LayerRecord { diff_id, size: self.size, tar_size, identity, sources: Vec::new() })
    }
}

/// An empty file of root's with mtime 0.
fn empty_member() -> TarMember {
    TarMember {
        kind: TarMemberKind::File,
        path: Vec::new(),
        link: Vec::new(),
        mode: 0,
        uid: 0,
        gid: 0,
        mtime: TarTime::default(),
        device: (0, 0),
        xattrs: Vec::new(),
        size: 0,
        sparse: None,
    }
}

fn open_dir_beneath(root: &OwnedFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    open_beneath(root.as_fd(), path, OFlags::PATH | OFlags::DIRECTORY)
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

fn create(parents: &ParentDirs, base: &CStr) -> Result<File> {
    // Readable too: a reflinked copy is hashed from here.
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::openat(parents.tree()?, base, flags, Mode::RUSR | Mode::WUSR)?))
}

/// Devices cannot be created in a user namespace, so an empty file stands for one, as in every layer.
fn create_device_stub(parents: &ParentDirs, base: &CStr, member: &TarMember) -> Result<()> {
    let file = create(parents, base)?;
    // Best effort: the tar-split data has it in any case.
    set_xattr_best_effort(&file, DEVICE_XATTR, member.device_value().as_bytes());
    let (uid, gid) = (Uid::from_raw(member.uid), Gid::from_raw(member.gid));
    if rustix::fs::fchown(&file, Some(uid), Some(gid)).is_err() {
        set_xattr_best_effort(&file, OWNER_XATTR, owner_value((member.uid, member.gid)).as_bytes());
    }
    rustix::fs::fchmod(&file, Mode::from_raw_mode(member.mode))?;
    Ok(rustix::fs::futimens(&file, &member.mtime.timestamps())?)
}

/// Sets owner and time of an object that cannot be opened.
fn set_owner_and_time(parents: &ParentDirs, base: &CStr, member: &TarMember) -> Result<()> {
    let (uid, gid) = (Uid::from_raw(member.uid), Gid::from_raw(member.gid));
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    match rustix::fs::chownat(parents.tree()?, base, Some(uid), Some(gid), flags) {
        Ok(()) | Err(Errno::INVAL | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(rustix::fs::utimensat(parents.tree()?, base, &member.mtime.timestamps(), flags)?)
}

/// Copies owner and xattrs, including dhow's own, but not those that overlayfs set for the container.
fn copy_owner_and_xattrs(from: impl std::os::fd::AsFd, to: impl std::os::fd::AsFd) -> Result<()> {
    let stat = rustix::fs::fstat(&from)?;
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    match rustix::fs::fchown(&to, Some(uid), Some(gid)) {
        Ok(()) | Err(Errno::INVAL | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    for name in xattr_names(from.as_fd()) {
        if name.starts_with(b"user.overlay.") {
            continue;
        }
        if let Some(value) = read_xattr(from.as_fd(), &name[..]) {
            // Best effort: the tar-split data has it in any case.
            set_xattr_best_effort(&to, &name[..], &value);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::changes;
    use crate::pack::pack_layer;
    use dhow_model::digest::Digest;
    use dhow_store::Store;
    use std::fs;

    #[test]
    fn the_layer_is_what_its_tar_split_writes() {
        let dir = tempfile::tempdir().unwrap();
        let (upper, lower) = (dir.path().join("upper"), dir.path().join("lower"));
        for sub in [upper.join("d/deep"), lower.join("d")] {
            fs::create_dir_all(sub).unwrap();
        }
        fs::write(upper.join("d/file"), vec![b'x'; 700_000]).unwrap();
        fs::hard_link(upper.join("d/file"), upper.join("d/link")).unwrap();
        fs::write(upper.join("d/deep/empty"), "").unwrap();
        std::os::unix::fs::symlink("file", upper.join("d/symlink")).unwrap();
        let sparse = File::create(upper.join("sparse")).unwrap();
        sparse.set_len(100 << 20).unwrap();
        sparse.write_all_at(b"data", 50 << 20).unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let draft = store.begin_layer_without_digest().unwrap();
        let list = changes(&upper, &[&lower]).unwrap();
        let record = snapshot(&upper, &list, &draft, LayerOwnership::Single).unwrap();
        assert!(record.tar_size < 1 << 20);
        let layer = draft.commit(record).unwrap();
        let mut stream = Vec::new();
        pack_layer(&store, &layer.diff_id, &mut stream).unwrap();
        assert_eq!(stream.len() as u64, layer.tar_size);
        assert_eq!(Digest::of(&stream), layer.diff_id);
        let tree = store.layer_tree(&layer.diff_id);
        assert_eq!(fs::read(tree.join("d/link")).unwrap().len(), 700_000);
        assert_eq!(fs::metadata(tree.join("sparse")).unwrap().len(), 100 << 20);
    }
}
