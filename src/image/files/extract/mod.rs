//! Extracts an untrusted tar stream: one that comes out of a container, or goes into one.
//!
//! On the host ([`ExtractSide::Host`]) every name is resolved below the given directory, through directories
//! only: symbolic links are replaced and never followed, and hard links may only point to files of this
//! archive. In a container, links on the way are followed within its root, as its own processes would.
//! Existing files are never opened for writing, except a mounted file, which cannot be replaced.

use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::io::BufRead;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context as _, Result};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Uid};
use rustix::io::Errno;

use super::is_reserved;
use crate::tar::fill::write_content;
use crate::tar::name::MemberPath;
use crate::tar::write::{END_OF_ARCHIVE, stored_length};
use crate::tar::{TarMember, TarMemberKind, TarReader};
use dhow_error::{corrupt, invalid, unsupported};
use dhow_model::layer::{DEVICE_XATTR, OWNER_XATTR, owner_value};
use dhow_sys::xattr::set_xattr_best_effort;

/// How often an entry that another process keeps creating is removed again.
const MAX_ATTEMPTS: u32 = 100;

/// Where the files are created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExtractSide {
    /// On the host: in the directory itself, owned by the user.
    Host,
    /// In a container, below a directory of its root.
    Container {
        /// Absolute path in the container.
        dir: PathBuf,
        /// Keep the archive's owners and update existing directories; otherwise everything belongs to root.
        owners: bool,
    },
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtractReport {
    /// Names of members that cannot be created here: devices on the host.
    pub skipped: BTreeSet<Vec<u8>>,
    /// Size of an archive of these members, counting one header block for each.
    pub bytes: u64,
}

/// Extracts the archive in `input` below `root`.
pub fn extract_archive(input: impl BufRead, root: OwnedFd, side: ExtractSide) -> Result<ExtractReport> {
    let mut archive = TarReader::new(input);
    let mut extractor = TreeExtractor {
        root,
        side,
        last: None,
        dirs: Vec::new(),
        created: HashSet::new(),
        skipped: BTreeSet::new(),
    };
    let mut bytes = END_OF_ARCHIVE.len() as u64;
    while let Some(member) = archive.next_member()? {
        bytes = bytes.saturating_add(stored_length(&member));
        extractor
            .extract_member(&mut archive, &member)
            .with_context(|| format!("cannot copy `{}`", display_path(&member.path)))?;
    }
    extractor.finish()?;
    // Drain the padding at the end, or the writer would get EPIPE.
    std::io::copy(archive.input(), &mut std::io::sink())?;
    Ok(ExtractReport { skipped: extractor.skipped, bytes })
}

struct TreeExtractor {
    root: OwnedFd,
    side: ExtractSide,
    last: Option<(Vec<u8>, Rc<OwnedFd>)>,
    /// Directories whose mode and time are set at the end: adding entries changes the time, and the mode may
    /// forbid it.
    dirs: Vec<(Vec<u8>, TarMember)>,
    /// Device and inode numbers of files that this archive created on the host.
    created: HashSet<(u64, u64)>,
    skipped: BTreeSet<Vec<u8>>,
}

/// A name in an open directory.
struct ExtractTarget {
    parent: Rc<OwnedFd>,
    base: Vec<u8>,
}

impl ExtractTarget {
    fn stat(&self) -> Result<Option<Stat>, Errno> {
        match rustix::fs::statat(&*self.parent, &self.base[..], AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(None),
            other => other.map(Some),
        }
    }

    fn unlink(&self) -> Result<(), Errno> {
        match rustix::fs::unlinkat(&*self.parent, &self.base[..], AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            other => other,
        }
    }
}

