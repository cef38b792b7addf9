//! `RUN --mount`: keys and rules of BuildKit's frontend
//! (`frontend/dockerfile/instructions/commands_runmount.go`).

use serde::{Deserialize, Serialize};

use crate::path_pattern::clean_join;
use crate::suggest::did_you_mean;
use dhow_error::{Failure, invalid};
use dhow_model::{boolean, bytes};

/// The type of a mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunMountKind {
    /// Files of a context, stage or image.
    #[default]
    Bind,
    /// A directory that persists between builds.
    Cache,
    Tmpfs,
    /// A secret, as a file or an environment variable.
    Secret,
    /// An SSH agent's socket.
    Ssh,
}

impl RunMountKind {
    fn name(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Cache => "cache",
            Self::Tmpfs => "tmpfs",
            Self::Secret => "secret",
            Self::Ssh => "ssh",
        }
    }
}

/// Concurrent use of a cache mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheSharingMode {
    /// Several steps at once.
    #[default]
    Shared,
    /// A separate cache for each concurrent step.
    Private,
    /// One step at a time; others wait.
    Locked,
}

/// A mount with all defaults filled in. Part of the cache key in its serialised form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunMountSpec {
    pub kind: RunMountKind,
    /// Absolute; empty for a secret that is only an environment variable.
    pub target: String,
    /// Stage, image or named context, as written. `None` is the main context for a bind mount, and an empty
    /// directory for a cache.
    pub from: Option<String>,
    /// Path in `from`, absolute and clean.
    pub source: String,
    /// Writes to a writable bind mount are discarded after the step.
    pub read_only: bool,
    /// Of a cache, secret or SSH agent.
    pub id: String,
    /// Of a cache.
    pub sharing: CacheSharingMode,
    /// Fail if the secret or agent was not given.
    pub required: bool,
    /// Of a tmpfs, in bytes; 0 for the kernel's default.
    pub size: u64,
    /// Of a secret, a socket, or a newly created cache.
    pub mode: Option<u32>,
    pub uid: u32,
    pub gid: u32,
    /// The environment variable for a secret.
    pub env: Option<String>,
}

impl RunMountSpec {
    /// Whether it mounts, or starts with, files of a stage, an image or a context.
    pub(crate) fn has_input(&self) -> bool {
        needs_input(self.kind, self.from.is_some())
    }
}

/// Whether a mount of this kind has files to begin with; `has_from` says whether the mount has a `from`.
pub(crate) fn needs_input(kind: RunMountKind, has_from: bool) -> bool {
    match kind {
        RunMountKind::Bind => true,
        RunMountKind::Cache => has_from,
        RunMountKind::Tmpfs | RunMountKind::Secret | RunMountKind::Ssh => false,
    }
}

const KEYS: &[&str] = &[
    "type",
    "from",
    "source",
    "src",
    "target",
    "dst",
    "destination",
    "readonly",
    "ro",
    "readwrite",
    "rw",
    "required",
    "size",
    "id",
    "sharing",
    "mode",
    "uid",
    "gid",
    "env",
];

/// Parses the pairs of one `--mount`, whose values are expanded. Relative targets are below `workdir`; where it
/// is not known (`None`) the target stays as it is written.
pub fn parse(pairs: &[(String, Option<String>)], workdir: Option<&str>) -> Result<RunMountSpec, Failure> {
    let mut parser = RunMountParser::default();
    // First pass: which keys are allowed depends on the type, wherever it stands.
    for (key, value) in pairs {
        if let (true, Some(value)) = (key.eq_ignore_ascii_case("type"), value) {
            parser.mount.kind = kind(value)?;
        }
    }
    for (key, value) in pairs {
        parser.set_key(key, value.as_deref())?;
    }
    parser.complete(workdir)
}

