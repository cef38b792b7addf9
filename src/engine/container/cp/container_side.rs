//! The container's side of a copy: what the helper process does there.

use std::ffi::{CString, OsStr};
use std::io::{BufRead as _, BufReader, BufWriter};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use dhow_error::{Failure, FailureKind, invalid, not_found};
use dhow_image::files::extract::{ExtractReport, ExtractSide, extract_archive};
use dhow_image::files::inspect::DhowXattrs;
use dhow_image::files::pack_tree::TreePacker;
use dhow_image::unpack::decode;
use dhow_model::copy_request::{CopyPlacement, PathArg, TargetKind};
use dhow_sandbox::fs_helper::FsHelperContext;

/// Limit on symbolic links at the end of a path.
const MAX_LINKS: u32 = 40;

/// What the helper reports about a source. It is told the name for the archive in return.
#[derive(Serialize, Deserialize)]
pub(crate) struct CopySourceInfo {
    pub name: Vec<u8>,
    pub is_dir: bool,
}

/// What the helper reports about a target.
#[derive(Serialize, Deserialize)]
pub(crate) struct CopyTargetInfo {
    pub there: TargetKind,
    /// Its last component, after links were followed.
    pub name: Vec<u8>,
}

/// What the helper is told in return.
#[derive(Serialize, Deserialize)]
pub(crate) struct ExtractInstructions {
    pub(crate) placement: CopyPlacement,
    /// Keep the owners of the archive.
    pub owners: bool,
}

/// Sends `arg` as an archive.
pub(crate) fn pack_source(
    inside: FsHelperContext<'_>,
    arg: &PathArg,
    follow: bool,
    container: &str,
) -> Result<()> {
    let located = resolve_path(inside.root.as_fd(), arg, follow || arg.is_directory, container)?;
    let Some(kind) = located.kind() else { return Err(no_such_file(&arg.path, container).into()) };
    let is_dir = kind == FileType::Directory;
    if arg.is_directory && !is_dir {
        return Err(invalid(format!("{} is not a directory", arg.path.display())).into());
    }
    inside.send(&CopySourceInfo { name: arg.name(), is_dir })?;
    // The host decides, since only it knows whether the target exists.
    let name: Vec<u8> = inside.receive()?;
    let mut out = BufWriter::with_capacity(128 << 10, std::fs::File::from(inside.data));
    let mut packer = TreePacker::new(&mut out, DhowXattrs::Apply);
    exclude_kernel_mounts(inside.root.as_fd(), &mut packer)?;
    if is_dir {
        packer.directory(located.open_dir()?, &name)?;
    } else if !packer.entry(located.parent.as_fd(), &located.base, &name)? {
        return Err(
            invalid(format!("{} is gone, or a socket, which cannot be copied", arg.path.display())).into()
        );
    }
    packer.finish().map(drop)
}

/// /proc, /sys and /dev of a running container are not copied along with the directory that contains them. A
/// path that leads into them is copied.
fn exclude_kernel_mounts(root: BorrowedFd<'_>, packer: &mut TreePacker<'_>) -> Result<()> {
    let root_device = rustix::fs::fstat(root)?.st_dev;
    for name in ["proc", "sys", "dev"] {
        // A different device number: something is mounted there. In a stopped container it is a plain
        // directory.
        if let Ok(stat) = rustix::fs::statat(root, name, AtFlags::SYMLINK_NOFOLLOW)
            && stat.st_dev != root_device
        {
            packer.exclude_contents(stat.st_dev, stat.st_ino);
        }
    }
    Ok(())
}

