//! `--security-opt`.

use std::str::FromStr;

use crate::boolean;
use dhow_error::{Failure, invalid, unsupported};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecurityOption {
    NoNewPrivileges(bool),
    SeccompUnconfined,
    /// `seccomp=builtin`: the default profile.
    SeccompDefault,
    /// `seccomp=FILE`, not read yet.
    SeccompFile(String),
    AppArmor(String),
    /// `label=…`, for SELinux.
    Label(String),
    /// `systempaths=unconfined`: no masked and no read-only paths.
    Unmasked,
    /// `writable-cgroups`: mount /sys/fs/cgroup read-write.
    WritableCgroups(bool),
}

impl FromStr for SecurityOption {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let malformed = || invalid(format!("invalid --security-opt: \"{}\"", text.escape_debug()));
        // docker's older syntax separates with a colon.
        let Some((key, value)) = text.split_once('=').or_else(|| text.split_once(':')) else {
            return match text {
                "no-new-privileges" => Ok(Self::NoNewPrivileges(true)),
                "writable-cgroups" => Ok(Self::WritableCgroups(true)),
                _ => Err(malformed()),
            };
        };
        match (key, value) {
            (_, "") => Err(malformed()),
            ("no-new-privileges", value) => {
                boolean::parse(value).map(Self::NoNewPrivileges).ok_or_else(malformed)
            }
            ("writable-cgroups", value) => {
                boolean::parse(value).map(Self::WritableCgroups).ok_or_else(malformed)
            }
            ("seccomp", "unconfined") => Ok(Self::SeccompUnconfined),
            ("seccomp", "builtin") => Ok(Self::SeccompDefault),
            ("seccomp", file) => Ok(Self::SeccompFile(file.to_owned())),
            ("apparmor", profile) => Ok(Self::AppArmor(profile.to_owned())),
            ("label", label) => label_option(label).ok_or_else(malformed),
            ("systempaths", "unconfined") => Ok(Self::Unmasked),
            ("credentialspec", _) => Err(unsupported("--security-opt credentialspec is for Windows")),
            _ => Err(malformed()),
        }
    }
}

fn label_option(text: &str) -> Option<SecurityOption> {
    let key = text.split_once(':').map_or(text, |(key, _)| key);
    let is_pair = matches!(key, "user" | "role" | "type" | "level" | "filetype") && text.contains(':');
    (is_pair || text == "disable" || text == "nested").then(|| SecurityOption::Label(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_kind() {
        use SecurityOption as S;
        for (text, option) in [
            ("no-new-privileges", S::NoNewPrivileges(true)),
            ("no-new-privileges=false", S::NoNewPrivileges(false)),
            ("no-new-privileges:true", S::NoNewPrivileges(true)),
            ("seccomp=unconfined", S::SeccompUnconfined),
            ("seccomp:unconfined", S::SeccompUnconfined),
            ("seccomp=builtin", S::SeccompDefault),
            ("seccomp=./p.json", S::SeccompFile("./p.json".into())),
            ("apparmor=unconfined", S::AppArmor("unconfined".into())),
            ("label=disable", S::Label("disable".into())),
            ("label:type:svirt_t", S::Label("type:svirt_t".into())),
            ("systempaths=unconfined", S::Unmasked),
            ("writable-cgroups=true", S::WritableCgroups(true)),
        ] {
            assert_eq!(text.parse::<S>().unwrap(), option, "{text}");
        }
        for bad in
            ["", "foo", "foo=bar", "seccomp", "seccomp=", "systempaths=x", "no-new-privileges=2", "label=x:y"]
        {
            assert!(bad.parse::<S>().is_err(), "{bad}");
        }
    }
}