/// Parses the value of `type`, whatever its case.
pub(crate) fn kind(text: &str) -> Result<RunMountKind, Failure> {
    let kinds = [
        RunMountKind::Bind,
        RunMountKind::Cache,
        RunMountKind::Tmpfs,
        RunMountKind::Secret,
        RunMountKind::Ssh,
    ];
    kinds.into_iter().find(|kind| text.eq_ignore_ascii_case(kind.name())).ok_or_else(|| {
        let message =
            did_you_mean(format!("unsupported mount type {text:?}"), text, kinds.map(RunMountKind::name));
        invalid(message).hint("bind, cache, tmpfs, secret or ssh")
    })
}

/// The keys given so far.
#[derive(Default)]
struct RunMountParser {
    mount: RunMountSpec,
    read_only: Option<bool>,
    sharing: Option<CacheSharingMode>,
    required: Option<bool>,
    uid: Option<u32>,
    gid: Option<u32>,
}

impl RunMountParser {
    fn set_key(&mut self, written: &str, value: Option<&str>) -> Result<(), Failure> {
        let key = written.to_ascii_lowercase();
        let kind = self.mount.kind;
        let unexpected = || invalid(format!("unexpected key '{key}' for mount type '{}'", kind.name()));
        let required_value = || {
            value.ok_or_else(|| {
                invalid(format!("invalid field '{}' must be a key=value pair", written.escape_debug()))
            })
        };
        let parse_bool = |value: Option<&str>| match value {
            None => Ok(true),
            Some(value) => boolean::parse(value)
                .ok_or_else(|| invalid(format!("invalid value for {key}: {}", value.escape_debug()))),
        };
        match key.as_str() {
            // Read in the first pass.
            "type" => drop(required_value()?),
            "readonly" | "ro" => self.read_only = Some(parse_bool(value)?),
            // Of `ro` and `rw` the last one counts.
            "readwrite" | "rw" => self.read_only = Some(!parse_bool(value)?),
            "required" if matches!(kind, RunMountKind::Secret | RunMountKind::Ssh) => {
                self.required = Some(parse_bool(value)?)
            }
            "required" => return Err(unexpected()),
            "from" => self.mount.from = Some(required_value()?.to_owned()).filter(|from| !from.is_empty()),
            "source" | "src" => required_value()?.clone_into(&mut self.mount.source),
            "target" | "dst" | "destination" => required_value()?.clone_into(&mut self.mount.target),
            "size" if kind == RunMountKind::Tmpfs => {
                let value = required_value()?;
                self.mount.size = bytes::parse(value)
                    .map_err(|_| invalid(format!("invalid value for {key}: {}", value.escape_debug())))?;
            }
            "size" => return Err(unexpected()),
            "id" => required_value()?.clone_into(&mut self.mount.id),
            "sharing" => self.sharing = Some(sharing(required_value()?)?),
            "mode" => self.mount.mode = Some(number(required_value()?, 8, "mode")?),
            "uid" => self.uid = Some(number(required_value()?, 10, "uid")?),
            "gid" => self.gid = Some(number(required_value()?, 10, "gid")?),
            "env" => self.mount.env = Some(required_value()?.to_owned()).filter(|name| !name.is_empty()),
            _ => return Err(unknown(written, value)),
        }
        Ok(())
    }

