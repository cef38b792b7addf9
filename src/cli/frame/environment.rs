//! The process environment: where data, settings and the home directory are.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;

use super::command::CommandContext;
use dhow_error::{Failure, FailureKind};
use dhow_model::environment::Environment;
use dhow_model::platform::Platform;

/// All variables as a value; the layers below do not read the environment themselves.
pub(crate) fn all() -> Environment {
    std::env::vars_os().collect()
}

/// All variables, with the flags in front of the command applied to them: `--config` is `$DOCKER_CONFIG`.
pub(crate) fn with_flags(context: &CommandContext) -> Environment {
    let environment = all();
    match &context.globals.config {
        Some(dir) => environment.with("DOCKER_CONFIG", dir),
        None => environment,
    }
}

/// `$DOCKER_DEFAULT_PLATFORM`: the platform of images unless a flag names one.
pub(crate) fn default_platform() -> anyhow::Result<Option<Platform>> {
    let text = std::env::var("DOCKER_DEFAULT_PLATFORM").ok().filter(|text| !text.is_empty());
    text.map(|text| text.parse()).transpose().context("cannot use DOCKER_DEFAULT_PLATFORM")
}

/// A variable as a path; None if it is unset or empty.
fn path(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Whether the command has got as far as the data. A process runs one command.
static ENGINE_REACHED: AtomicBool = AtomicBool::new(false);

/// Whether the command has asked for the data root. What fails before is about the command line, and is what docker's
/// client finds out by itself; what fails afterwards is what docker's daemon would answer.
pub(super) fn engine_reached() -> bool {
    ENGINE_REACHED.load(Ordering::Relaxed)
}

/// The data root: `$DHOW_ROOT`, `$XDG_DATA_HOME/dhow` or `~/.local/share/dhow`.
pub(crate) fn data_root() -> anyhow::Result<PathBuf> {
    ENGINE_REACHED.store(true, Ordering::Relaxed);
    if let Some(root) = path("DHOW_ROOT") {
        return std::path::absolute(&root)
            .with_context(|| format!("cannot use DHOW_ROOT={}", root.display()));
    }
    // The XDG specification: a relative value is to be ignored.
    if let Some(data) = path("XDG_DATA_HOME").filter(|data| data.is_absolute()) {
        return Ok(data.join("dhow"));
    }
    Ok(home()?.join(".local/share/dhow"))
}

/// The user's settings: `$XDG_CONFIG_HOME` or `~/.config`.
pub(crate) fn config_home() -> anyhow::Result<PathBuf> {
    // Relative values are to be ignored here, too.
    match path("XDG_CONFIG_HOME").filter(|config| config.is_absolute()) {
        Some(config) => Ok(config),
        None => Ok(home()?.join(".config")),
    }
}

pub(crate) fn working_dir() -> anyhow::Result<PathBuf> {
    std::env::current_dir().context("cannot find the working directory")
}

/// The user's home directory: `$HOME`, else the entry in /etc/passwd.
pub(crate) fn home() -> anyhow::Result<PathBuf> {
    // docker's client falls back to the account, too.
    path("HOME").filter(|home| home.is_absolute()).or_else(home_of_account).ok_or_else(|| {
        Failure::new(
            FailureKind::Invalid,
            "cannot find the home directory: HOME is not set and /etc/passwd has no entry for this user",
        )
        .hint("set HOME, or DHOW_ROOT to a directory for dhow's data")
        .into()
    })
}

fn home_of_account() -> Option<PathBuf> {
    let uid = rustix::process::getuid().as_raw().to_string();
    // Read from the file: getpwuid(3) of glibc loads NSS modules, which a static binary cannot do.
    let accounts = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = accounts.lines().find(|line| line.split(':').nth(2) == Some(uid.as_str()))?;
    line.split(':').nth(5).filter(|home| home.starts_with('/')).map(PathBuf::from)
}
