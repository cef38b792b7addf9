//! Writes the files that a COPY or ADD selects into a layer.

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::rc::Rc;

use anyhow::{Context as _, Result};
use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::attributes::{FileAttributes, read_xattrs};
use super::hash::hash_content;
use super::layer_writer::{LayerWriter, TargetSlot};
use super::select::{CopySelection, FileIdentity, FileRef, NodeKind, SelectedNode, SourceMatch};
use super::stat_cache::{StatCache, now};
use super::target_dir::TargetDir;
use super::tree_view::{display_path, join};
use super::{CopySpec, ScanResult, SourceTree, digest, select_and_hash};
use crate::dockerfile::chmod::{self, ChmodMode};
use dhow_error::not_found;

/// From this size on, the kernel is asked to share or copy the content (FICLONE, copy_file_range); in bytes.
const REFLINK_MIN: u64 = 64 << 10;
/// Sparse files are copied hole by hole if that saves this many bytes.
const SPARSE_MIN: u64 = 64 << 10;
const BUFFER: usize = 256 << 10;

/// Unpacks the archives that ADD finds.
pub trait ArchiveExtractor {
    /// `file` is open at its start.
    fn is_archive(&mut self, file: &File) -> Result<bool>;
    /// `file` is open at its start; `dir` is the destination. `owner` takes the place of the owners in the
    /// archive.
    fn unpack(
        &mut self,
        file: &File,
        target: &mut LayerWriter,
        dir: &Rc<TargetDir>,
        owner: Option<(u32, u32)>,
    ) -> Result<()>;
}

/// For COPY, which never unpacks.
#[derive(Clone, Copy, Debug)]
pub struct NoUnpack;

impl ArchiveExtractor for NoUnpack {
    fn is_archive(&mut self, _: &File) -> Result<bool> {
        Ok(false)
    }

    fn unpack(
        &mut self,
        _: &File,
        _: &mut LayerWriter,
        _: &Rc<TargetDir>,
        _: Option<(u32, u32)>,
    ) -> Result<()> {
        Ok(())
    }
}

/// Copies what `spec` selects in `source`. The result describes what was actually copied, which differs from
/// an earlier scan if the source changed in between. The caller may copy more into `target`, and has to
/// finish it.
pub fn copy_selected(
    source: &SourceTree,
    spec: &CopySpec,
    target: &mut LayerWriter,
    cache: &mut StatCache,
    unpacker: &mut dyn ArchiveExtractor,
) -> Result<ScanResult> {
    let (mut selection, mut scanned) = select_and_hash(source, spec, cache)?;
    let matches = std::mem::take(&mut selection.matches);
    let mut copier = SelectionCopier::new(spec, target)?;
    copier.source = Some((source, selection));
    for matched in &matches {
        copier.copy_match(matched, spec, unpacker)?;
    }
    let changed = copier.changed;
    // Something changed after the scan: the result has the digest of what was written.
    if let (true, Some((_, selection))) = (changed, copier.source) {
        scanned.digest = digest::digest(&CopySelection { matches, ..selection }, spec.flags.parents);
    }
    Ok(scanned)
}

/// Writes the here-documents of `spec`.
pub fn copy_here_docs(spec: &CopySpec, target: &mut LayerWriter) -> Result<()> {
    let mut copier = SelectionCopier::new(spec, target)?;
    for doc in &spec.here_docs {
        let doing = || format!("cannot write `{}`", doc.name.escape_debug());
        let mtime = copier.target.time_of_copy((now(), 0), true);
        let attributes = FileAttributes { mode: 0o644, mtime, ..FileAttributes::default() };
        let attributes = copier.target_attributes(&attributes, false);
        let (dir, name) = copier.file_slot(doc.name.rsplit('/').next().unwrap_or_default().as_bytes())?;
        let mut file = copier.target.create(&dir, &name, attributes.mode, false).with_context(doing)?;
        file.write_all(doc.content.as_bytes()).with_context(doing)?;
        copier.target.finish_file(&file, &attributes).with_context(doing)?;
    }
    Ok(())
}

