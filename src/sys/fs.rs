//! Path resolution inside a directory (openat2(2)), and small file operations based on it.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps};

/// Symbolic links followed in one look-up, as in the kernel (path_resolution(7)).
const MAX_LINKS: u32 = 40;

/// Opens `path` as if `root` were `/`: absolute links and `..` stay inside, magic links of /proc are refused
/// with `ELOOP` (`RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS`, Linux 5.6).
pub fn open_in_root(root: BorrowedFd<'_>, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    // EAGAIN: a rename raced with `..` in the path; openat2(2) says to retry.
    for _ in 0..32 {
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, mode, resolve) {
            Err(rustix::io::Errno::AGAIN) => {}
            result => return Ok(result?),
        }
    }
    Err(io::Error::from(io::ErrorKind::WouldBlock))
}

/// Opens `path` below `root` through directories only: symbolic links are refused with `ELOOP`, and `..` may not
/// lead out (`RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`). An empty path is `root` itself.
pub fn open_beneath(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let path = if path.is_empty() { b"." } else { path };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    loop {
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            // EAGAIN: a rename elsewhere interfered with the resolution (openat2(2)).
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Opens a directory by its path on the host (`O_PATH`), to be used as a root.
pub fn open_dir(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Opens /dev/null for reading and writing.
pub fn open_null() -> io::Result<OwnedFd> {
    Ok(rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?)
}

/// The extended attribute that marks mount stubs ([`CreateMode::MountStubs`]).
pub const MOUNT_STUB_XATTR: &str = "user.dhow.stub";

/// How missing files and directories are created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateMode {
    /// As ordinary, lasting files.
    Permanent,
    /// As mount stubs, which exist only to be mounted on: marked by an attribute, to be found and removed
    /// later, and with the times of their parent directory preserved. Applies to the file system with this
    /// `st_dev`; other file systems are mounts, whose content does not matter.
    MountStubs(u64),
}

impl CreateMode {
    /// Mount stubs on the file system of `root`.
    pub fn mount_stubs_in(root: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self::MountStubs(rustix::fs::fstat(root)?.st_dev))
    }
}

/// Opens the directory `path` inside `root`, creating missing components with mode 0755.
pub fn ensure_dir_in_root(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    ensure_dir(root, path, MAX_LINKS, CreateMode::Permanent)
}

/// Like [`ensure_dir_in_root`], with a [`CreateMode`].
pub fn make_dir_in_root(root: BorrowedFd<'_>, path: &Path, mode: CreateMode) -> io::Result<OwnedFd> {
    ensure_dir(root, path, MAX_LINKS, mode)
}

fn ensure_dir(root: BorrowedFd<'_>, path: &Path, links: u32, mode: CreateMode) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    match open_in_root(root, path, flags, Mode::empty()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => return result,
    }
    if links == 0 {
        return Err(rustix::io::Errno::LOOP.into());
    }
    if path.ends_with("..") {
        // `..` can be resolved only if its predecessor exists.
        ensure_dir(root, path.parent().unwrap_or(Path::new("")), links - 1, mode)?;
        return open_in_root(root, path, flags, Mode::empty());
    }
    let (parent, name) = split(path)?;
    let parent_fd = ensure_dir(root, &parent, links, mode)?;
    let made = create_with(parent_fd.as_fd(), mode, |access| {
        rustix::fs::mkdirat(&parent_fd, name, Mode::from_raw_mode(0o755))?;
        let flags = access | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&parent_fd, name, flags, Mode::empty())
    });
    match made {
        Ok(new) => return Ok(new),
        // Another process was faster, or exchanged the directory, or a dangling link is there.
        Err(error) if is_taken(&error) => {}
        Err(error) => return Err(error),
    }
    match rustix::fs::readlinkat(&parent_fd, name, Vec::new()) {
        Ok(link) => ensure_dir(root, &follow(&parent, OsStr::from_bytes(link.as_bytes())), links - 1, mode),
        Err(_) => open_in_root(root, path, flags, Mode::empty()),
    }
}

/// Whether what was to be created exists, or is not what was created.
fn is_taken(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EEXIST | libc::ELOOP | libc::ENOTDIR | libc::ENOENT))
}

/// Runs `make` in `parent` as `mode` demands, and returns the descriptor that it opens; `make` is told the access
/// mode it has to open with.
fn create_with(
    parent: BorrowedFd<'_>,
    mode: CreateMode,
    make: impl FnOnce(OFlags) -> rustix::io::Result<OwnedFd>,
) -> io::Result<OwnedFd> {
    let before = match mode {
        CreateMode::Permanent => None,
        CreateMode::MountStubs(device) => {
            Some(rustix::fs::fstat(parent)?).filter(|stat| stat.st_dev == device)
        }
    };
    let Some(before) = before else { return Ok(make(OFlags::PATH)?) };
    let new = make(OFlags::RDONLY)?;
    rustix::fs::fsetxattr(&new, MOUNT_STUB_XATTR, b"1", rustix::fs::XattrFlags::empty())?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = rustix::fs::openat(parent, ".", flags, Mode::empty())?;
    rustix::fs::futimens(&parent, &times_of(&before))?;
    Ok(new)
}