/// Extracts an archive at `arg`.
pub(crate) fn extract_at(
    inside: FsHelperContext<'_>,
    arg: &PathArg,
    container: &str,
    read_only: bool,
) -> Result<()> {
    let located = resolve_path(inside.root.as_fd(), arg, true, container)?;
    let kind = match located.kind() {
        Some(FileType::Directory) => TargetKind::Directory,
        Some(FileType::RegularFile) if !arg.is_directory => TargetKind::Other,
        None | Some(FileType::RegularFile) => TargetKind::Nothing,
        Some(_) => {
            let path = arg.path.display();
            let message = format!("destination \"{container}:{path}\" must be a directory or a regular file");
            return Err(invalid(message).into());
        }
    };
    inside.send(&CopyTargetInfo { there: kind, name: located.base.to_bytes().to_vec() })?;
    let instructions: ExtractInstructions = inside.receive()?;
    let dir = match instructions.placement {
        CopyPlacement::Within => located.path,
        CopyPlacement::Renamed => located.path.parent().unwrap_or(Path::new("/")).to_owned(),
    };
    let data = BufReader::with_capacity(128 << 10, std::fs::File::from(inside.data));
    let side = ExtractSide::Container { dir, owners: instructions.owners };
    extract_maybe_compressed(data, inside.root, side)
        .map(drop)
        .map_err(|error| explain_read_only(error, read_only))
}

/// An archive from standard input may be compressed.
fn extract_maybe_compressed(
    mut data: BufReader<std::fs::File>,
    root: OwnedFd,
    side: ExtractSide,
) -> Result<ExtractReport> {
    match decode::CompressionFormat::of(data.fill_buf()?) {
        decode::CompressionFormat::Plain => extract_archive(data, root, side),
        format => {
            let decoder = decode::decoder(format, data).context("cannot decompress the archive")?;
            extract_archive(BufReader::with_capacity(128 << 10, decoder), root, side)
        }
    }
}

/// docker's wording for a read-only target.
fn explain_read_only(error: anyhow::Error, read_only: bool) -> anyhow::Error {
    let refused = |cause: &(dyn std::error::Error + 'static)| {
        let errno = cause.downcast_ref::<Errno>().map(|errno| errno.raw_os_error());
        errno.or(cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error))
            == Some(libc::EROFS)
    };
    if !error.chain().any(refused) {
        return error;
    }
    let message =
        if read_only { "container rootfs is marked read-only" } else { "mounted volume is marked read-only" };
    Failure::new(FailureKind::Denied, message).into()
}

/// A path in the container, as far as it exists.
struct ContainerPath {
    /// Its directory, opened without leaving the root.
    parent: OwnedFd,
    /// The name there; `.` for the root.
    base: CString,
    /// Absolute; links at the end are followed where the caller asked for it.
    path: PathBuf,
    stat: Option<Stat>,
}

impl ContainerPath {
    fn kind(&self) -> Option<FileType> {
        self.stat.map(|stat| FileType::from_raw_mode(stat.st_mode))
    }

    fn open_dir(&self) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.parent, &self.base, flags, Mode::empty())?)
    }
}

/// Resolves `arg` below `root`. Its last component may be missing, its directory may not.
fn resolve_path(root: BorrowedFd<'_>, arg: &PathArg, follow: bool, container: &str) -> Result<ContainerPath> {
    let mut path = arg.path.clone();
    for _ in 0..MAX_LINKS {
        let (dir, base) = match path.file_name() {
            Some(base) => (path.parent().unwrap_or(Path::new("/")), base),
            // The root, or a link that ends in `..`: a directory in any case.
            None => (path.as_path(), OsStr::new(".")),
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let parent =
            dhow_sys::fs::open_in_root(root, dir, flags, Mode::empty()).map_err(|error| {
                match error.raw_os_error() {
                    Some(libc::ENOENT | libc::ENOTDIR) => no_such_file(dir, container).into(),
                    _ => anyhow::Error::from(error).context(format!("cannot enter {}", dir.display())),
                }
            })?;
        let base = CString::new(base.as_bytes())?;
        let stat = match rustix::fs::statat(&parent, &base, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => None,
            other => Some(other?),
        };
        let is_link = stat.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink);
        if follow && is_link {
            match rustix::fs::readlinkat(&parent, &base, Vec::new()) {
                Ok(link) => path = dir.join(OsStr::from_bytes(link.as_bytes())),
                // Replaced meanwhile; look again.
                Err(Errno::INVAL | Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
            continue;
        }
        return Ok(ContainerPath { parent, base, path, stat });
    }
    Err(Failure::new(FailureKind::Invalid, format!("too many links at {}", arg.path.display())).into())
}

/// docker's wording.
fn no_such_file(path: &Path, container: &str) -> Failure {
    not_found(format!("Could not find the file {} in container {container}", path.display()))
}