/// One COPY or ADD in progress.
struct SelectionCopier<'a> {
    target: &'a mut LayerWriter,
    /// The destination, and whether it has to be a directory.
    path: Vec<u8>,
    directory: bool,
    owner: Option<(u32, u32)>,
    mode: Option<ChmodMode>,
    source: Option<(&'a SourceTree, CopySelection)>,
    /// The first copy of each hard-linked file, by source device and inode.
    links: HashMap<(u64, u64), (Rc<TargetDir>, CString)>,
    /// Some file changed after it was selected.
    changed: bool,
    buffer: Vec<u8>,
}

impl<'a> SelectionCopier<'a> {
    fn new(spec: &CopySpec, target: &'a mut LayerWriter) -> Result<Self> {
        let owner = spec.flags.chown.as_deref().map(|chown| target.owner(chown)).transpose()?;
        if spec.flags.link {
            target.detach_from_lowers()?;
        }
        Ok(Self {
            target,
            path: spec.target.clone().into_bytes(),
            directory: spec.target.ends_with('/') || spec.flags.parents,
            owner,
            mode: spec.flags.chmod.as_deref().map(chmod::parse).transpose()?,
            source: None,
            links: HashMap::new(),
            changed: false,
            buffer: Vec::new(),
        })
    }

    /// Of directories created on the way; `--chmod` is for them too, as in BuildKit from 0.21 on.
    fn implied(&self) -> FileAttributes {
        let implied = FileAttributes::implied(self.owner.unwrap_or_default());
        let mode = self.mode.as_ref().map_or(implied.mode, |mode| mode.apply(implied.mode, true));
        FileAttributes { mode, ..implied }
    }

    fn target_slot(&mut self) -> Result<TargetSlot> {
        let (root, path, implied) = (Rc::clone(self.target.root()), self.path.clone(), self.implied());
        if self.directory {
            return self.target.ensure_dir(&root, &path, &implied).map(TargetSlot::Dir);
        }
        self.target.resolve(&root, &path, &implied)
    }

    /// The destination of a file called `name` in the source.
    fn file_slot(&mut self, name: &[u8]) -> Result<(Rc<TargetDir>, CString)> {
        Ok(match self.target_slot()? {
            TargetSlot::Dir(dir) => (dir, CString::new(name)?),
            TargetSlot::Name(dir, name) => (dir, name),
        })
    }

    /// The destination for the content of a directory or an archive; made like `implied` if it is missing.
    fn dir_slot(&mut self, implied: &FileAttributes) -> Result<Rc<TargetDir>> {
        let (root, path) = (Rc::clone(self.target.root()), self.path.clone());
        self.target.ensure_dir(&root, &path, implied)
    }

    fn copy_match(
        &mut self,
        matched: &SourceMatch,
        spec: &CopySpec,
        unpacker: &mut dyn ArchiveExtractor,
    ) -> Result<()> {
        if spec.flags.parents {
            return self.with_parents(matched);
        }
        match &matched.node.kind {
            NodeKind::Dir(nodes) => {
                let dir = self.dir_slot(&self.implied())?;
                self.copy_nodes(&dir, nodes, true)
            }
            NodeKind::File(number) if spec.unpack && self.unpack(*number, unpacker)? => Ok(()),
            _ => {
                let (dir, name) = self.file_slot(&matched.node.name)?;
                self.copy_leaf(&dir, &name, &matched.node)
            }
        }
    }

    /// Returns whether it was an archive.
    fn unpack(&mut self, number: usize, unpacker: &mut dyn ArchiveExtractor) -> Result<bool> {
        let Some((file, _)) = self.open(number)? else { return Ok(false) };
        if !unpacker.is_archive(&file)? {
            return Ok(false);
        }
        // Not `--chmod`: the archive brings the modes.
        let dir = self.dir_slot(&FileAttributes::implied(self.owner.unwrap_or_default()))?;
        unpacker.unpack(&file, self.target, &dir, self.owner)?;
        Ok(true)
    }

    fn with_parents(&mut self, matched: &SourceMatch) -> Result<()> {
        let mut dir = self.dir_slot(&self.implied())?;
        for (name, attributes) in &matched.parents {
            let attributes = self.target_attributes(attributes, true);
            let name = CString::new(&name[..])?;
            dir = self.target.make_dir(&dir, &name, &attributes, false, false)?;
        }
        match &matched.node.kind {
            // The root of the source.
            NodeKind::Dir(nodes) if matched.node.name.is_empty() => self.copy_nodes(&dir, nodes, false),
            _ => self.copy_nodes(&dir, std::slice::from_ref(&matched.node), false),
        }
    }

