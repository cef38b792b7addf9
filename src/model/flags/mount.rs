//! `--mount KEY=VALUE,…`.

use std::path::{Path, PathBuf};

use super::csv;
use crate::mount::{
    MountSource, MountSpec, VolumeSetup, check_propagation, check_target, clean_host_path, octal,
    volume_source,
};
use crate::volume::{self, VolumeBacking};
use crate::{boolean, bytes};
use dhow_error::{Failure, invalid};

/// Parses a `--mount` value; a source that starts with a dot is relative to `base`.
pub fn parse(text: &str, base: &Path) -> Result<MountSpec, Failure> {
    let mut fields = MountFields { kind: "volume".into(), ..MountFields::default() };
    for field in csv::fields(text)? {
        fields.set(&field).map_err(|why| bad_mount(text, &why))?;
    }
    fields.finish(base).map_err(|why| bad_mount(text, &why))
}

fn bad_mount(text: &str, why: &str) -> Failure {
    invalid(format!("invalid argument \"{}\" for \"--mount\" flag: {why}", text.escape_debug()))
}

/// The keys given; whether they fit the type is checked at the end, since it may come last.
#[derive(Default)]
struct MountFields {
    kind: String,
    source: String,
    target: String,
    read_only: bool,
    bind: BindFields,
    volume: VolumeFields,
    tmpfs: TmpfsFields,
}

#[derive(Default)]
struct BindFields {
    given: bool,
    propagation: String,
    recursive: Option<String>,
    create: bool,
}

#[derive(Default)]
struct VolumeFields {
    given: bool,
    no_copy: bool,
    subpath: Option<String>,
    setup: VolumeSetup,
}

#[derive(Default)]
struct TmpfsFields {
    given: bool,
    size: Option<u64>,
    mode: Option<u32>,
}

impl MountFields {
    fn set(&mut self, field: &str) -> Result<(), String> {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_ascii_lowercase(), Some(value)),
            None => (field.to_ascii_lowercase(), None),
        };
        let needed = || value.ok_or_else(|| format!("invalid field '{field}' must be a key=value pair"));
        let switch = || boolean_key(&key, value);
        match key.as_str() {
            "type" => self.kind = needed()?.to_ascii_lowercase(),
            "source" | "src" => self.source = needed()?.to_owned(),
            "target" | "dst" | "destination" => self.target = needed()?.to_owned(),
            "readonly" | "ro" => self.read_only = switch()?,
            // For Docker Desktop; a local mount is always consistent.
            "consistency" => consistency(needed()?)?,
            // Keys of other types are stored and reported at the end, when the type is known.
            _ if key.starts_with("bind-") => self.bind.set(&key, value)?,
            _ if key.starts_with("volume-") => self.volume.set(&key, value)?,
            _ if key.starts_with("tmpfs-") => self.tmpfs.set(&key, needed()?)?,
            _ => return Err(unknown_key(field, &key)),
        }
        Ok(())
    }

    fn finish(self, base: &Path) -> Result<MountSpec, String> {
        if self.target.is_empty() {
            return Err("target is required".into());
        }
        let target = check_target(&self.target)?;
        for (given, family) in
            [(self.bind.given, "bind"), (self.volume.given, "volume"), (self.tmpfs.given, "tmpfs")]
        {
            if given && family != self.kind {
                return Err(format!("cannot mix '{family}-*' options with mount type '{}'", self.kind));
            }
        }
        let read_only = self.read_only;
        let source = match self.kind.as_str() {
            "bind" => self.bind.finish(base.join(&self.source), &self.source, read_only)?,
            "volume" => self.volume.finish(&self.source)?,
            "tmpfs" if !self.source.is_empty() => return Err("a tmpfs has no source".into()),
            "tmpfs" => {
                MountSource::Tmpfs { size: self.tmpfs.size, mode: self.tmpfs.mode, options: Vec::new() }
            }
            "image" | "npipe" | "cluster" => {
                return Err(format!("mount type '{}' is not in this version", self.kind));
            }
            other => return Err(format!("mount type unknown: \"{}\"", other.escape_debug())),
        };
        Ok(MountSpec { target, source, read_only })
    }
}

