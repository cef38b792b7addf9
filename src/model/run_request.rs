//! What `run` and `create` ask for: the container's specification, and settings of this invocation.

use std::path::PathBuf;
use std::str::FromStr;

use super::container::ContainerSpec;
use super::detach_keys::DetachKeys;
use super::platform::Platform;
use dhow_error::{Failure, invalid};

#[derive(Clone, Debug, Default)]
pub struct RunRequest {
    /// `id`, `created`, `image`, and `name` if none was given, are filled in when it is created.
    pub spec: ContainerSpec,
    /// As typed; `None` with [`ContainerSpec::rootfs`].
    pub image: Option<String>,
    pub pull: PullPolicy,
    /// Parsed form of [`ContainerSpec::platform`].
    pub platform: Option<Platform>,
    /// `--cidfile`: write the ID to this file, which must not exist.
    pub cidfile: Option<PathBuf>,
    /// Run in the background.
    pub detach: bool,
    /// Forward signals of this process to the container, unless there is a TTY.
    pub sig_proxy: bool,
    pub detach_keys: DetachKeys,
    /// No pull progress.
    pub quiet: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// Ask the registry even if the image is in the store.
    Always,
    #[default]
    Missing,
    /// Fail if the image is not in the store.
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
