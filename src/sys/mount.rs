//! Mounts by descriptor: fsopen(2), fsconfig(2), fsmount(2), open_tree(2), move_mount(2), mount_setattr(2).

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags};

pub use rustix::mount::MountAttrFlags as Attr;

/// One parameter of a file system.
#[derive(Clone, Copy, Debug)]
pub enum Param<'a> {
    /// A name alone.
    Flag(&'a str),
    /// A name with text, at most 255 bytes long.
    Text(&'a str, &'a str),
    /// A name with a path, which may not be UTF-8 but is below 256 bytes.
    Path(&'a str, &'a Path),
}

/// Makes a new instance of a file system and a mount of it that is not attached yet.
pub fn new_filesystem(kind: &str, params: &[Param<'_>], attrs: MountAttrFlags) -> io::Result<OwnedFd> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    // What mount(8) and df(1) show in their first column.
    rustix::mount::fsconfig_set_string(&context, "source", kind)?;
    for param in params {
        configure(context.as_fd(), *param)?;
    }
    rustix::mount::fsconfig_create(&context)?;
    Ok(rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attrs)?)
}

fn configure(context: BorrowedFd<'_>, param: Param<'_>) -> io::Result<()> {
    match param {
        Param::Flag(name) => rustix::mount::fsconfig_set_flag(context, name)?,
        Param::Text(name, value) => rustix::mount::fsconfig_set_string(context, name, value)?,
        Param::Path(name, value) => rustix::mount::fsconfig_set_string(context, name, value)?,
    }
    Ok(())
}

/// A detached copy of the mount that `source` lies on, cut out at `source`; with what is mounted below it if `recursive`.
pub fn clone_tree(source: BorrowedFd<'_>, recursive: bool) -> io::Result<OwnedFd> {
    let mut flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    Ok(rustix::mount::open_tree(source, "", flags)?)
}

/// Attaches a detached mount on top of `target`, which was opened with `O_PATH`.
pub fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(rustix::mount::move_mount(mount, "", target, "", flags)?)
}

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Adds attributes and sets the propagation (one of `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED`, or 0) of a mount
/// (Linux 5.12).
pub fn set_attributes(
    mount: BorrowedFd<'_>,
    set: MountAttrFlags,
    propagation: u64,
    recursive: bool,
) -> io::Result<()> {
    change_attributes(mount, set, MountAttrFlags::empty(), propagation, recursive)
}

/// As [`set_attributes`], and clears `clear`.
pub fn change_attributes(
    mount: BorrowedFd<'_>,
    set: MountAttrFlags,
    clear: MountAttrFlags,
    propagation: u64,
    recursive: bool,
) -> io::Result<()> {
    let attr = MountAttr {
        attr_set: u64::from(set.bits()),
        attr_clr: u64::from(clear.bits()),
        propagation,
        userns_fd: 0,
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    let empty: &CStr = c"";
    // SAFETY: `attr` is initialised, lives over the call and its exact size is passed; `empty` ends in NUL; the
    // kernel only reads both.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            empty.as_ptr(),
            flags,
            std::ptr::from_ref(&attr),
            size_of::<MountAttr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes the working directory, a mount point, the root of this mount namespace and lets go of the old one
/// (pivot_root(2), the form with one directory).
pub fn pivot_to_working_directory() -> io::Result<()> {
    rustix::process::pivot_root(".", ".")?;
    Ok(rustix::mount::unmount(".", rustix::mount::UnmountFlags::DETACH)?)
}

/// Mounts overlayfs by mount(2) with one option string, for kernels whose overlayfs knows no `lowerdir+` (before 6.5).
/// The result is attached on `target`.
pub fn overlay_by_options(target: &Path, options: &CStr) -> io::Result<()> {
    rustix::mount::mount("overlay", target, "overlay", rustix::mount::MountFlags::empty(), options)?;
    Ok(())
}

/// Moves the calling process into the namespace that `fd` stands for.
pub fn enter_namespace(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: setns takes a descriptor that is open for the whole call and no pointers.
    let result = unsafe { libc::setns(fd.as_raw_fd(), 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