    fn copy_nodes(&mut self, dir: &Rc<TargetDir>, nodes: &[SelectedNode], overwrite: bool) -> Result<()> {
        for node in nodes {
            let name = CString::new(&node.name[..])?;
            match &node.kind {
                NodeKind::Dir(inside) => {
                    let attributes = self.target_attributes(&node.attributes, true);
                    let doing = || format!("cannot make `/{}`", display_path(&join(&dir.path, &node.name)));
                    let subdir = self
                        .target
                        .make_dir(dir, &name, &attributes, overwrite, false)
                        .with_context(doing)?;
                    self.copy_nodes(&subdir, inside, overwrite)?;
                }
                _ => self.copy_leaf(dir, &name, node)?,
            }
        }
        Ok(())
    }

    /// The metadata of a copy, from that of its source and `--chown`, `--chmod`.
    fn target_attributes(&self, attributes: &FileAttributes, directory: bool) -> FileAttributes {
        let host = self.source.as_ref().is_none_or(|(source, _)| !source.keeps_owners());
        FileAttributes {
            owner: self.owner.unwrap_or(attributes.owner),
            mode: self.mode.as_ref().map_or(attributes.mode, |mode| mode.apply(attributes.mode, directory)),
            mtime: self.target.time_of_copy(attributes.mtime, host),
            xattrs: attributes.xattrs.clone(),
        }
    }

    fn copy_leaf(&mut self, dir: &Rc<TargetDir>, name: &CString, node: &SelectedNode) -> Result<()> {
        let attributes = self.target_attributes(&node.attributes, false);
        let result = match &node.kind {
            NodeKind::File(number) => self.copy_file(dir, name, *number, attributes),
            NodeKind::Symlink(target) => self.target.make_symlink(dir, name, target, &attributes, false),
            NodeKind::Fifo => self.target.make_fifo(dir, name, &attributes, false),
            NodeKind::Device(block, major, minor) => {
                self.target.make_device(dir, name, (*block, *major, *minor), &attributes, false)
            }
            NodeKind::Dir(_) => Ok(()),
        };
        result
            .with_context(|| format!("cannot copy to `/{}`", display_path(&join(&dir.path, name.to_bytes()))))
    }

    /// Opens a selected file by path, as the selection holds no descriptors; the flag says whether it is
    /// unchanged since it was selected.
    fn open(&mut self, number: usize) -> Result<Option<(File, bool)>> {
        let Some((source, selection)) = &self.source else { return Ok(None) };
        let Some(file) = selection.files.get(number) else { return Ok(None) };
        let doing = || format!("cannot read `/{}`", display_path(&file.path));
        let fd = match source.view.open(&file.path, file.layer) {
            Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => {
                return Err(not_found("it was removed while it was copied")).with_context(doing);
            }
            other => other.with_context(doing)?,
        };
        let stat = rustix::fs::fstat(&fd)?;
        if !super::attributes::is_regular(&stat) {
            return Err(not_found("something else took its place while it was copied")).with_context(doing);
        }
        Ok(Some((File::from(fd), FileIdentity::of(&stat) == file.identity)))
    }

    fn copy_file(
        &mut self,
        dir: &Rc<TargetDir>,
        name: &CString,
        number: usize,
        mut attributes: FileAttributes,
    ) -> Result<()> {
        let hard_linked = self.selected(number).filter(|file| file.hard_linked);
        let inode = hard_linked.map(|file| (file.identity.device, file.identity.inode));
        if let Some((first_dir, first)) = inode.and_then(|inode| self.links.get(&inode)) {
            let (first_dir, first) = (Rc::clone(first_dir), first.clone());
            return self.target.make_hard_link((&first_dir, &first), dir, name, false);
        }
        let Some((from, unchanged)) = self.open(number)? else { return Ok(()) };
        let layered = self.source.as_ref().is_some_and(|(source, _)| source.keeps_owners());
        if !layered {
            attributes.xattrs = read_xattrs(from.as_fd(), false).xattrs;
        }
        let to = self.target.create(dir, name, attributes.mode, false)?;
        let size = rustix::fs::fstat(&from)?;
        self.copy_content(&from, &to, &size)?;
        // Compared again after copying: the file may have changed while it was read.
        let after = rustix::fs::fstat(&from)?;
        let unchanged =
            unchanged && self.selected(number).is_some_and(|file| FileIdentity::of(&after) == file.identity);
        self.target.finish_file(&to, &attributes)?;
        if !unchanged {
            self.note_change(number, &to, layered)?;
        }
        if let Some(inode) = inode {
            self.links.insert(inode, (Rc::clone(dir), name.clone()));
        }
        Ok(())
    }

