//! The host's side of a copy: resolves the user's path, packs it or prepares the directory to extract into.

use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::fs::{Mode, OFlags};

use super::container_side::CopySourceInfo;
use dhow_error::{Failure, FailureKind, invalid, not_found};
use dhow_image::files::pack_tree::TreePacker;
use dhow_model::copy_request::{CopyPlacement, PathArg, TargetKind, decide_placement};

/// Limit on symbolic links at the end of a target; the kernel's is 40 too (path_resolution(7)).
const MAX_LINKS: u32 = 40;

/// A file or directory to be copied into a container.
pub(crate) struct HostSource {
    /// Its name in the archive, unless the target renames it.
    pub name: Vec<u8>,
    pub is_dir: bool,
    handle: HostSourceHandle,
}

enum HostSourceHandle {
    /// Open for reading.
    Directory(OwnedFd),
    /// Anything else, by its directory and name there.
    Other(OwnedFd, CString),
}

impl HostSource {
    /// Opens it. A symbolic link at the end is copied as a link unless `follow` is set or the path ends in a
    /// slash.
    pub(super) fn open(arg: &PathArg, follow: bool) -> Result<Self> {
        let doing = || format!("cannot copy {}", arg.path.display());
        let meta = if follow || arg.is_directory {
            std::fs::metadata(&arg.path).with_context(doing)?
        } else {
            std::fs::symlink_metadata(&arg.path).with_context(doing)?
        };
        if arg.is_directory && !meta.is_dir() {
            return Err(invalid("not a directory")).with_context(doing);
        }
        let name = arg.name();
        if meta.is_dir() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let dir = rustix::fs::open(&arg.path, flags, Mode::empty()).with_context(doing)?;
            return Ok(Self { name, is_dir: true, handle: HostSourceHandle::Directory(dir) });
        }
        let real =
            if follow { std::fs::canonicalize(&arg.path).with_context(doing)? } else { arg.path.clone() };
        let base =
            real.file_name().ok_or_else(|| invalid("the path has no last part")).with_context(doing)?;
        // Held by its directory, since a link or device itself cannot be opened for reading.
        let base = CString::new(base.as_bytes())?;
        let parent = dhow_sys::fs::open_dir(real.parent().unwrap_or(Path::new("/"))).with_context(doing)?;
        Ok(Self { name, is_dir: false, handle: HostSourceHandle::Other(parent, base) })
    }

    pub(super) fn pack(self, packer: &mut TreePacker<'_>, name: &[u8]) -> Result<()> {
        match self.handle {
            HostSourceHandle::Directory(dir) => packer.directory(dir, name),
            HostSourceHandle::Other(parent, base) => match packer.entry(parent.as_fd(), &base, name)? {
                true => Ok(()),
                false => Err(invalid("it is gone, or a socket, which cannot be copied").into()),
            },
        }
    }
}

/// Where files of a container are copied to.
pub(crate) struct HostDestination {
    path: PathBuf,
    is_directory: bool,
    kind: TargetKind,
}

impl HostDestination {
    /// Follows links to the end. The last component may be missing, its directory may not.
    pub(super) fn resolve(arg: &PathArg) -> Result<Self> {
        let mut path = arg.path.clone();
        for _ in 0..MAX_LINKS {
            // Step by step, because the last component may be missing behind a link too.
            let kind = match std::fs::symlink_metadata(&path) {
                Ok(meta) if meta.is_symlink() => {
                    let link = std::fs::read_link(&path)?;
                    path = path.parent().unwrap_or(Path::new("/")).join(link);
                    continue;
                }
                Ok(meta) if meta.is_dir() => TargetKind::Directory,
                Ok(meta) if meta.is_file() && arg.is_directory => TargetKind::Nothing,
                Ok(meta) if meta.is_file() => TargetKind::Other,
                Ok(_) => {
                    let message = format!(
                        "invalid output path: \"{}\" must be a directory or a regular file",
                        path.display()
                    );
                    return Err(invalid(message).into());
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => TargetKind::Nothing,
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot copy to {}", path.display()));
                }
            };
            let parent = path.parent().unwrap_or(Path::new("/"));
            if kind == TargetKind::Nothing && !parent.is_dir() {
                let message =
                    format!("invalid output path: directory \"{}\" does not exist", parent.display());
                return Err(not_found(message).into());
            }
            return Ok(Self { path, is_directory: arg.is_directory, kind });
        }
        let message = format!("invalid output path: too many links at \"{}\"", arg.path.display());
        Err(Failure::new(FailureKind::Invalid, message).into())
    }

    /// The directory to extract into, and the name of the source there.
    pub(crate) fn extraction_dir(self, source: &CopySourceInfo) -> Result<(OwnedFd, Vec<u8>)> {
        let (dir, name) = match decide_placement(source.is_dir, self.kind, self.is_directory)? {
            CopyPlacement::Within => (self.path.as_path(), source.name.clone()),
            CopyPlacement::Renamed => {
                let name = self.path.file_name().ok_or_else(|| invalid("the target has no name"))?;
                (self.path.parent().unwrap_or(Path::new("/")), name.as_bytes().to_vec())
            }
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(dir, flags, Mode::empty())
            .with_context(|| format!("cannot copy to {}", dir.display()))?;
        Ok((fd, name))
    }
}
