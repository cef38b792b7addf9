//! The environment of the command, as a value: only the command line reads the real variables.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// `PATH` of a container whose image sets none, as in docker and BuildKit.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Passed down as a value, so that everything below the command line can be tested without touching the
/// process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// `None` if unset, empty or not UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(OsStr::new(name))?.to_str().filter(|value| !value.is_empty())
    }

    /// `None` if unset or empty.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.0.get(OsStr::new(name)).filter(|value| !value.is_empty()).map(PathBuf::from)
    }

    /// The value if set, possibly empty.
    pub fn raw(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// `$HOME`.
    pub fn home(&self) -> Option<PathBuf> {
        self.path("HOME")
    }

    /// `$XDG_CONFIG_HOME`, by default `~/.config`. A relative path is ignored, as the XDG specification asks.
    pub fn config_home(&self) -> Option<PathBuf> {
        self.path("XDG_CONFIG_HOME")
            .filter(|path| path.is_absolute())
            .or_else(|| Some(self.home()?.join(".config")))
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_is_unset() {
        let environment = Environment::from_iter([("HOME", "/home/x"), ("XDG_CONFIG_HOME", ""), ("A", "b")]);
        assert_eq!(environment.config_home(), Some(PathBuf::from("/home/x/.config")));
        assert_eq!(environment.text("A"), Some("b"));
        assert_eq!(environment.text("XDG_CONFIG_HOME"), None);
        assert_eq!(environment.with("A", "c").text("A"), Some("c"));
    }
}
