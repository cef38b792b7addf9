//! What a container changed in its image: its upper directory compared with the lower layers, without
//! mounting them.
//!
//! Only the upper directory is walked, so the cost is proportional to the change. Names are looked up in
//! those layers that have the directory, through open descriptors; symbolic links are never followed.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context as _, Result};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use dhow_model::layer::OWNER_XATTR;
use dhow_sys::fs::MOUNT_STUB_XATTR;
use dhow_sys::overlay::{OPAQUE_XATTR, is_opaque, is_whiteout, make_whiteout};

/// Each level holds descriptors.
const MAX_DEPTH: usize = 400;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It did not exist before.
    Added,
    /// It, or something in it, is different now.
    Changed,
    /// It no longer exists.
    Deleted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileChange {
    /// Relative to the root, without a leading slash.
    pub path: Vec<u8>,
    pub kind: ChangeKind,
    /// A directory that hides the lower layers' entries.
    pub opaque: bool,
    /// Deleted by an opaque parent directory rather than by a whiteout of its own.
    pub(crate) by_opaque_parent: bool,
}

/// The changes of `upper` relative to the trees `lower` (topmost first), ordered by path, a directory before
/// its entries. Empty files and directories that the sandbox creates as mount points are skipped.
pub fn changes(upper: &Path, lower: &[&Path]) -> Result<Vec<FileChange>> {
    compare(upper, lower, false)
}

/// Like [`changes`], for an unused tree that is to become a layer in place: entries that are no change are
/// removed from it. These are mount points marked with [`MOUNT_STUB_XATTR`] and otherwise unused, unchanged
/// directories, whiteouts of missing names, and sockets. Mount points are recognised by the mark only, not by
/// path.
pub(crate) fn prune_unchanged(upper: &Path, lower: &[&Path]) -> Result<Vec<FileChange>> {
    compare(upper, lower, true)
}

fn compare(upper: &Path, lower: &[&Path], prune: bool) -> Result<Vec<FileChange>> {
    let upper = open_dir(CWD, &c_path(upper)?)?;
    let lower =
        lower.iter().map(|path| Ok(Rc::new(open_dir(CWD, &c_path(path)?)?))).collect::<Result<_>>()?;
    let mut comparison = UpperDiff { changes: Vec::new(), prune };
    comparison.directory(&upper, &LowerDirs(lower), b"", 0)?;
    Ok(comparison.changes)
}

/// One directory in the lower layers that have it and are not hidden, topmost first.
struct LowerDirs(Vec<Rc<OwnedFd>>);

