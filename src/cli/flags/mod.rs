//! The flags that define a container, shared by `run` and `create`, and the specification they make.

pub(crate) mod build;
pub(crate) mod checked;
pub(crate) mod files;
mod identity;
mod lifecycle;
mod limits;
mod mounts;
mod namespaces;
mod network;
pub(crate) mod pairs;
pub(crate) mod process;
pub(crate) mod prune;
mod security;
mod stop;
mod unsupported;

pub(crate) use limits::UpdatableLimitFlags;
pub(crate) use stop::StopFlags;

use clap::Args;

use super::frame::command::CommandContext;
use super::frame::usage::UsageError;
use super::frame::{environment, report};
use dhow_model::container::ContainerSpec;
use dhow_model::platform::{Platform, not_linux};
use dhow_model::run_request::{PullPolicy, RunRequest};

/// All flags that describe a container.
#[derive(Args)]
pub(crate) struct ContainerFlags {
    #[command(flatten)]
    identity: identity::IdentityFlags,
    #[command(flatten)]
    life: lifecycle::LifecycleFlags,
    #[command(flatten)]
    process: process::ProcessFlags,
    #[command(flatten)]
    mounts: mounts::ContainerMountFlags,
    #[command(flatten)]
    security: security::SecurityFlags,
    #[command(flatten)]
    namespaces: namespaces::NamespaceFlags,
    #[command(flatten)]
    network: network::ContainerNetworkFlags,
    #[command(flatten)]
    limits: limits::LimitFlags,
    #[command(flatten)]
    absent: unsupported::UnsupportedFlags,
    /// Ask the registry `always`, for what is `missing`, or `never`
    #[arg(long, value_name = "WHEN", default_value = "missing")]
    pull: PullPolicy,
    /// Take the image for this platform, os/architecture[/variant]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// Do not show the progress of a pull
    #[arg(short, long)]
    quiet: bool,
    /// The image, then the command and its arguments
    #[arg(trailing_var_arg = true, value_name = "IMAGE [COMMAND] [ARG]")]
    words: Vec<String>,
}

impl ContainerFlags {
    /// Checks everything that needs neither the image nor the host, and makes the request.
    pub(crate) fn into_request(mut self, context: &CommandContext) -> anyhow::Result<RunRequest> {
        self.absent.check()?;
        let image = self.take_image(context)?;
        // With --rootfs there is no image to choose by platform.
        if self.platform.is_none() && image.is_some() {
            self.platform = environment::default_platform()?;
        }
        if let Some(platform) = self.platform.as_ref().filter(|platform| !platform.is_linux()) {
            return Err(not_linux(platform).into());
        }
        let mut spec =
            ContainerSpec { platform: self.platform.as_ref().map(Platform::to_string), ..Default::default() };
        if !self.words.is_empty() {
            spec.process.command = Some(self.words);
        }
        let cidfile = self.identity.cidfile.take();
        // Each file of flags fills its part of the spec. Later ones check against what earlier ones set:
        // health and restart against `--rm`, the network against namespaces.
        self.identity.fill(&mut spec)?;
        self.life.fill(&mut spec)?;
        self.process.fill(&mut spec)?;
        self.mounts.fill(&mut spec)?;
        self.security.fill(&mut spec)?;
        self.namespaces.fill(&mut spec)?;
        self.network.fill(&mut spec, context)?;
        self.limits.fill(&mut spec, context)?;
        for device in spec.devices.iter().filter(|device| device.permissions != "rwm") {
            let message = format!(
                "--device {}: only a device cgroup could limit it to `{}`; the rights of the node itself hold",
                device.host.display(),
                device.permissions
            );
            report::warn(context, &message);
        }
        let request =
            RunRequest { image, pull: self.pull, cidfile, quiet: self.quiet, ..RunRequest::default() };
        Ok(RunRequest { spec, platform: self.platform, ..request })
    }

    /// Takes the image from the words, unless `--rootfs` replaces it.
    fn take_image(&mut self, context: &CommandContext) -> Result<Option<String>, UsageError> {
        if self.mounts.has_rootfs() {
            return Ok(None);
        }
        if self.words.is_empty() {
            let message = format!("'{}' requires at least 1 argument: the image", context.command_line());
            return Err(UsageError::new(message));
        }
        Ok(Some(self.words.remove(0)))
    }
}