    fn complete(mut self, workdir: Option<&str>) -> Result<RunMountSpec, Failure> {
        let kind = self.mount.kind;
        if !matches!(kind, RunMountKind::Secret | RunMountKind::Ssh | RunMountKind::Cache) {
            let ownership = [("mode", self.mount.mode), ("uid", self.uid), ("gid", self.gid)];
            if let Some((name, _)) = ownership.iter().find(|(_, value)| value.is_some()) {
                return Err(invalid(format!("{name} not allowed for {:?} type mounts", kind.name())));
            }
        }
        if self.sharing.is_some() && kind != RunMountKind::Cache {
            return Err(invalid(format!("invalid cache sharing set for {} mount", kind.name())));
        }
        self.mount.sharing = self.sharing.unwrap_or_default();
        // As in BuildKit, only caches and tmpfs are writable unless the keys say otherwise.
        self.mount.read_only =
            self.read_only.unwrap_or(!matches!(kind, RunMountKind::Cache | RunMountKind::Tmpfs));
        self.mount.required = self.required.unwrap_or(false);
        (self.mount.uid, self.mount.gid) = (self.uid.unwrap_or(0), self.gid.unwrap_or(0));
        if self.mount.env.is_some() && kind != RunMountKind::Secret {
            return Err(invalid(format!("unexpected key 'env' for mount type '{}'", kind.name())));
        }
        match kind {
            RunMountKind::Secret => self.secret()?,
            RunMountKind::Ssh => self.ssh()?,
            // Like BuildKit: two cache mounts at the same target share their files, unless they have IDs.
            RunMountKind::Cache if self.mount.id.is_empty() => {
                self.mount.id = clean_join("/", &self.mount.target)
            }
            _ => {}
        }
        let mut mount = self.mount;
        mount.source = match kind {
            RunMountKind::Bind | RunMountKind::Cache => clean_join("/", &mount.source),
            _ => String::new(),
        };
        if let Some(workdir) = workdir
            && !(mount.target.is_empty() && matches!(kind, RunMountKind::Secret))
        {
            mount.target = clean_join(workdir, &mount.target);
        }
        // A mount over the root would hide the whole image.
        if mount.target == "/" {
            return Err(invalid("invalid mount target \"/\""));
        }
        Ok(mount)
    }

    fn secret(&mut self) -> Result<(), Failure> {
        let mount = &mut self.mount;
        if mount.from.is_some() {
            return Err(invalid("secret mount should not have a from"));
        }
        match (mount.source.is_empty(), mount.id.is_empty()) {
            (false, false) => return Err(invalid("both source and id can't be set")),
            (false, true) => mount.id = std::mem::take(&mut mount.source),
            (true, true) if mount.target.is_empty() => {
                return Err(invalid("invalid secret mount. one of source, target required"));
            }
            (true, true) => mount.id = base_name(&mount.target),
            (true, false) => {}
        }
        if mount.target.is_empty() && mount.env.is_none() {
            // BuildKit's default locations for secrets and agents.
            mount.target = format!("/run/secrets/{}", base_name(&mount.id));
        }
        Ok(())
    }

    fn ssh(&mut self) -> Result<(), Failure> {
        let mount = &mut self.mount;
        if !mount.source.is_empty() {
            return Err(invalid("ssh does not support source"));
        }
        if mount.from.is_some() {
            return Err(invalid("ssh mount should not have a from"));
        }
        if mount.id.is_empty() {
            mount.id = "default".into();
        }
        if mount.target.is_empty() {
            mount.target = "/run/buildkit/ssh_agent".into();
        }
        Ok(())
    }
}

fn unknown(key: &str, value: Option<&str>) -> Failure {
    let field = value.map_or_else(|| key.to_owned(), |value| format!("{key}={value}"));
    let message = format!("unexpected key '{}' in '{}'", key.escape_debug(), field.escape_debug());
    invalid(did_you_mean(message, key, KEYS.iter().copied()))
        .hint(format!("the keys are {}", KEYS.join(", ")))
}

fn sharing(text: &str) -> Result<CacheSharingMode, Failure> {
    match text.to_ascii_lowercase().as_str() {
        "shared" => Ok(CacheSharingMode::Shared),
        "private" => Ok(CacheSharingMode::Private),
        "locked" => Ok(CacheSharingMode::Locked),
        _ => {
            let message = format!("unsupported sharing value {text:?}");
            let message = did_you_mean(message, text, ["shared", "private", "locked"]);
            Err(invalid(message).hint("shared, private or locked"))
        }
    }
}

fn number(text: &str, radix: u32, name: &str) -> Result<u32, Failure> {
    u32::from_str_radix(text, radix)
        .map_err(|_| invalid(format!("invalid value {} for {name}", text.escape_debug())))
}

