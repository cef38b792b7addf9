//! Volumes: the options of docker's `local` driver, as far as an unprivileged user can use them.
//!
//! docker mounts what the options name as root. Here a volume can be a directory of the store or the host, or
//! a tmpfs; options that need root (NFS, a block device, a quota) are refused on creation, not on use.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::mount::{MountSource, clean_host_path, parse_tmpfs};
use dhow_error::{Failure, invalid, not_found, unsupported};

/// The only driver.
pub const DRIVER: &str = "local";
/// docker's label for anonymous volumes.
pub const ANONYMOUS_LABEL: &str = "com.docker.volume.anonymous";

/// Driver options, or labels.
pub type StringMap = BTreeMap<String, String>;

/// Where a volume's files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeBacking {
    Store,
    Bind(BindBacking),
    /// A tmpfs, empty at each start of a container.
    Memory {
        read_only: bool,
        /// A [`MountSource::Tmpfs`].
        source: MountSource,
    },
}

/// A host directory with its mount options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "one flag an attribute, as mount(8) has them")]
pub struct BindBacking {
    /// Absolute.
    pub path: PathBuf,
    /// Include submounts (`rbind`).
    pub recursive: bool,
    pub read_only: bool,
    pub nosuid: bool,
    pub nodev: bool,
    pub noexec: bool,
}

/// Fails for drivers other than [`DRIVER`]; empty means the default.
pub fn check_driver(driver: &str) -> Result<(), Failure> {
    if driver.is_empty() || driver == DRIVER {
        return Ok(());
    }
    let driver = driver.escape_debug();
    Err(not_found(format!("error looking up volume plugin {driver}: plugin \"{driver}\" not found"))
        .hint("dhow has the driver `local` and no plugins"))
}

impl VolumeBacking {
    /// Parses the driver's options.
    pub fn parse(options: &StringMap) -> Result<Self, Failure> {
        if options.is_empty() {
            return Ok(Self::Store);
        }
        if let Some(unknown) =
            options.keys().find(|key| !["type", "o", "device", "size"].contains(&key.as_str()))
        {
            return Err(invalid(format!("invalid option: \"{}\"", unknown.escape_debug())));
        }
        if options.contains_key("size") {
            return Err(unsupported("quota size requested but no quota support")
                .hint("only root can set quotas; -o type=tmpfs -o device=tmpfs -o o=size=64m bounds a volume in memory"));
        }
        // docker's rule: type and device come together, and `o` needs both.
        for (option, required) in [("device", "type"), ("type", "device"), ("o", "device"), ("o", "type")] {
            if options.contains_key(option) && !options.contains_key(required) {
                return Err(invalid(format!("missing required option: \"{required}\"")));
            }
        }
        let get = |name: &str| options.get(name).map_or("", String::as_str);
        Self::of(get("type"), get("device"), get("o"))
    }

    fn of(kind: &str, device: &str, options: &str) -> Result<Self, Failure> {
        let words: Vec<&str> = options.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
        let binds = words.iter().any(|word| matches!(*word, "bind" | "rbind"));
        match kind {
            "tmpfs" => memory(&words),
            _ if binds => Ok(Self::Bind(BindBacking::parse(device, &words)?)),
            "none" | "bind" => {
                Err(invalid(format!("a volume of type {kind} needs -o o=bind: a directory is all it can be")))
            }
            other => {
                let message =
                    format!("a volume of type {} can be mounted by root only", other.escape_debug());
                Err(unsupported(message)
                    .hint("mount it on the host, then use -o type=none -o o=bind -o device=DIRECTORY"))
            }
        }
    }
}

fn memory(words: &[&str]) -> Result<VolumeBacking, Failure> {
    let spec = parse_tmpfs(&format!("/volume:{}", words.join(",")))
        .map_err(|why| invalid(format!("the option o of a volume of type tmpfs: {why}")))?;
    let MountSource::Tmpfs { size, mode, options: requested } = spec.source else {
        return Ok(VolumeBacking::Store);
    };
    // Unlike `--tmpfs`, a volume allows exec, suid and dev by default.
    let options = ["exec", "suid", "dev"].map(str::to_owned).into_iter().chain(requested).collect();
    let source = MountSource::Tmpfs { size, mode, options };
    Ok(VolumeBacking::Memory { read_only: spec.read_only, source })
}