impl TreeExtractor {
    fn extract_member<R: BufRead>(&mut self, archive: &mut TarReader<R>, member: &TarMember) -> Result<()> {
        let name = MemberPath::parse(&member.path)?;
        if name.base.is_empty() {
            // The target directory itself, which exists already.
            return match member.kind {
                TarMemberKind::Dir => Ok(()),
                _ => Err(corrupt("it has no name").into()),
            };
        }
        let at = ExtractTarget { parent: self.parent(&name.dir, true)?, base: name.base.clone() };
        match member.kind {
            TarMemberKind::Dir => self.directory(&at, &name, member),
            TarMemberKind::File => self.file(archive, &at, member),
            TarMemberKind::Symlink => self.symlink(&at, member),
            TarMemberKind::HardLink => self.hard_link(&at, member),
            TarMemberKind::Fifo => self.fifo(&at, member),
            TarMemberKind::Char | TarMemberKind::Block => self.device(&at, member),
            TarMemberKind::Other(kind) => {
                let kind = char::from(kind).escape_debug();
                Err(unsupported(format!("the archive's entry type `{kind}` is not one of files")).into())
            }
        }
    }

    /// Opens a name's parent directory; missing directories are created if `make`.
    fn parent(&mut self, dir: &[u8], make: bool) -> Result<Rc<OwnedFd>> {
        if let Some((path, parent)) = &self.last
            && path == dir
        {
            return Ok(Rc::clone(parent));
        }
        let doing = || format!("on the way through `{}`", display_path(dir));
        let parent = match self.open(dir, OFlags::PATH) {
            Err(Errno::NOENT) if make => self.make_parents(dir).with_context(doing)?,
            other => other.with_context(doing)?,
        };
        let parent = Rc::new(parent);
        self.last = Some((dir.to_vec(), Rc::clone(&parent)));
        Ok(parent)
    }

    fn make_parents(&mut self, dir: &[u8]) -> Result<OwnedFd> {
        let ends = dir.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at).chain([dir.len()]);
        let mut start = 0;
        let mut parent = self.open(b"", OFlags::PATH)?;
        for end in ends {
            let (path, base) = (&dir[..end], &dir[start..end]);
            start = end + 1;
            match rustix::fs::mkdirat(&parent, base, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            parent = self.open(path, OFlags::PATH)?;
        }
        Ok(parent)
    }

    /// Opens a directory by its path in the archive.
    fn open(&self, dir: &[u8], access: OFlags) -> Result<OwnedFd, Errno> {
        let (path, resolve) = match &self.side {
            ExtractSide::Host => {
                let path =
                    if dir.is_empty() { PathBuf::from(".") } else { Path::new(os_str(dir)).to_owned() };
                (path, ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS)
            }
            ExtractSide::Container { dir: base, .. } => (base.join(os_str(dir)), ResolveFlags::IN_ROOT),
        };
        let flags = access | OFlags::DIRECTORY | OFlags::CLOEXEC;
        loop {
            let resolve = resolve | ResolveFlags::NO_MAGICLINKS;
            match rustix::fs::openat2(&self.root, &path, flags, Mode::empty(), resolve) {
                // openat2(2) fails with EAGAIN if anything was renamed or mounted during the lookup.
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
    }

    fn keeps_owners(&self) -> bool {
        matches!(self.side, ExtractSide::Container { owners: true, .. })
    }

    fn directory(&mut self, at: &ExtractTarget, name: &MemberPath, member: &TarMember) -> Result<()> {
        for _ in 0..MAX_ATTEMPTS {
            match rustix::fs::mkdirat(&*at.parent, &at.base[..], Mode::RWXU) {
                Ok(()) => {
                    self.dirs.push((name.path(), member.clone()));
                    return Ok(());
                }
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            match at.stat()?.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
                None => {}
                Some(FileType::Directory) => {
                    // An existing directory stays as it is, unless the archive's metadata was requested.
                    if self.keeps_owners() {
                        self.dirs.push((name.path(), member.clone()));
                    }
                    return Ok(());
                }
                Some(_) => {
                    let message = format!(
                        "cannot overwrite non-directory \"{}\" with a directory",
                        display_path(&at.base)
                    );
                    return Err(invalid(message).into());
                }
            }
        }
        Err(Errno::EXIST.into())
    }

    /// Removes an existing non-directory at the target.
    fn remove_existing(&self, at: &ExtractTarget) -> Result<()> {
        match at.stat()?.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            None => Ok(()),
            Some(FileType::Directory) => {
                let message =
                    format!("cannot overwrite directory \"{}\" with non-directory", display_path(&at.base));
                Err(invalid(message).into())
            }
            Some(_) => Ok(at.unlink()?),
        }
    }

    /// Runs `action`, which creates a name; on EEXIST, removes what is there and tries again.
    fn create_replacing<T>(
        &self,
        at: &ExtractTarget,
        mut action: impl FnMut() -> Result<T, Errno>,
    ) -> Result<T> {
        for _ in 0..MAX_ATTEMPTS {
            match action() {
                Err(Errno::EXIST) => self.remove_existing(at)?,
                other => return Ok(other?),
            }
        }
        Err(Errno::EXIST.into())
    }

    fn create(&self, at: &ExtractTarget) -> Result<File> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let mode = Mode::RUSR | Mode::WUSR;
        let open = |flags| rustix::fs::openat(&*at.parent, &at.base[..], flags, mode);
        match self.create_replacing(at, || open(flags | OFlags::CREATE | OFlags::EXCL)) {
            // EBUSY on unlink: a file such as /etc/hosts is mounted there; overwrite its content.
            Err(error) if self.side != ExtractSide::Host && is_mount_point(&error) => {
                let file = File::from(open(flags)?);
                anyhow::ensure!(file.metadata()?.is_file(), "something that is no file is mounted there");
                file.set_len(0)?;
                Ok(file)
            }
            other => other.map(File::from),
        }
    }

