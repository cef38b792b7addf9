//! Parses `-v`, `--mount` and `--tmpfs` into [`MountSpec`].
//!
//! They differ as docker's do: `-v` creates a missing host directory, `--mount type=bind` refuses; `-v` is positional,
//! `--mount` has keys (`mount_flag`). Targets are absolute and lexically clean; symlinks of the image are resolved when
//! mounting.

use std::path::{Path, PathBuf};

use super::bytes;
use super::container::{MountSource, MountSpec};
use super::object_name::is_object_name;
use super::volume::VolumeSetup;
use dhow_error::{Failure, invalid};

/// Mount propagation, as mount(8) names it.
const PROPAGATIONS: [&str; 6] = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];

/// Parses `[SOURCE:]TARGET[:OPTIONS]`; a source that starts with a dot is relative to `base`.
pub fn parse_volume(text: &str, base: &Path) -> Result<MountSpec, Failure> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts.as_slice() {
        [target] => (None, *target, ""),
        [source, target] if !target.is_empty() && !is_mode(target) => (Some(*source), *target, ""),
        [source, target, options] if !options.is_empty() => (Some(*source), *target, *options),
        _ => return Err(bad_volume(text, "three parts at most, none of them empty")),
    };
    let target = check_target(target).map_err(|why| bad_volume(text, &why))?;
    let options = VolumeOptions::parse(options).map_err(|why| bad_volume(text, &why))?;
    let source = match source {
        Some("") => return Err(bad_volume(text, "the source is empty")),
        Some(path) if path.starts_with(['/', '.']) => options.bind(base.join(path)),
        name => options.volume(name),
    };
    let source = source.map_err(|why| bad_volume(text, &why))?;
    Ok(MountSpec { target, source, read_only: options.read_only })
}

fn bad_volume(text: &str, why: &str) -> Failure {
    invalid(format!("invalid volume specification: '{}': {why}", text.escape_debug()))
        .hint("[SOURCE:]TARGET[:OPTIONS], SOURCE being an absolute path or a volume's name")
}

/// Whether `text` can only be options, so that `-v /path:ro` is reported as incomplete.
fn is_mode(text: &str) -> bool {
    VolumeOptions::parse(text).is_ok()
}

/// The third part of `-v`.
#[derive(Default)]
struct VolumeOptions {
    read_only: bool,
    no_copy: bool,
    propagation: Option<String>,
}

impl VolumeOptions {
    fn parse(text: &str) -> Result<Self, String> {
        let mut options = Self::default();
        // docker allows one option per group: access, relabelling, copying, propagation, consistency.
        let mut seen = [false; 5];
        for option in text.split(',').filter(|_| !text.is_empty()) {
            let group =
                options.set(option).ok_or_else(|| format!("invalid mode: {}", option.escape_debug()))?;
            if std::mem::replace(&mut seen[group], true) {
                return Err(format!("invalid mode: {text}: contradicting or repeated options"));
            }
        }
        Ok(options)
    }

    /// Applies an option and returns its group; each group may be set once.
    fn set(&mut self, option: &str) -> Option<usize> {
        match option {
            "rw" | "ro" => {
                self.read_only = option == "ro";
                Some(0)
            }
            // SELinux relabelling: nothing to do without SELinux or for an unprivileged user.
            "z" | "Z" => Some(1),
            "nocopy" => {
                self.no_copy = true;
                Some(2)
            }
            _ if PROPAGATIONS.contains(&option) => {
                self.propagation = Some(option.to_owned());
                Some(3)
            }
            // For Docker Desktop; a local mount is always consistent.
            "consistent" | "cached" | "delegated" | "default" => Some(4),
            _ => None,
        }
    }

    fn bind(&self, path: PathBuf) -> Result<MountSource, String> {
        if self.no_copy {
            return Err("nocopy is for volumes, and this is a path of the host".into());
        }
        Ok(MountSource::Bind {
            path: clean_host_path(&path)?,
            create: true,
            propagation: self.propagation.clone().unwrap_or_default(),
            recursive: true,
            recursive_writable: false,
            recursive_readonly_forced: false,
        })
    }

    fn volume(&self, name: Option<&str>) -> Result<MountSource, String> {
        if let Some(propagation) = &self.propagation {
            return Err(format!("{propagation} is for paths of the host, and this is a volume"));
        }
        volume_source(name.unwrap_or_default(), self.no_copy, None, VolumeSetup::default())
    }
}

/// The source for the volume `name`; anonymous if that is empty.
pub(super) fn volume_source(
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
pub(super) fn clean_host_path(path: &Path) -> Result<PathBuf, String> {
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
pub(super) fn check_propagation(text: &str) -> Result<String, String> {
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
pub(super) fn octal(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .ok_or_else(|| format!("`{}` is not an octal mode", text.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(text: &str) -> Result<MountSpec, Failure> {
        parse_volume(text, Path::new("/work dir"))
    }

    fn bind(text: &str) -> (String, String, bool, String) {
        match volume(text).unwrap() {
            MountSpec { target, read_only, source: MountSource::Bind { path, propagation, create, .. } } => {
                assert!(create);
                (path.display().to_string(), target, read_only, propagation)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn binds() {
        let expect = |a: &str, b: &str, ro, p: &str| (a.to_owned(), b.to_owned(), ro, p.to_owned());
        assert_eq!(bind("/a:/b"), expect("/a", "/b", false, ""));
        assert_eq!(bind("/a/:/b/:ro"), expect("/a", "/b", true, ""));
        assert_eq!(bind("/a:/b:ro,Z,rslave"), expect("/a", "/b", true, "rslave"));
        assert_eq!(bind("./a:/b/../c"), expect("/work dir/a", "/c", false, ""));
        assert_eq!(bind(".:/b"), expect("/work dir", "/b", false, ""));
        assert_eq!(bind("/a:/b:cached"), expect("/a", "/b", false, ""));
    }

    #[test]
    fn volumes() {
        let named = volume("data:/d:nocopy").unwrap().source;
        let expected = |name: Option<&str>, no_copy| MountSource::Volume {
            name: name.map(str::to_owned),
            anonymous: name.is_none(),
            no_copy,
            subpath: None,
            setup: VolumeSetup::default(),
        };
        assert_eq!(named, expected(Some("data"), true));
        assert_eq!(volume("/d").unwrap().source, expected(None, false));
    }

    #[test]
    fn refuses_what_docker_refuses() {
        for bad in [
            "",
            ":",
            "a:",
            ":/b",
            "/a:b",
            "/a:/b:",
            "/a:/b:xx",
            "/a:/b:ro:rw",
            "/a:/b:ro,rw",
            "/a:/",
            "/",
            "x:/b",
            "/a:ro",
            "data",
            "a/b:/c",
            "~/x:/y",
            "/a:/b:z,Z",
            "/a:/b:shared,private",
            "/a:/b:nocopy",
            "data:/d:shared",
            "/a:/b/..",
            "/a:/b:,",
            "/a:/b\0",
        ] {
            assert!(volume(bad).is_err(), "{bad}");
        }
    }

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