impl BindFields {
    fn set(&mut self, key: &str, value: Option<&str>) -> Result<(), String> {
        self.given = true;
        let needed = || value.ok_or_else(|| format!("invalid field '{key}' must be a key=value pair"));
        match key {
            "bind-propagation" => self.propagation = check_propagation(&needed()?.to_ascii_lowercase())?,
            "bind-recursive" => self.recursive = Some(recursion(needed()?)?),
            "bind-nonrecursive" => {
                self.recursive =
                    Some(if boolean_key(key, value)? { "disabled" } else { "enabled" }.to_owned());
            }
            "bind-create-src" => self.create = boolean_key(key, value)?,
            _ => return Err(unknown_key(key, key)),
        }
        Ok(())
    }

    fn finish(self, path: PathBuf, source: &str, read_only: bool) -> Result<MountSource, String> {
        if source.is_empty() {
            return Err("source is required for a bind mount".into());
        }
        if !source.starts_with(['/', '.']) {
            return Err(format!(
                "invalid mount path: '{}' mount path must be absolute",
                source.escape_debug()
            ));
        }
        let mode = self.recursive.as_deref().unwrap_or("enabled");
        if matches!(mode, "writable" | "readonly") && !read_only {
            return Err(format!(
                "option 'bind-recursive={mode}' requires 'readonly' to be specified in conjunction"
            ));
        }
        // Otherwise writable mounts could propagate into the tree afterwards.
        if mode == "readonly" && self.propagation != "rprivate" {
            return Err("option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction".into());
        }
        Ok(MountSource::Bind {
            path: clean_host_path(&path)?,
            create: self.create,
            recursive: mode != "disabled",
            recursive_writable: mode == "writable",
            recursive_readonly_forced: mode == "readonly",
            propagation: self.propagation,
        })
    }
}

impl VolumeFields {
    fn set(&mut self, key: &str, value: Option<&str>) -> Result<(), String> {
        self.given = true;
        let needed = || value.ok_or_else(|| format!("invalid field '{key}' must be a key=value pair"));
        match key {
            "volume-nocopy" => self.no_copy = boolean_key(key, value)?,
            "volume-subpath" => self.subpath = Some(needed()?.to_owned()),
            "volume-driver" => volume::check_driver(needed()?).map_err(|why| why.to_string())?,
            "volume-label" => {
                let (name, value) = pair(key, needed()?)?;
                self.setup.labels.insert(name, value);
            }
            "volume-opt" => {
                let (name, value) = pair(key, needed()?)?;
                self.setup.options.insert(name, value);
            }
            _ => return Err(unknown_key(key, key)),
        }
        Ok(())
    }

    fn finish(self, name: &str) -> Result<MountSource, String> {
        // Only validated here; the store parses it when it creates the volume.
        VolumeBacking::parse(&self.setup.options).map_err(|why| why.to_string())?;
        volume_source(name, self.no_copy, self.subpath, self.setup)
    }
}

/// A nested pair; the value defaults to empty.
fn pair(key: &str, text: &str) -> Result<(String, String), String> {
    match text.split_once('=').unwrap_or((text, "")) {
        ("", _) => Err(format!("invalid value for {key}: {}", text.escape_debug())),
        (name, value) => Ok((name.to_owned(), value.to_owned())),
    }
}

impl TmpfsFields {
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        self.given = true;
        let bad = |_| format!("invalid value for {key}: {}", value.escape_debug());
        match key {
            "tmpfs-size" => self.size = Some(bytes::parse(value).map_err(|why| bad(why.to_string()))?),
            "tmpfs-mode" => self.mode = Some(octal(value).map_err(bad)?),
            _ => return Err(unknown_key(key, key)),
        }
        Ok(())
    }
}

fn recursion(text: &str) -> Result<String, String> {
    match text {
        "enabled" | "disabled" | "writable" | "readonly" => Ok(text.to_owned()),
        _ => Err(format!(
            "invalid value for bind-recursive: {} (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")",
            text.escape_debug()
        )),
    }
}

fn consistency(text: &str) -> Result<(), String> {
    match text.to_ascii_lowercase().as_str() {
        "consistent" | "cached" | "delegated" | "default" => Ok(()),
        _ => Err(format!("invalid value for consistency: {}", text.escape_debug())),
    }
}

/// A boolean key, alone or with a value for Go's `strconv.ParseBool`.
fn boolean_key(key: &str, value: Option<&str>) -> Result<bool, String> {
    let Some(text) = value else { return Ok(true) };
    boolean::parse(text).ok_or_else(|| format!("invalid value for {key}: {}", text.escape_debug()))
}

