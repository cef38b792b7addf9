//! Mounts by descriptor: fsopen(2), fsconfig(2), fsmount(2), open_tree(2), move_mount(2), mount_setattr(2).

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags};

pub use rustix::mount::MountAttrFlags as Attr;

/// One parameter for fsconfig(2).
#[derive(Clone, Copy, Debug)]
pub enum FsParam<'a> {
    /// A name without a value.
    Flag(&'a str),
    /// A name and a string of at most 255 bytes.
    Text(&'a str, &'a str),
    /// A name and a path of at most 255 bytes, not necessarily UTF-8.
    Path(&'a str, &'a Path),
}

/// Creates a new file system instance and a detached mount of it.
pub fn new_filesystem(kind: &str, params: &[FsParam<'_>], attrs: MountAttrFlags) -> io::Result<OwnedFd> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    // Shown by mount(8) and df(1) as the device.
    rustix::mount::fsconfig_set_string(&context, "source", kind)?;
    for param in params {
        configure(context.as_fd(), *param)?;
    }
    rustix::mount::fsconfig_create(&context)?;
    Ok(rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attrs)?)
}

fn configure(context: BorrowedFd<'_>, param: FsParam<'_>) -> io::Result<()> {
    match param {
        FsParam::Flag(name) => rustix::mount::fsconfig_set_flag(context, name)?,
        FsParam::Text(name, value) => rustix::mount::fsconfig_set_string(context, name, value)?,
        FsParam::Path(name, value) => rustix::mount::fsconfig_set_string(context, name, value)?,
    }
    Ok(())
}

/// A detached copy of the mount at `source`, with the mounts below it if `recursive`.
pub fn clone_tree(source: BorrowedFd<'_>, recursive: bool) -> io::Result<OwnedFd> {
    let flags = clone_flags(recursive) | OpenTreeFlags::AT_EMPTY_PATH;
    Ok(rustix::mount::open_tree(source, "", flags)?)
}

/// Like [`clone_tree`], of what is at `path` on the host.
pub fn clone_path(path: &Path, recursive: bool) -> io::Result<OwnedFd> {
    Ok(rustix::mount::open_tree(rustix::fs::CWD, path, clone_flags(recursive))?)
}

/// Like [`clone_tree`], of the entry `name` of the directory `dir`, which nobody else can change.
pub fn clone_entry(dir: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    let flags = clone_flags(false) | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    Ok(rustix::mount::open_tree(dir, name, flags)?)
}

fn clone_flags(recursive: bool) -> OpenTreeFlags {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive { flags | OpenTreeFlags::AT_RECURSIVE } else { flags }
}

/// Attaches a detached mount on `target`, an `O_PATH` descriptor.
pub fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(rustix::mount::move_mount(mount, "", target, "", flags)?)
}

/// Attaches a detached mount on the entry `name` of the directory `dir`, which nobody else can change.
pub fn attach_to_entry(mount: BorrowedFd<'_>, dir: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    Ok(rustix::mount::move_mount(mount, "", dir, name, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

/// Attaches a detached mount on the directory `target` of the host. Returns `mount`, whose descriptor stays its root.
pub fn attach_at(mount: OwnedFd, target: &Path) -> io::Result<OwnedFd> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_SYMLINKS;
    rustix::mount::move_mount(&mount, "", rustix::fs::CWD, target, flags)?;
    Ok(mount)
}

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Sets attributes and the propagation (`MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED`, or 0 for unchanged) of a mount
/// (Linux 5.12).
pub fn set_attributes(
    mount: BorrowedFd<'_>,
    set: MountAttrFlags,
    propagation: u64,
    recursive: bool,
) -> io::Result<()> {
    change_attributes(mount, set, MountAttrFlags::empty(), propagation, recursive)
}

/// Like [`set_attributes`]; also clears the attributes `clear`.
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

/// Takes the uppermost mount on `target` out of this mount namespace; it lasts as long as it is used.
pub fn detach(target: &Path) -> io::Result<()> {
    Ok(rustix::mount::unmount(target, rustix::mount::UnmountFlags::DETACH)?)
}

/// Makes the working directory, a mount point, the root of this mount namespace, and detaches the old root
/// (pivot_root(2), `pivot_root(".", ".")`).
pub fn pivot_to_working_directory() -> io::Result<()> {
    rustix::process::pivot_root(".", ".")?;
    // Old and new root are stacked on the same directory, so "." resolves to the old one, which lies on top.
    Ok(rustix::mount::unmount(".", rustix::mount::UnmountFlags::DETACH)?)
}

/// Mounts overlayfs on `target` by mount(2), with one option string, for kernels before 6.5, whose overlayfs
/// lacks `lowerdir+`.
pub fn overlay_by_options(target: &Path, options: &CStr) -> io::Result<()> {
    rustix::mount::mount("overlay", target, "overlay", rustix::mount::MountFlags::empty(), options)?;
    Ok(())
}
