//! `system install-autostart`: makes the machine run `system autostart` when it boots, by systemd or cron.

mod cron;
mod systemd;

use std::path::{Path, PathBuf};

use anyhow::Result;

use dhow_error::unsupported;

/// What is installed, and for which user.
#[derive(Clone, Debug)]
pub struct AutostartConfig {
    /// dhow's executable.
    pub program: PathBuf,
    /// The user's configuration directory, `$XDG_CONFIG_HOME` or `~/.config`.
    pub config: PathBuf,
    /// The data root, if it is not the default one.
    pub root: Option<PathBuf>,
    /// The user's login name.
    pub user: String,
}

/// Makes the machine run `dhow system autostart` when it boots. Returns what was done and what is left to do, a line
/// each.
///
/// An error of kind `Unsupported` if there is neither systemd nor cron.
pub fn install(setup: &AutostartConfig) -> Result<Vec<String>> {
    if systemd::is_available() {
        return systemd::install(setup);
    }
    if cron::is_available() {
        return cron::install(setup);
    }
    let command = command_line(setup);
    Err(unsupported("cannot install the start at boot: there is neither systemd nor cron on this machine")
        .hint(format!("have `{command}` run when the machine starts"))
        .into())
}

/// Reverts [`install`], for either mechanism. Returns what was done.
pub fn uninstall(setup: &AutostartConfig) -> Result<Vec<String>> {
    // Both: which of them `install` chose depends on what the machine had then.
    let mut report = systemd::uninstall(setup)?;
    if cron::is_available() {
        report.extend(cron::uninstall()?);
    }
    Ok(report)
}

/// The shell command that runs at boot.
fn command_line(setup: &AutostartConfig) -> String {
    let root =
        setup.root.as_ref().map(|root| format!("DHOW_ROOT={} ", shell_quoted(root))).unwrap_or_default();
    format!("{root}{} system autostart", shell_quoted(&setup.program))
}

/// Quoted for a POSIX shell.
fn shell_quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted() {
        let setup = AutostartConfig {
            program: "/home/o'neil/bin/dhow".into(),
            config: "/home/o'neil/.config".into(),
            root: Some("/scratch/my dhow".into()),
            user: "oneil".into(),
        };
        assert_eq!(
            command_line(&setup),
            r"DHOW_ROOT='/scratch/my dhow' '/home/o'\''neil/bin/dhow' system autostart"
        );
    }
}
