//! `-v [SOURCE:]TARGET[:OPTIONS]`.
//!
//! Unlike `--mount type=bind`, which refuses it, `-v` creates a missing host directory.

use std::path::{Path, PathBuf};

use crate::mount::{
    MountSource, MountSpec, PROPAGATIONS, VolumeSetup, check_target, clean_host_path, volume_source,
};
use dhow_error::{Failure, invalid};

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
}