    fn selected(&self, number: usize) -> Option<&FileRef> {
        self.source.as_ref()?.1.files.get(number)
    }

    /// Hashes the copy of a file that changed while it was read.
    fn note_change(&mut self, number: usize, copy: &File, layered: bool) -> Result<()> {
        self.changed = true;
        self.buffer.resize(BUFFER, 0);
        rustix::fs::seek(copy, SeekFrom::Start(0))?;
        let digest = hash_content(copy, u64::MAX, layered, &mut self.buffer)?;
        if let Some(file) = self.source.as_mut().and_then(|(_, selection)| selection.files.get_mut(number)) {
            // Corrects the selection, from which the final digest is computed.
            file.digest = Some(digest);
        }
        Ok(())
    }

    fn copy_content(&mut self, from: &File, to: &File, stat: &rustix::fs::Stat) -> Result<()> {
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        if size >= REFLINK_MIN {
            // A reflink shares the extents (btrfs, XFS): no data is copied.
            if rustix::fs::ioctl_ficlone(to, from).is_ok() {
                return Ok(());
            }
            let stored = u64::try_from(stat.st_blocks).unwrap_or_default().saturating_mul(512);
            if size.saturating_sub(stored) >= SPARSE_MIN && self.copy_sparse(from, to, size)? {
                return Ok(());
            }
        }
        self.copy_range(from, to, 0, size)
    }

    /// Copies only the data between holes; `false` if the file system cannot report holes.
    fn copy_sparse(&mut self, from: &File, to: &File, size: u64) -> Result<bool> {
        let mut offset = 0;
        while offset < size {
            let start = match rustix::fs::seek(from, SeekFrom::Data(offset)) {
                Ok(start) => start,
                // ENXIO: only a hole is left.
                Err(Errno::NXIO) => break,
                Err(_) => return Ok(false),
            };
            let Ok(end) = rustix::fs::seek(from, SeekFrom::Hole(start)) else { return Ok(false) };
            self.copy_range(from, to, start, end.min(size))?;
            offset = end;
        }
        // A trailing hole is not written by any of the copies.
        to.set_len(size)?;
        Ok(true)
    }

    /// Copies the bytes from `start` to `end`, or up to the end of the file.
    fn copy_range(&mut self, from: &File, to: &File, start: u64, end: u64) -> Result<()> {
        let mut offset = start;
        // copy_file_range(2) may copy less than asked for, 0 at the end of the file.
        while end - start >= REFLINK_MIN && offset < end {
            let (mut input, mut output) = (offset, offset);
            let length = usize::try_from(end - offset).unwrap_or(usize::MAX).min(1 << 30);
            match rustix::fs::copy_file_range(from, Some(&mut input), to, Some(&mut output), length) {
                Ok(0) => return Ok(()),
                Ok(amount) => offset += amount as u64,
                Err(Errno::INTR) => {}
                // Across file systems, or not supported: fall back to read and write.
                Err(Errno::XDEV | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.buffer.resize(BUFFER, 0);
        while offset < end {
            let room = usize::try_from(end - offset).unwrap_or(usize::MAX).min(self.buffer.len());
            let buffer = self.buffer.get_mut(..room).unwrap_or_default();
            match from.read_at(buffer, offset) {
                Ok(0) => return Ok(()),
                Ok(amount) => {
                    to.write_all_at(buffer.get(..amount).unwrap_or_default(), offset)?;
                    offset += amount as u64;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