fn unknown_key(field: &str, key: &str) -> String {
    match field.contains('=') || key.contains('-') {
        true => format!("unexpected key '{}' in '{}'", key.escape_debug(), field.escape_debug()),
        false => format!("invalid field '{}' must be a key=value pair", field.escape_debug()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(text: &str) -> Result<MountSpec, Failure> {
        parse(text, Path::new("/here"))
    }

    fn plain_bind(path: &str) -> MountSource {
        MountSource::Bind {
            path: path.into(),
            create: false,
            propagation: String::new(),
            recursive: true,
            recursive_writable: false,
            recursive_readonly_forced: false,
        }
    }

    #[test]
    fn binds_with_aliases() {
        for text in [
            "type=bind,source=/a,target=/b,readonly",
            "TYPE=bind,src=/a,dst=/b,ro=true",
            "type=bind,\"src=/a\",destination=/b,readonly=1,consistency=cached",
        ] {
            let spec = mount(text).unwrap();
            assert_eq!(spec, MountSpec { target: "/b".into(), source: plain_bind("/a"), read_only: true });
        }
        assert_eq!(mount("type=bind,src=./a,dst=/b,ro=false").unwrap().source, plain_bind("/here/a"));
        assert_eq!(mount("type=bind,\"src=/a,b\",dst=/b").unwrap().source, plain_bind("/a,b"));
    }

    #[test]
    fn recursion_modes() {
        let source = mount("type=bind,src=/a,dst=/b,bind-recursive=disabled").unwrap().source;
        assert!(matches!(source, MountSource::Bind { recursive: false, .. }));
        let text = "type=bind,src=/a,dst=/b,ro,bind-recursive=readonly,bind-propagation=rprivate";
        assert!(matches!(
            mount(text).unwrap().source,
            MountSource::Bind { recursive_readonly_forced: true, .. }
        ));
        assert!(mount("type=bind,src=/a,dst=/b,bind-recursive=readonly").is_err());
        assert!(mount("type=bind,src=/a,dst=/b,bind-recursive=writable").is_err());
    }

    #[test]
    fn volumes_and_tmpfs() {
        let volume = mount("source=data,target=/d,volume-nocopy,volume-subpath=x/y").unwrap().source;
        let subpath = Some("x/y".to_owned());
        assert_eq!(
            volume,
            MountSource::Volume {
                name: Some("data".into()),
                anonymous: false,
                no_copy: true,
                subpath,
                setup: VolumeSetup::default()
            }
        );
        assert!(matches!(
            mount("type=volume,dst=/d").unwrap().source,
            MountSource::Volume { anonymous: true, .. }
        ));
        let text = "src=data,dst=/d,volume-driver=local,volume-label=a=b,volume-opt=type=tmpfs,volume-opt=device=tmpfs";
        let MountSource::Volume { setup, .. } = mount(text).unwrap().source else { panic!() };
        assert_eq!(setup.labels["a"], "b");
        assert_eq!((setup.options["type"].as_str(), setup.options["device"].as_str()), ("tmpfs", "tmpfs"));
        let tmpfs = mount("type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=700").unwrap().source;
        assert_eq!(tmpfs, MountSource::Tmpfs { size: Some(1 << 20), mode: Some(0o700), options: Vec::new() });
    }

    #[test]
    fn refuses_what_docker_refuses() {
        for bad in [
            "",
            "/a:/b",
            "type=bind",
            "type=bind,src=/a",
            "type=bind,dst=/b",
            "type=bind,src=a,dst=/b",
            "type=bind,src=/a,dst=b",
            "type=foo,src=/a,dst=/b",
            "type=bind,src=/a,dst=/b,foo=bar",
            "type=bind,src=/a,dst=/b,foo",
            "type=bind,src=/a,dst=/b,readonly=no",
            "type=bind,src=/a,dst=/b,volume-nocopy=true",
            "type=volume,src=ab,dst=/b,bind-propagation=shared",
            "type=volume,src=a/b,dst=/b",
            "type=bind,src=/a,dst=/b,bind-propagation=foo",
            "type=tmpfs,dst=/t,src=/a",
            "type=tmpfs,dst=/t,tmpfs-mode=8",
            "type=tmpfs,dst=/t,tmpfs-size=big",
            "type=volume,dst=/d,volume-driver=nfs",
            "type=volume,dst=/d,volume-opt=type=nfs,volume-opt=device=:/x",
            "type=volume,dst=/d,volume-label==x",
            "type=bind,source,dst=/b",
            "type=bind,src=/a,dst=/",
        ] {
            assert!(mount(bad).is_err(), "{bad}");
        }
    }
}
