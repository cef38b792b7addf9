//! New file systems for mounts: parameters and attributes of a plan in the kernel's form (fsconfig(2), mount_setattr(2)).

use std::os::fd::OwnedFd;

use dhow_sys::mount::{self, Attr, FsParam};

use crate::plan::MountAttributes;

/// A detached mount of a new file system instance.
pub(super) fn new_instance(
    kind: &str,
    params: &[(String, Option<String>)],
    flags: MountAttributes,
) -> std::io::Result<OwnedFd> {
    mount::new_filesystem(kind, &fs_params(params), mount_attributes(flags))
}

pub(super) fn mount_attributes(flags: MountAttributes) -> Attr {
    let pairs = [
        (flags.read_only, Attr::MOUNT_ATTR_RDONLY),
        (flags.nosuid, Attr::MOUNT_ATTR_NOSUID),
        (flags.nodev, Attr::MOUNT_ATTR_NODEV),
        (flags.noexec, Attr::MOUNT_ATTR_NOEXEC),
    ];
    pairs.into_iter().filter(|(on, _)| *on).fold(Attr::empty(), |all, (_, attr)| all | attr)
}

pub(super) fn fs_params(params: &[(String, Option<String>)]) -> Vec<FsParam<'_>> {
    params
        .iter()
        .map(|(name, value)| value.as_ref().map_or(FsParam::Flag(name), |value| FsParam::Text(name, value)))
        .collect()
}