/// Opens the file or directory `path` inside `root` to refer to it, creating an empty file if nothing exists.
pub fn ensure_file_in_root(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    make_file_in_root(root, path, CreateMode::Permanent)
}

/// Like [`ensure_file_in_root`], with a [`CreateMode`].
pub fn make_file_in_root(root: BorrowedFd<'_>, path: &Path, mode: CreateMode) -> io::Result<OwnedFd> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match open_in_root(root, &path, OFlags::PATH, Mode::empty()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => return result,
        }
        let (parent, name) = split(&path)?;
        let parent_fd = make_dir_in_root(root, &parent, mode)?;
        let made = create_with(parent_fd.as_fd(), mode, |_| {
            // With O_PATH the kernel would not create anything.
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::WRONLY;
            rustix::fs::openat(&parent_fd, name, flags, Mode::from_raw_mode(0o644))
        });
        match made {
            Err(error) if is_taken(&error) => {}
            result => return result,
        }
        // A dangling link; otherwise another process was faster.
        if let Ok(link) = rustix::fs::readlinkat(&parent_fd, name, Vec::new()) {
            path = follow(&parent, OsStr::from_bytes(link.as_bytes()));
        }
    }
    Err(rustix::io::Errno::LOOP.into())
}

/// Parent and last component; `..` and the empty path have none (`NotFound`).
fn split(path: &Path) -> io::Result<(PathBuf, &OsStr)> {
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    Ok((path.parent().unwrap_or(Path::new("")).to_owned(), name))
}

/// The path that a link in `parent` with this text points to.
fn follow(parent: &Path, link: &OsStr) -> PathBuf {
    parent.join(Path::new(link))
}

/// Makes `path` absolute and removes `.` and `..` lexically, for a path inside a root.
pub fn clean_absolute(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::ParentDir => {
                clean.pop();
            }
            Component::Normal(name) => clean.push(name),
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
    clean
}

/// Reads at most `limit` bytes of a regular file inside `root`. Anything else is an error.
pub fn read_in_root(root: BorrowedFd<'_>, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    // NONBLOCK: the file may be a FIFO, whose open would wait for a writer.
    let fd = open_in_root(root, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty())?;
    if file_type(fd.as_fd())? != FileType::RegularFile {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut content = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(std::fs::File::from(fd), limit), &mut content)?;
    Ok(content)
}

pub fn file_type(fd: BorrowedFd<'_>) -> io::Result<FileType> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode))
}

/// A path that refers to an open descriptor, for system calls without a descriptor variant.
pub fn fd_path(fd: BorrowedFd<'_>) -> String {
    use std::os::fd::AsRawFd as _;
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

pub fn symlink_unless_exists(text: &str, dir: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    match rustix::fs::symlinkat(text, dir, name) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Access and modification time, for utimensat(2).
pub fn times_of(stat: &rustix::fs::Stat) -> Timestamps {
    let time = |seconds, nanos: u64| Timespec { tv_sec: seconds, tv_nsec: nanos.cast_signed() };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}

/// Changes the owner of the file behind `fd`, which may be an `O_PATH` descriptor of a link.
pub fn chown_fd(fd: BorrowedFd<'_>, uid: u32, gid: u32) -> io::Result<()> {
    let (uid, gid) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
    Ok(rustix::fs::chownat(fd, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_directories_are_made_inside_through_links() {
        let dir = tempfile::tempdir().unwrap();
        let root = open_dir(dir.path()).unwrap();
        std::os::unix::fs::symlink("/outside/../new", dir.path().join("link")).unwrap();
        ensure_dir_in_root(root.as_fd(), Path::new("/link/deep/er")).unwrap();
        assert!(dir.path().join("new/deep/er").is_dir());
        ensure_file_in_root(root.as_fd(), Path::new("/../../etc/x")).unwrap();
        assert!(dir.path().join("etc/x").is_file());
    }

    #[test]
    fn several_may_make_the_same_file_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let root = open_dir(dir.path()).unwrap();
        for round in 0..200 {
            let path = format!("{round}/file");
            let start = std::sync::Barrier::new(4);
            std::thread::scope(|scope| {
                let make = || {
                    start.wait();
                    ensure_file_in_root(root.as_fd(), Path::new(&path)).map(drop)
                };
                let threads = [(); 4].map(|()| scope.spawn(make));
                threads.into_iter().for_each(|thread| thread.join().unwrap().unwrap());
            });
        }
    }

    #[test]
    fn a_circle_of_links_ends() {
        let dir = tempfile::tempdir().unwrap();
        let root = open_dir(dir.path()).unwrap();
        std::os::unix::fs::symlink("b", dir.path().join("a")).unwrap();
        std::os::unix::fs::symlink("a", dir.path().join("b")).unwrap();
        assert!(ensure_dir_in_root(root.as_fd(), Path::new("a/x")).is_err());
        assert!(ensure_file_in_root(root.as_fd(), Path::new("a")).is_err());
    }

    #[test]
    fn only_regular_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let root = open_dir(dir.path()).unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("etc/group")).unwrap();
        assert!(read_in_root(root.as_fd(), Path::new("etc"), 10).is_err());
        assert!(read_in_root(root.as_fd(), Path::new("etc/group"), 10).is_err());
    }
}