    fn file<R: BufRead>(
        &mut self,
        archive: &mut TarReader<R>,
        at: &ExtractTarget,
        member: &TarMember,
    ) -> Result<()> {
        let mut file = self.create(at)?;
        write_content(archive, member, &mut file)?;
        self.finish_open(&file, member)?;
        self.record_created(&file)
    }

    /// Sets owner, xattrs, mode and time of an open file or directory.
    fn finish_open(&self, object: impl AsFd, member: &TarMember) -> Result<()> {
        if let ExtractSide::Container { owners, .. } = self.side {
            let (uid, gid) = if owners { (member.uid, member.gid) } else { (0, 0) };
            match rustix::fs::fchown(&object, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))) {
                Ok(()) => {}
                // The user namespace has no such owner: record it in an xattr, as in a layer.
                Err(Errno::INVAL | Errno::PERM) if (uid, gid) != (0, 0) => {
                    set_xattr_best_effort(&object, OWNER_XATTR, owner_value((uid, gid)).as_bytes());
                }
                Err(Errno::INVAL | Errno::PERM) => {}
                Err(error) => return Err(error).context("cannot set the owner"),
            }
        }
        for (name, value) in &member.xattrs {
            // On the host a container must not set `security.*` and the like, such as file capabilities.
            let allowed = self.side != ExtractSide::Host || name.starts_with(b"user.");
            if allowed && !is_reserved(name) {
                set_xattr_best_effort(&object, &name[..], value);
            }
        }
        // After chown(2), which clears the setuid bit.
        rustix::fs::fchmod(&object, self.member_mode(member)).context("cannot set the mode")?;
        rustix::fs::futimens(&object, &member.mtime.timestamps()).context("cannot set the time")
    }

    /// Container content never becomes setuid or setgid on the host.
    fn member_mode(&self, member: &TarMember) -> Mode {
        let untrusted = self.side == ExtractSide::Host && member.kind != TarMemberKind::Dir;
        Mode::from_raw_mode(if untrusted { member.mode & 0o1777 } else { member.mode })
    }

    fn record_created(&mut self, object: impl AsFd) -> Result<()> {
        if self.side == ExtractSide::Host {
            let stat = rustix::fs::fstat(object)?;
            self.created.insert((stat.st_dev, stat.st_ino));
        }
        Ok(())
    }

    fn record_created_name(&mut self, at: &ExtractTarget) -> Result<()> {
        if self.side == ExtractSide::Host {
            self.created.extend(at.stat()?.map(|stat| (stat.st_dev, stat.st_ino)));
        }
        Ok(())
    }

    fn symlink(&mut self, at: &ExtractTarget, member: &TarMember) -> Result<()> {
        if member.link.is_empty() || member.link.contains(&0) {
            return Err(corrupt("a symbolic link without a usable target").into());
        }
        self.create_replacing(at, || rustix::fs::symlinkat(&member.link[..], &*at.parent, &at.base[..]))?;
        self.finish_unopened(at, member)
    }

    fn fifo(&mut self, at: &ExtractTarget, member: &TarMember) -> Result<()> {
        let make =
            || rustix::fs::mknodat(&*at.parent, &at.base[..], FileType::Fifo, self.member_mode(member), 0);
        self.create_replacing(at, make)?;
        self.finish_unopened(at, member)
    }

    /// Sets owner and time of an object that cannot be opened, without following links.
    fn finish_unopened(&mut self, at: &ExtractTarget, member: &TarMember) -> Result<()> {
        if let ExtractSide::Container { owners, .. } = self.side {
            let (uid, gid) = if owners { (member.uid, member.gid) } else { (0, 0) };
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            match rustix::fs::chownat(&*at.parent, &at.base[..], Some(uid), Some(gid), flags) {
                Ok(()) | Err(Errno::INVAL | Errno::PERM | Errno::NOENT) => {}
                Err(error) => return Err(error).context("cannot set the owner"),
            }
        }
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        match rustix::fs::utimensat(&*at.parent, &at.base[..], &member.mtime.timestamps(), flags) {
            Ok(()) | Err(Errno::NOENT) => self.record_created_name(at),
            Err(error) => Err(error).context("cannot set the time"),
        }
    }

    /// Creating devices needs real root. In a container an empty file stands for one, as in a layer.
    fn device(&mut self, at: &ExtractTarget, member: &TarMember) -> Result<()> {
        if self.side == ExtractSide::Host {
            self.skipped.insert(member.path.clone());
            return Ok(());
        }
        let file = self.create(at)?;
        set_xattr_best_effort(&file, DEVICE_XATTR, member.device_value().as_bytes());
        self.finish_open(&file, member)
    }

    fn hard_link(&mut self, at: &ExtractTarget, member: &TarMember) -> Result<()> {
        let target = MemberPath::parse(&member.link)?;
        let doing = || format!("cannot link to `{}`", display_path(&member.link));
        // A link to a skipped device is skipped with it.
        if self.skipped.contains(&member.link) {
            self.skipped.insert(member.path.clone());
            return Ok(());
        }
        let source =
            ExtractTarget { parent: self.parent(&target.dir, false).with_context(doing)?, base: target.base };
        let stat = source.stat()?.ok_or(Errno::NOENT).with_context(doing)?;
        if self.side == ExtractSide::Host && !self.created.contains(&(stat.st_dev, stat.st_ino)) {
            // Otherwise an archive could give a second name to any file of the user below the directory.
            return Err(corrupt("it is not a file of this archive")).with_context(doing);
        }
        if at.stat()?.is_some_and(|old| (old.st_dev, old.st_ino) == (stat.st_dev, stat.st_ino)) {
            return Ok(());
        }
        let (from, to) = (&*source.parent, &*at.parent);
        self.create_replacing(at, || {
            rustix::fs::linkat(from, &source.base[..], to, &at.base[..], AtFlags::empty())
        })
        .with_context(doing)
    }

    /// Sets the metadata of directories, deepest first: a mode may forbid entering it.
    fn finish(&mut self) -> Result<()> {
        while let Some((path, member)) = self.dirs.pop() {
            let doing = || format!("cannot finish the directory `{}`", display_path(&path));
            let name = MemberPath::parse(&path)?;
            let parent = match self.open(&name.dir, OFlags::PATH) {
                // A process of the container, or a later member, replaced the directory.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                other => other.with_context(doing)?,
            };
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match rustix::fs::openat(&parent, &name.base[..], flags, Mode::empty()) {
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                dir => self.finish_open(dir.with_context(doing)?, &member).with_context(doing)?,
            }
        }
        Ok(())
    }
}

// An unlink of a mount point fails with EBUSY.
fn is_mount_point(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Errno>() == Some(&Errno::BUSY)
}

fn os_str(bytes: &[u8]) -> &std::ffi::OsStr {
    std::ffi::OsStr::from_bytes(bytes)
}

fn display_path(path: &[u8]) -> String {
    String::from_utf8_lossy(path).escape_debug().to_string()
}

#[cfg(test)]
mod tests;
