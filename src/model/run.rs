//! What `run` asks of the engine: the container's specification and how this one invocation treats it.

use std::path::PathBuf;
use std::str::FromStr;

use super::container::ContainerSpec;
use super::detach_keys::DetachKeys;
use super::platform::Platform;
use crate::error::{Failure, invalid};

/// One `run`.
#[derive(Clone, Debug, Default)]
pub struct RunRequest {
    /// As asked; `id`, `created`, `image`, and `name` where none was asked for, are the engine's to fill in.
    pub spec: ContainerSpec,
    /// The image as typed; `None` with [`ContainerSpec::rootfs`].
    pub image: Option<String>,
    /// When the registry is asked.
    pub pull: PullPolicy,
    /// The platform asked for; the same as [`ContainerSpec::platform`].
    pub platform: Option<Platform>,
    /// Where to write the container's ID; the file must not exist.
    pub cidfile: Option<PathBuf>,
    /// Leave it to itself once it runs.
    pub detach: bool,
    /// Whether signals that reach this process are passed on, where there is no terminal.
    pub sig_proxy: bool,
    /// What detaches a terminal.
    pub detach_keys: DetachKeys,
    /// No progress of a pull.
    pub quiet: bool,
}

/// `--pull`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// Always ask the registry.
    Always,
    /// Ask for what is not in the store.
    #[default]
    Missing,
    /// Use what is in the store or fail.
    Never,
}

impl FromStr for PullPolicy {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        match text {
            "always" => Ok(Self::Always),
            "missing" | "" => Ok(Self::Missing),
            "never" => Ok(Self::Never),
            _ => Err(invalid(format!(
                "invalid pull option: '{}': must be one of \"always\", \"missing\" or \"never\"",
                text.escape_debug()
            ))),
        }
    }
}
