//! Parses `--pid`, `--ipc`, `--uts`, `--cgroupns` and `--userns`.

use std::str::FromStr;

use crate::container::{IpcMode, UsernsMode};
use dhow_error::{Failure, invalid};

/// Returns whether the host's namespace is shared (`host`) or not (empty, `private`); `flag` is for the
/// error.
pub fn parse_host_or_private(text: &str, flag: &str) -> Result<bool, Failure> {
    match text {
        "" | "private" => Ok(false),
        "host" => Ok(true),
        _ => {
            Err(invalid(format!("{flag}: invalid mode `{}`", text.escape_debug()))
                .hint("host, or leave it out"))
        }
    }
}

/// The container of `container:NAME`; `None` if it is something else.
pub fn parse_container(text: &str, flag: &str) -> Result<Option<String>, Failure> {
    match text.strip_prefix("container:") {
        None => Ok(None),
        Some("") => Err(invalid(format!("{flag}: the container's name is missing behind `container:`"))),
        Some(name) => Ok(Some(name.to_owned())),
    }
}

impl FromStr for IpcMode {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        if let Some(name) = parse_container(text, "--ipc")? {
            return Ok(Self::Container(name));
        }
        match text {
            "" | "private" => Ok(Self::Private),
            "shareable" => Ok(Self::Shareable),
            "none" => Ok(Self::None),
            "host" => Ok(Self::Host),
            _ => Err(invalid(format!("--ipc: invalid IPC mode: {}", text.escape_debug()))
                .hint("private, shareable, container:NAME, none or host")),
        }
    }
}

impl FromStr for UsernsMode {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let (mode, options) = text.split_once(':').map_or((text, None), |(mode, rest)| (mode, Some(rest)));
        match (mode, options) {
            ("" | "private", None) => Ok(Self::Default),
            ("host", None) => Ok(Self::Host),
            ("auto", None) => Ok(Self::Auto),
            ("nomap", None) => Ok(Self::NoMap),
            ("keep-id", options) => keep_id(options.unwrap_or_default()),
            _ => Err(invalid(format!("--userns: invalid USER mode: {}", text.escape_debug()))
                .hint("host, keep-id[:uid=N,gid=N], auto or nomap")),
        }
    }
}

fn keep_id(options: &str) -> Result<UsernsMode, Failure> {
    let (mut uid, mut gid) = (None, None);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let malformed = || invalid(format!("--userns keep-id: invalid option `{}`", option.escape_debug()));
        let (key, value) = option.split_once('=').ok_or_else(malformed)?;
        let id = value.parse::<u32>().ok().filter(|id| *id <= i32::MAX as u32).ok_or_else(malformed)?;
        match key {
            "uid" => uid = Some(id),
            "gid" => gid = Some(id),
            _ => return Err(malformed()),
        }
    }
    Ok(UsernsMode::KeepId { uid, gid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_with_the_host() {
        assert!(parse_host_or_private("host", "--pid").unwrap());
        assert!(!parse_host_or_private("", "--uts").unwrap());
        assert!(parse_host_or_private("container:x", "--uts").is_err());
        assert_eq!(parse_container("container:x", "--pid").unwrap().as_deref(), Some("x"));
        assert_eq!("container:x".parse::<IpcMode>().unwrap(), IpcMode::Container("x".into()));
        assert!("container:".parse::<IpcMode>().is_err());
        assert!(parse_host_or_private("hos", "--pid").is_err());
        assert_eq!("none".parse::<IpcMode>().unwrap(), IpcMode::None);
        assert!("foo".parse::<IpcMode>().is_err());
    }

    #[test]
    fn user_namespaces() {
        let mode = |text: &str| text.parse::<UsernsMode>();
        assert_eq!(mode("").unwrap(), UsernsMode::Default);
        assert_eq!(mode("keep-id").unwrap(), UsernsMode::KeepId { uid: None, gid: None });
        assert_eq!(mode("keep-id:uid=5,gid=6").unwrap(), UsernsMode::KeepId { uid: Some(5), gid: Some(6) });
        for bad in ["x", "keep-id:uid=-1", "keep-id:x=1", "host:1", "keep-id:uid=4294967295"] {
            assert!(mode(bad).is_err(), "{bad}");
        }
    }
}