impl BindBacking {
    fn parse(device: &str, words: &[&str]) -> Result<Self, Failure> {
        let path =
            clean_host_path(Path::new(device)).map_err(|why| invalid(format!("the option device: {why}")))?;
        let mut bind = Self { path, ..Self::default() };
        for word in words {
            bind.set(word)?;
        }
        Ok(bind)
    }

    fn set(&mut self, word: &str) -> Result<(), Failure> {
        match word {
            "bind" => {}
            "rbind" => self.recursive = true,
            "ro" | "rw" => self.read_only = word == "ro",
            "nosuid" | "suid" => self.nosuid = word == "nosuid",
            "nodev" | "dev" => self.nodev = word == "nodev",
            "noexec" | "exec" => self.noexec = word == "noexec",
            // Times and sync are determined by the host's mount; a bind inherits them.
            "defaults" | "atime" | "noatime" | "diratime" | "nodiratime" | "relatime" | "strictatime"
            | "async" | "sync" | "private" | "rprivate" => {}
            other => {
                let message =
                    format!("the option o of a volume: `{}` cannot be had for a bind", other.escape_debug());
                return Err(invalid(message).hint("bind, rbind, ro, rw, nosuid, nodev, noexec"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<VolumeBacking, Failure> {
        VolumeBacking::parse(&pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn directories_and_memory_can_be_had() {
        assert_eq!(parse(&[]).unwrap(), VolumeBacking::Store);
        let bind = parse(&[("type", "none"), ("o", "rbind,ro,noexec"), ("device", "/srv//data/")]).unwrap();
        let expected = BindBacking {
            path: "/srv/data".into(),
            recursive: true,
            read_only: true,
            noexec: true,
            ..Default::default()
        };
        assert_eq!(bind, VolumeBacking::Bind(expected));
        let memory = parse(&[("type", "tmpfs"), ("o", "size=1m,uid=1000,ro"), ("device", "tmpfs")]).unwrap();
        let VolumeBacking::Memory { read_only: true, source: MountSource::Tmpfs { size, options, .. } } =
            memory
        else {
            panic!("{memory:?}")
        };
        assert_eq!(size, Some(1 << 20));
        assert_eq!(options, ["exec", "suid", "dev", "uid=1000"]);
    }

    #[test]
    fn what_needs_root_or_is_nonsense_is_refused() {
        for (pairs, why) in [
            (&[("type", "nfs"), ("o", "addr=192.0.2.1,rw"), ("device", ":/path")][..], "by root only"),
            (&[("type", "ext4"), ("device", "/dev/sda1")], "by root only"),
            (&[("type", "none"), ("device", "/x")], "o=bind"),
            (&[("type", "none"), ("o", "bind"), ("device", "x")], "absolute"),
            (&[("type", "none"), ("o", "bind,addr=1"), ("device", "/x")], "addr=1"),
            (&[("type", "none"), ("o", "bind")], "missing required option: \"device\""),
            (&[("device", "/x"), ("o", "bind")], "missing required option: \"type\""),
            (&[("o", "bind")], "missing required option"),
            (&[("type", "tmpfs"), ("o", "size=huge"), ("device", "tmpfs")], "huge"),
            (&[("size", "1g")], "quota"),
            (&[("foo", "bar")], "invalid option: \"foo\""),
        ] {
            let error = parse(pairs).unwrap_err().to_string();
            assert!(error.contains(why), "{pairs:?}: {error}");
        }
        assert!(check_driver("local").is_ok() && check_driver("").is_ok());
        assert!(check_driver("nfs").unwrap_err().to_string().contains("plugin \"nfs\" not found"));
    }
}
