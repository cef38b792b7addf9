//! Mounts of a container: [`MountSpec`], and the checks shared by `-v`, `--mount`, `--tmpfs` and volume
//! options.
//!
//! Targets are absolute and lexically clean; symlinks of the image are resolved when mounting.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::bytes;
use super::object_name::is_object_name;
use dhow_error::{Failure, invalid};

/// Mount propagation, as mount(8) names it.
pub(crate) const PROPAGATIONS: [&str; 6] = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountSpec {
    /// Path in the container.
    pub target: String,
    pub source: MountSource,
    pub read_only: bool,
}

/// What is mounted, with the options of its type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "type")]
pub enum MountSource {
    /// A file or directory of the host.
    Bind {
        /// Absolute.
        path: PathBuf,
        /// Create a missing directory: `-v` does, `--mount type=bind` refuses.
        create: bool,
        /// `rprivate`, `private`, `rshared`, `shared`, `rslave`, `slave`; `rprivate` where empty.
        propagation: String,
        /// Include mounts below the source (default; `bind-recursive=disabled` excludes them).
        recursive: bool,
        /// With a read-only recursive bind: leave submounts writable (`bind-recursive=writable`).
        recursive_writable: bool,
        /// Fail if submounts cannot be made read-only (`bind-recursive=readonly`).
        recursive_readonly_forced: bool,
    },
    Volume {
        /// `None` for an anonymous volume until the container is created.
        name: Option<String>,
        /// Created for this container only; removed with it by `--rm`.
        anonymous: bool,
        /// Do not copy the image's content into a new volume.
        no_copy: bool,
        /// Mount this path of the volume instead of its root.
        subpath: Option<String>,
        /// Settings if the volume has to be created.
        #[serde(default, skip_serializing_if = "VolumeSetup::is_empty")]
        setup: VolumeSetup,
    },
    Tmpfs {
        /// In bytes.
        size: Option<u64>,
        /// Mode of the root directory.
        mode: Option<u32>,
        /// Other mount options as given (`exec`, `uid=…`).
        options: Vec<String>,
    },
}

/// Settings for a volume that a mount creates (`volume-label`, `volume-opt`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeSetup {
    pub labels: BTreeMap<String, String>,
    pub options: BTreeMap<String, String>,
}

impl VolumeSetup {
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.options.is_empty()
    }
}

/// The source for the volume `name`; anonymous if that is empty.
pub(crate) fn volume_source(
    name: &str,
    no_copy: bool,
    subpath: Option<String>,
    setup: VolumeSetup,
) -> Result<MountSource, String> {
    if !name.is_empty() && !is_object_name(name) {
        return Err(format!(
            "\"{}\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed, at least two of them. If you intended to pass a host directory, use absolute path",
            name.escape_debug()
        ));
    }
    let name = (!name.is_empty()).then(|| name.to_owned());
    Ok(MountSource::Volume { anonymous: name.is_none(), name, no_copy, subpath, setup })
}

/// Removes `.` and duplicate slashes; `..` is left to the kernel, which resolves symlinks before it.
pub(crate) fn clean_host_path(path: &Path) -> Result<PathBuf, String> {
    if path.as_os_str().as_encoded_bytes().contains(&0) {
        return Err("the source contains a NUL byte".into());
    }
    if !path.is_absolute() {
        return Err(format!("`{}` is not an absolute path", path.display()));
    }
    Ok(path.components().collect())
}

/// The target: absolute, lexically clean, and not the root itself.
pub(crate) fn check_target(target: &str) -> Result<String, String> {
    if !target.starts_with('/') {
        return Err(format!("mount path must be absolute: '{}'", target.escape_debug()));
    }
    if target.contains('\0') {
        return Err("the target contains a NUL byte".into());
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    if parts.is_empty() {
        return Err("destination can't be '/'".into());
    }
    Ok(format!("/{}", parts.join("/")))
}

/// Validates a propagation.
pub(crate) fn check_propagation(text: &str) -> Result<String, String> {
    match PROPAGATIONS.contains(&text) {
        true => Ok(text.to_owned()),
        false => Err(format!("invalid propagation: {}", text.escape_debug())),
    }
}

/// Parses `TARGET[:OPTION,…]` of `--tmpfs`.
pub fn parse_tmpfs(text: &str) -> Result<MountSpec, Failure> {
    let malformed = |why: &str| {
        invalid(format!("invalid tmpfs specification `{}`: {why}", text.escape_debug()))
            .hint("TARGET[:OPTIONS], as in /run:size=64m,mode=1777")
    };
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let target = check_target(target).map_err(|why| malformed(&why))?;
    let mut spec = MountSpec {
        target,
        source: MountSource::Tmpfs { size: None, mode: None, options: Vec::new() },
        read_only: false,
    };
    for option in options.split(',').filter(|option| !option.is_empty()) {
        tmpfs_option(&mut spec, option).map_err(|why| malformed(&why))?;
    }
    Ok(spec)
}

/// Mount flags and options allowed for a tmpfs in a user namespace.
const TMPFS_FLAGS: [&str; 18] = [
    "defaults",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "sync",
    "async",
    "dirsync",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
];
const TMPFS_KEYS: [&str; 6] = ["uid", "gid", "nr_inodes", "nr_blocks", "mpol", "huge"];

fn tmpfs_option(spec: &mut MountSpec, option: &str) -> Result<(), String> {
    let MountSource::Tmpfs { size, mode, options } = &mut spec.source else { return Ok(()) };
    match option.split_once('=') {
        None if option == "ro" || option == "rw" => spec.read_only = option == "ro",
        None if TMPFS_FLAGS.contains(&option) => options.push(option.to_owned()),
        // Percentages of RAM are left to the kernel.
        Some(("size", percent)) if percent.ends_with('%') => options.push(option.to_owned()),
        // docker's units (`64mb`) are not those of the kernel.
        Some(("size", value)) => *size = Some(bytes::parse(value).map_err(|why| why.to_string())?),
        Some(("mode", value)) => *mode = Some(octal(value)?),
        Some((key, value)) if TMPFS_KEYS.contains(&key) && !value.is_empty() => {
            options.push(option.to_owned());
        }
        _ => return Err(format!("invalid tmpfs option \"{}\"", option.escape_debug())),
    }
    Ok(())
}

/// A mode as chmod(1) takes it.
pub(crate) fn octal(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .ok_or_else(|| format!("`{}` is not an octal mode", text.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tmpfs() {
        let spec = parse_tmpfs("/run:rw,noexec,size=64k,mode=1777,uid=5").unwrap();
        let options = vec!["noexec".to_owned(), "uid=5".to_owned()];
        let source = MountSource::Tmpfs { size: Some(65536), mode: Some(0o1777), options };
        assert_eq!(spec, MountSpec { target: "/run".into(), source, read_only: false });
        assert!(parse_tmpfs("/run:ro").unwrap().read_only);
        for bad in ["", "run", "/", "/x:foo", "/x:mode=9", "/x:size=x", "/x:uid=", "/x:shared"] {
            assert!(parse_tmpfs(bad).is_err(), "{bad}");
        }
    }
}
