//! `RUN --mount`.

use crate::build::suggest::did_you_mean;
use crate::error::{Failure, invalid};
use crate::model::bytes;

/// What is mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MountKind {
    /// A directory or file of the context, a stage or an image.
    #[default]
    Bind,
    /// A directory that is kept from build to build.
    Cache,
    /// An empty file system in memory.
    Tmpfs,
    /// A secret.
    Secret,
    /// The socket of an agent.
    Ssh,
}

impl MountKind {
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

/// Who may use a cache at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Everybody.
    #[default]
    Shared,
    /// One: others get a new one.
    Private,
    /// One: others wait.
    Locked,
}

/// A mount that was checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    /// What it is.
    pub kind: MountKind,
    /// The stage, context or image that it is taken from.
    pub from: Option<String>,
    /// The path there; for a secret its `id`, which may be written so.
    pub source: Option<String>,
    /// Where it is mounted.
    pub target: Option<String>,
    /// Whether it cannot be written to. What is written to a `bind` mount is dropped.
    pub read_only: bool,
    /// `id`, of caches, secrets and agents.
    pub id: Option<String>,
    /// Of caches.
    pub sharing: Sharing,
    /// Of secrets and agents: it has to be there.
    pub required: bool,
    /// Of `tmpfs`, in bytes.
    pub size: Option<u64>,
    /// Permissions.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// The variable that a secret is given in.
    pub env: Option<String>,
}

/// The keys that exist.
const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "target",
    "readonly",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "src",
    "dst",
    "destination",
    "ro",
    "rw",
    "readwrite",
    "env",
];

/// Refuses what is wrong whatever the variables in it turn out to be: one in `from`, which decides what is built.
pub(super) fn check_unexpanded(fields: &[(String, Option<String>)]) -> Result<(), Failure> {
    for (key, value) in fields {
        let variable = |value: &String| value.find('$').is_some_and(|at| at + 1 < value.len());
        if key == "from" && value.as_ref().is_some_and(variable) {
            let why = "'from' doesn't support variable expansion, define alias stage instead";
            return Err(invalid(why));
        }
    }
    Ok(())
}

/// Reads the fields of a mount, each value expanded by `expand`.
pub fn parse(
    fields: &[(String, Option<String>)],
    expand: &mut dyn FnMut(&str) -> Result<String, Failure>,
) -> Result<Mount, Failure> {
    let mut read = Read { mount: Mount::default(), writable: None, sharing: None };
    for (key, value) in fields {
        match value {
            Some(value) => read.pair(key, &expand(value)?)?,
            None => read.key(key)?,
        }
    }
    read.checked()
}

struct Read {
    mount: Mount,
    /// What `ro` and `rw` said.
    writable: Option<bool>,
    sharing: Option<Sharing>,
}

impl Read {
    /// A key without a value.
    fn key(&mut self, key: &str) -> Result<(), Failure> {
        match key {
            "readonly" | "ro" => self.writable = Some(false),
            "readwrite" | "rw" => self.writable = Some(true),
            "required" => {
                self.only(key, &[MountKind::Secret, MountKind::Ssh])?;
                self.mount.required = true;
            }
            _ => return Err(invalid(format!("invalid field '{key}' must be a key=value pair"))),
        }
        Ok(())
    }

    /// Refuses a key that only some kinds have.
    fn only(&self, key: &str, kinds: &[MountKind]) -> Result<(), Failure> {
        if kinds.contains(&self.mount.kind) {
            return Ok(());
        }
        Err(invalid(format!("unexpected key '{key}' for mount type '{}'", self.mount.kind.name())))
    }