impl LowerDirs {
    /// The merged entry `name`, or `None` if there is none.
    fn lookup(&self, name: &CStr) -> Result<Option<Stat>> {
        for dir in &self.0 {
            match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => {}
                Ok(stat) => return Ok((!is_whiteout(&stat)).then_some(stat)),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// The subdirectory `name`.
    fn open_subdir(&self, name: &CStr) -> Result<LowerDirs> {
        let mut dirs = Vec::new();
        for dir in &self.0 {
            match open_dir(dir.as_fd(), name) {
                Err(Errno::NOENT) => {}
                // A non-directory hides everything below it.
                Err(Errno::NOTDIR | Errno::LOOP) => break,
                Ok(dir) => {
                    let opaque = is_opaque(&dir);
                    dirs.push(Rc::new(dir));
                    if opaque {
                        break;
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(LowerDirs(dirs))
    }

    /// The names in all of them.
    fn names(&self) -> Result<Vec<CString>> {
        let mut names = Vec::new();
        for dir in &self.0 {
            names.extend(list(dir)?);
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }
}

/// An entry of the upper directory.
struct UpperEntry<'a> {
    dir: &'a OwnedFd,
    name: &'a CStr,
    path: &'a [u8],
    stat: Stat,
    /// The lower layers' entry with this name.
    before: Option<Stat>,
}

impl UpperEntry<'_> {
    fn kind(&self) -> ChangeKind {
        if self.before.is_some() { ChangeKind::Changed } else { ChangeKind::Added }
    }

    fn change(&self, kind: ChangeKind) -> FileChange {
        FileChange { path: self.path.to_vec(), kind, opaque: false, by_opaque_parent: false }
    }
}

struct UpperDiff {
    changes: Vec<FileChange>,
    /// Remove entries that are no change.
    prune: bool,
}

impl UpperDiff {
    fn directory(&mut self, upper: &OwnedFd, lower: &LowerDirs, path: &[u8], depth: usize) -> Result<()> {
        anyhow::ensure!(depth < MAX_DEPTH, "directories are nested more than {MAX_DEPTH} deep");
        let mut names: Vec<(CString, bool)> = list(upper)?.into_iter().map(|name| (name, true)).collect();
        // Everything that the opaque directory hides was deleted.
        if !path.is_empty() && is_opaque(upper) {
            names.extend(lower.names()?.into_iter().map(|name| (name, false)));
        }
        // By name; for names in both, the upper directory's entry first.
        names.sort_by(|a, b| (&a.0, !a.1).cmp(&(&b.0, !b.1)));
        names.dedup_by(|later, earlier| later.0 == earlier.0);
        for (name, in_upper) in names {
            let path = join(path, name.to_bytes());
            let doing = || format!("comparing `/{}`", String::from_utf8_lossy(&path).escape_debug());
            if in_upper {
                self.entry(upper, lower, &name, &path, depth).with_context(doing)?;
            } else if lower.lookup(&name).with_context(doing)?.is_some() {
                self.changes.push(FileChange {
                    path,
                    kind: ChangeKind::Deleted,
                    opaque: false,
                    by_opaque_parent: true,
                });
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        upper: &OwnedFd,
        lower: &LowerDirs,
        name: &CStr,
        path: &[u8],
        depth: usize,
    ) -> Result<()> {
        let stat = match rustix::fs::statat(upper, name, AtFlags::SYMLINK_NOFOLLOW) {
            // Removed by the running container meanwhile.
            Err(Errno::NOENT) => return Ok(()),
            other => other?,
        };
        let entry = UpperEntry { dir: upper, name, path, stat, before: lower.lookup(name)? };
        if is_whiteout(&entry.stat) {
            match entry.before {
                Some(_) => self.changes.push(entry.change(ChangeKind::Deleted)),
                None => self.remove_unchanged(upper, name, AtFlags::empty())?,
            }
            return Ok(());
        }
        match is_dir(&entry.stat) {
            true => self.subdirectory(&entry, lower, depth),
            false => self.non_directory(&entry),
        }
    }

    fn non_directory(&mut self, entry: &UpperEntry<'_>) -> Result<()> {
        let &UpperEntry { dir, name, path, stat, before } = entry;
        if before.is_none() && self.is_stub(dir, name, path, &stat) {
            self.remove_unchanged(dir, name, AtFlags::empty())?;
        } else if self.prune && FileType::from_raw_mode(stat.st_mode) == FileType::Socket {
            self.remove_unchanged(dir, name, AtFlags::empty())?;
            // What the socket replaced is deleted all the same.
            if before.is_some() {
                make_whiteout(dir, name)?;
                self.changes.push(entry.change(ChangeKind::Deleted));
            }
        } else {
            self.changes.push(entry.change(entry.kind()));
        }
        Ok(())
    }

    fn subdirectory(&mut self, entry: &UpperEntry<'_>, lower: &LowerDirs, depth: usize) -> Result<()> {
        let &UpperEntry { dir: upper, name, path, stat, before } = entry;
        let dir = match open_dir(upper.as_fd(), name) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            other => other?,
        };
        let lower_dirs = if before.as_ref().is_some_and(is_dir) {
            lower.open_subdir(name)?
        } else {
            LowerDirs(Vec::new())
        };
        let at = self.changes.len();
        self.directory(&dir, &lower_dirs, path, depth + 1)?;
        let marked = is_opaque(&dir);
        let opaque = marked && before.as_ref().is_some_and(is_dir);
        if self.prune && marked && !opaque {
            // The layer may be reused on top of others, which the mark would hide.
            rustix::fs::fremovexattr(&dir, OPAQUE_XATTR)?;
        }
        let touched = match &before {
            Some(before) => opaque || !self.same_dir(path, before, &stat, &dir, &lower_dirs),
            None => !self.is_stub_dir(&dir, path),
        };
        if !touched && self.changes.len() == at {
            return self.remove_unchanged(upper, name, AtFlags::REMOVEDIR);
        }
        self.changes.insert(at, FileChange { opaque, ..entry.change(entry.kind()) });
        if self.prune && before.is_none() {
            // It is a real directory now.
            let _ = rustix::fs::fremovexattr(&dir, MOUNT_STUB_XATTR);
        }
        Ok(())
    }

    /// Removes an unchanged entry when pruning, and restores the directory's times.
    fn remove_unchanged(&self, dir: &OwnedFd, name: &CStr, flags: AtFlags) -> Result<()> {
        if !self.prune {
            return Ok(());
        }
        let stat = rustix::fs::fstat(dir)?;
        rustix::fs::unlinkat(dir, name, flags)?;
        Ok(rustix::fs::futimens(dir, &dhow_sys::fs::times_of(&stat))?)
    }

    /// Whether a directory is unchanged. The times of `/etc` and `/dev` are ignored, since the sandbox creates
    /// mount points there.
    fn same_dir(&self, path: &[u8], before: &Stat, now: &Stat, dir: &OwnedFd, lower: &LowerDirs) -> bool {
        let same = (before.st_mode, before.st_uid, before.st_gid) == (now.st_mode, now.st_uid, now.st_gid);
        let times = |stat: &Stat| (stat.st_mtime, stat.st_mtime_nsec);
        let owner = |dir: &OwnedFd| {
            let mut value = [0_u8; 32];
            let length = rustix::fs::fgetxattr(dir, OWNER_XATTR, &mut value[..]).unwrap_or(0);
            (value, length)
        };
        same && (times(before) == times(now) || !self.prune && matches!(path, b"etc" | b"dev"))
            && lower.0.first().is_none_or(|lower| owner(lower) == owner(dir))
    }

    /// Whether it is a directory that the sandbox creates in every container.
    fn is_stub_dir(&self, dir: &OwnedFd, path: &[u8]) -> bool {
        if self.prune {
            return has_stub_mark(dir);
        }
        matches!(path, b"dev" | b"proc" | b"sys" | b"etc" | b"dev/pts" | b"dev/shm" | b"dev/mqueue")
    }

    /// Whether it is an empty file that the sandbox creates as a mount point.
    fn is_stub(&self, dir: &OwnedFd, name: &CStr, path: &[u8], stat: &Stat) -> bool {
        let is_empty_file =
            FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_size == 0;
        if self.prune {
            // O_NONBLOCK: the entry may have become a FIFO since the stat.
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
            return is_empty_file
                && rustix::fs::openat(dir, name, flags, Mode::empty())
                    .is_ok_and(|file| has_stub_mark(&file));
        }
        match path {
            b".dockerenv" | b"etc/hosts" | b"etc/hostname" | b"etc/resolv.conf" | b"dev/console" => {
                is_empty_file
            }
            b"etc/mtab" => rustix::fs::readlinkat(dir, name, Vec::new())
                .is_ok_and(|link| link.as_bytes() == b"/proc/mounts"),
            _ => false,
        }
    }
}

/// Whether it was created as a mount point.
fn has_stub_mark(file: &OwnedFd) -> bool {
    rustix::fs::fgetxattr(file, MOUNT_STUB_XATTR, &mut [0_u8; 1][..]).is_ok()
}

fn is_dir(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

fn open_dir(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

fn list(dir: &OwnedFd) -> Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let name = entry?.file_name().to_owned();
        if name.as_c_str() != c"." && name.as_c_str() != c".." {
            names.push(name);
        }
    }
    Ok(names)
}

fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.is_empty() { name.to_vec() } else { [dir, b"/", name].concat() }
}

fn c_path(path: &Path) -> Result<CString> {
    use std::os::unix::ffi::OsStrExt as _;
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    struct Trees(tempfile::TempDir);

    impl Trees {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            for tree in ["upper", "one", "two"] {
                fs::create_dir(dir.path().join(tree)).unwrap();
            }
            Self(dir)
        }

        fn write(&self, path: &str) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }

        fn opaque(&self, path: &str) -> bool {
            let dir = fs::File::open(self.0.path().join(path)).unwrap();
            rustix::fs::fsetxattr(&dir, "user.overlay.opaque", b"y", rustix::fs::XattrFlags::empty()).is_ok()
        }

        fn same_time(&self, path: &str, like: &str) {
            let time = fs::metadata(self.0.path().join(like)).unwrap().modified().unwrap();
            fs::File::open(self.0.path().join(path)).unwrap().set_modified(time).unwrap();
        }

        fn found(&self) -> Vec<String> {
            let tree = |name| self.0.path().join(name);
            let all = changes(&tree("upper"), &[&tree("one"), &tree("two")]).unwrap();
            let letter = |kind| match kind {
                ChangeKind::Added => 'A',
                ChangeKind::Changed => 'C',
                ChangeKind::Deleted => 'D',
            };
            let line = |c: &FileChange| format!("{} {}", letter(c.kind), String::from_utf8_lossy(&c.path));
            all.iter().map(line).collect()
        }
    }

    #[test]
    fn parents_come_before_and_are_changed() {
        let trees = Trees::new();
        trees.write("two/a/b/old");
        trees.write("one/a/c/old");
        trees.write("upper/a/b/old");
        trees.write("upper/a/c/new");
        trees.write("upper/z");
        assert_eq!(trees.found(), ["C a", "C a/b", "C a/b/old", "C a/c", "A a/c/new", "A z"]);
    }

    #[test]
    fn what_an_opaque_directory_hides_is_deleted() {
        let trees = Trees::new();
        trees.write("two/a/b");
        trees.write("two/a/kept");
        trees.write("upper/a/kept");
        if trees.opaque("upper/a") {
            assert_eq!(trees.found(), ["C a", "D a/b", "C a/kept"]);
        }
        // One layer's whiteout hides the name, so it counts as new.
        let trees = Trees::new();
        trees.write("two/a/b");
        trees.write("one/a/c");
        trees.write("upper/a/b");
        if trees.opaque("one/a") {
            assert_eq!(trees.found(), ["C a", "A a/b"]);
        }
    }

    #[test]
    fn a_directory_that_is_the_same_is_no_change() {
        let trees = Trees::new();
        trees.write("two/a/b");
        fs::create_dir(trees.0.path().join("upper/a")).unwrap();
        trees.same_time("upper/a", "two/a");
        assert_eq!(trees.found(), [""; 0]);
    }

    #[test]
    fn stubs_are_none() {
        let trees = Trees::new();
        for dir in ["dev/pts", "proc", "sys", "etc", "data"] {
            fs::create_dir_all(trees.0.path().join("upper").join(dir)).unwrap();
        }
        for file in [".dockerenv", "etc/hosts", "etc/hostname"] {
            fs::write(trees.0.path().join("upper").join(file), "").unwrap();
        }
        std::os::unix::fs::symlink("/proc/mounts", trees.0.path().join("upper/etc/mtab")).unwrap();
        assert_eq!(trees.found(), ["A data"]);
        fs::write(trees.0.path().join("upper/etc/hosts"), "mine").unwrap();
        assert_eq!(trees.found(), ["A data", "A etc", "A etc/hosts"]);
    }

    #[test]
    fn a_file_in_the_place_of_a_directory() {
        let trees = Trees::new();
        trees.write("one/a/b");
        trees.write("two/f");
        trees.write("upper/a");
        trees.write("upper/f/g");
        assert_eq!(trees.found(), ["C a", "C f", "A f/g"]);
    }
}