/// The last component of a path.
fn base_name(path: &str) -> String {
    path.rsplit('/').find(|part| !part.is_empty()).unwrap_or("/").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<RunMountSpec, String> {
        let pair = |field: &str| match field.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (field.to_owned(), None),
        };
        let pairs: Vec<_> = text.split(',').map(pair).collect();
        parse(&pairs, Some("/work/dir")).map_err(|failure| failure.to_string())
    }

    #[test]
    fn defaults_are_those_of_each_kind() {
        let bind = read("target=x").unwrap();
        assert_eq!(
            (bind.kind, bind.target.as_str(), bind.source.as_str()),
            (RunMountKind::Bind, "/work/dir/x", "/")
        );
        assert!(bind.read_only && !read("target=x,rw").unwrap().read_only);
        assert!(
            !read("target=/x,ro=false").unwrap().read_only && !read("target=/x,rw=true").unwrap().read_only
        );
        assert_eq!(read("source=a/../b").unwrap().target, "/work/dir");
        let cache = read("type=cache,target=/root/.cache/,sharing=locked").unwrap();
        assert_eq!((cache.id.as_str(), cache.sharing), ("/root/.cache", CacheSharingMode::Locked));
        assert!(!cache.read_only && cache.target == "/root/.cache");
        assert_eq!(read("type=tmpfs,target=/t,size=1g").unwrap().size, 1 << 30);
        let secret = read("type=secret,id=aws.key").unwrap();
        assert_eq!((secret.id.as_str(), secret.target.as_str()), ("aws.key", "/run/secrets/aws.key"));
        assert_eq!(read("type=secret,target=/etc/key").unwrap().id, "key");
        let variable = read("type=secret,id=t,env=TOKEN,required").unwrap();
        assert!(variable.target.is_empty() && variable.required);
        let ssh = read("type=ssh,mode=0666,uid=7").unwrap();
        assert_eq!((ssh.id.as_str(), ssh.mode, ssh.uid), ("default", Some(0o666), 7));
        // The type may come last.
        assert!(read("required=true,type=secret,id=x").unwrap().required);
    }

    #[test]
    fn what_buildkit_refuses_is_refused_in_its_words() {
        for (text, words) in [
            ("type=volume,target=/x", "unsupported mount type \"volume\""),
            ("target=/", "invalid mount target \"/\""),
            ("target=/a/..", "invalid mount target \"/\""),
            ("target=/x,uid=1", "uid not allowed for \"bind\" type mounts"),
            ("type=tmpfs,target=/x,mode=1", "mode not allowed for \"tmpfs\" type mounts"),
            ("target=/x,size=1", "unexpected key 'size' for mount type 'bind'"),
            ("target=/x,sharing=shared", "invalid cache sharing set for bind mount"),
            ("type=cache,target=/x,sharing=some", "unsupported sharing value \"some\""),
            ("type=cache,target=/x,required", "unexpected key 'required' for mount type 'cache'"),
            ("type=secret", "invalid secret mount. one of source, target required"),
            ("type=secret,from=a,id=b", "secret mount should not have a from"),
            ("type=secret,source=a,id=b", "both source and id can't be set"),
            ("type=ssh,source=a", "ssh does not support source"),
            ("type=secret,id=x,mode=9", "invalid value 9 for mode"),
            ("target=/x,colour=1", "unexpected key 'colour' in 'colour=1'"),
            ("targt=/x", "unexpected key 'targt' in 'targt=/x' (did you mean target?)"),
            ("type=chache,target=/x", "unsupported mount type \"chache\" (did you mean cache?)"),
            ("target", "invalid field 'target' must be a key=value pair"),
            ("target=/x,ro=maybe", "invalid value for ro: maybe"),
        ] {
            assert_eq!(read(text).unwrap_err(), words, "{text}");
        }
    }
}
