//! Where cgroup v2 is mounted, and where in it a process is.

use std::io;
use std::path::{Component, Path, PathBuf};

/// The mounted cgroup v2 hierarchy, with this process's cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CgroupHierarchy {
    mount: PathBuf,
    /// The cgroup that is the root of the mount; not `/` in some containers.
    base: PathBuf,
    /// This process's cgroup as in /proc/self/cgroup: absolute, from the root of the cgroup namespace.
    pub(super) own: PathBuf,
}

impl CgroupHierarchy {
    /// `None` if cgroup v2 is not mounted, or if this process's cgroup is not below the mount.
    pub(super) fn find() -> Option<Self> {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
        let own = own_cgroup().ok()??;
        let mut points = mounts.lines().filter_map(mount_point);
        let (base, mount) = points.find(|(base, _)| own.starts_with(base))?;
        Some(Self { mount, base, own })
    }

    /// The directory of a cgroup as named by /proc or systemd.
    pub(super) fn directory(&self, cgroup: &Path) -> PathBuf {
        let mut path = self.mount.clone();
        let below = cgroup.strip_prefix(&self.base).unwrap_or(cgroup);
        path.extend(below.components().filter(|part| matches!(part, Component::Normal(_))));
        path
    }

    pub(super) fn root(&self) -> &Path {
        &self.mount
    }
}

/// This process's cgroup v2; `None` if it is outside of the cgroup namespace, or removed.
pub(super) fn own_cgroup() -> io::Result<Option<PathBuf>> {
    Ok(parse_cgroup(&std::fs::read_to_string("/proc/self/cgroup")?))
}

/// The cgroup of process `pid`; `None` if the process is gone, too.
pub(super) fn cgroup_of(pid: i32) -> io::Result<Option<PathBuf>> {
    match std::fs::read_to_string(format!("/proc/{pid}/cgroup")) {
        Ok(text) => Ok(parse_cgroup(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
        Err(error) => Err(error),
    }
}

fn parse_cgroup(text: &str) -> Option<PathBuf> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    // `/..` leads out of the cgroup namespace; ` (deleted)` follows the path of a removed cgroup.
    let inside = path.starts_with('/') && !path.starts_with("/..") && !path.ends_with(" (deleted)");
    inside.then(|| PathBuf::from(path))
}

/// The cgroup and mount point of a mountinfo line (proc_pid_mountinfo(5)), if it is a cgroup v2 mount inside
/// this process's namespace.
fn mount_point(line: &str) -> Option<(PathBuf, PathBuf)> {
    let (mount, source) = line.split_once(" - ")?;
    let mut fields = mount.split(' ').skip(3);
    let (root, point) = (fields.next()?, fields.next()?);
    let is_cgroup = source.split(' ').next() == Some("cgroup2");
    // Blanks and the like are escaped with a backslash; no cgroup mount has them in its path.
    let inside = !root.starts_with("/..") && !root.contains('\\') && !point.contains('\\');
    (is_cgroup && inside).then(|| (PathBuf::from(root), PathBuf::from(point)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_proc_are_read() {
        let line = "30 25 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate";
        assert_eq!(mount_point(line).unwrap(), (PathBuf::from("/"), PathBuf::from("/sys/fs/cgroup")));
        assert!(mount_point(&line.replace("cgroup2 cgroup2", "tmpfs cgroup")).is_none());
        assert!(mount_point(&line.replace("0:26 / ", "0:26 /../.. ")).is_none());
        let own = parse_cgroup("4:memory:/x\n0::/user.slice/a b.scope\n").unwrap();
        assert_eq!(own, Path::new("/user.slice/a b.scope"));
        for outside in ["0::/../x", "0::/x (deleted)", "1:name=systemd:/x", ""] {
            assert!(parse_cgroup(outside).is_none(), "{outside}");
        }
    }

    #[test]
    fn directories_stay_below_the_mount() {
        let at = |base: &str| CgroupHierarchy {
            mount: "/sys/fs/cgroup".into(),
            base: base.into(),
            own: "/".into(),
        };
        assert_eq!(at("/").directory(Path::new("/a/../b")), Path::new("/sys/fs/cgroup/a/b"));
        assert_eq!(at("/job").directory(Path::new("/job/b")), Path::new("/sys/fs/cgroup/b"));
    }
}