    fn pair(&mut self, key: &str, value: &str) -> Result<(), Failure> {
        let text = || Some(value.to_owned()).filter(|value| !value.is_empty());
        let wrong = || invalid(format!("invalid value for {key}: {value}"));
        match key {
            "type" => self.mount.kind = kind(value)?,
            "from" => self.mount.from = text(),
            "source" | "src" => self.mount.source = text(),
            "target" | "dst" | "destination" => self.mount.target = text(),
            "id" => self.mount.id = text(),
            "readonly" | "ro" => self.writable = Some(!boolean(value).ok_or_else(wrong)?),
            "readwrite" | "rw" => self.writable = Some(boolean(value).ok_or_else(wrong)?),
            "required" => {
                self.only(key, &[MountKind::Secret, MountKind::Ssh])?;
                self.mount.required = boolean(value).ok_or_else(wrong)?;
            }
            "size" => {
                self.only(key, &[MountKind::Tmpfs])?;
                self.mount.size = Some(bytes::parse(value).map_err(|_| wrong())?);
            }
            "env" => {
                self.only(key, &[MountKind::Secret])?;
                self.mount.env = text();
            }
            "sharing" => self.sharing = Some(sharing(value)?),
            "mode" => self.mount.mode = Some(number(key, value, 8)?),
            "uid" => self.mount.uid = Some(number(key, value, 10)?),
            "gid" => self.mount.gid = Some(number(key, value, 10)?),
            _ => {
                let message = format!("unexpected key '{key}' in '{key}={value}'");
                return Err(invalid(did_you_mean(message, key, KEYS)));
            }
        }
        Ok(())
    }

    /// Refuses what does not go together.
    fn checked(self) -> Result<Mount, Failure> {
        let Self { mut mount, writable, sharing } = self;
        let name = mount.kind.name();
        let owned = matches!(mount.kind, MountKind::Secret | MountKind::Ssh | MountKind::Cache);
        let given = [("mode", mount.mode), ("uid", mount.uid), ("gid", mount.gid)];
        if let Some((key, _)) = given.iter().find(|(_, value)| value.is_some() && !owned) {
            return Err(invalid(format!("{key} not allowed for \"{name}\" type mounts")));
        }
        if mount.kind == MountKind::Secret {
            secret(&mount, sharing)?;
        }
        if sharing.is_some() && mount.kind != MountKind::Cache {
            return Err(invalid(format!("invalid cache sharing set for {name} mount")));
        }
        if mount.target.is_none() && !matches!(mount.kind, MountKind::Secret | MountKind::Ssh) {
            return Err(invalid(format!("invalid {name} mount: the target is missing"))
                .hint(format!("--mount=type={name},target=PATH")));
        }
        let by_itself = matches!(mount.kind, MountKind::Cache | MountKind::Tmpfs);
        mount.read_only = !writable.unwrap_or(by_itself);
        mount.sharing = sharing.unwrap_or_default();
        Ok(mount)
    }
}

fn secret(mount: &Mount, sharing: Option<Sharing>) -> Result<(), Failure> {
    if mount.from.is_some() {
        return Err(invalid("secret mount should not have a from"));
    }
    if sharing.is_some() {
        return Err(invalid("secret mount should not define sharing"));
    }
    if mount.source.is_none() && mount.target.is_none() && mount.id.is_none() {
        return Err(invalid("invalid secret mount. one of source, target required"));
    }
    if mount.source.is_some() && mount.id.is_some() {
        return Err(invalid("both source and id can't be set"));
    }
    Ok(())
}

fn kind(value: &str) -> Result<MountKind, Failure> {
    let kinds = [MountKind::Bind, MountKind::Cache, MountKind::Tmpfs, MountKind::Secret, MountKind::Ssh];
    kinds.into_iter().find(|kind| value.eq_ignore_ascii_case(kind.name())).ok_or_else(|| {
        let message = format!("unsupported mount type \"{}\"", value.escape_debug());
        invalid(did_you_mean(message, value, kinds.map(MountKind::name)))
    })
}

fn sharing(value: &str) -> Result<Sharing, Failure> {
    Ok(match value.to_ascii_lowercase().as_str() {
        "shared" => Sharing::Shared,
        "private" => Sharing::Private,
        "locked" => Sharing::Locked,
        _ => {
            let message = format!("unsupported sharing value \"{}\"", value.escape_debug());
            return Err(invalid(did_you_mean(message, value, ["shared", "private", "locked"])));
        }
    })
}

/// What Go's `strconv.ParseBool` takes.
fn boolean(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn number(key: &str, value: &str, radix: u32) -> Result<u32, Failure> {
    let digits = !value.is_empty() && value.chars().all(|c| c.is_ascii_digit());
    let number = u32::from_str_radix(value, radix).ok().filter(|_| digits);
    number.ok_or_else(|| invalid(format!("invalid value {value} for {key}")))
}
