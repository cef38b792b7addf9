//! `update`: change limits and restart policies of containers.

use clap::Args;

use crate::cmd::for_each::for_each_name;
use crate::flags::UpdatableLimitFlags;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::usage::UsageError;
use crate::frame::{environment, report};
use dhow_engine::container::update::{UpdateRequest, update};
use dhow_model::restart::RestartPolicy;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ContainerUpdateArgs>(
    &["container update", "update"],
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Change limits and restart policies of containers",
);

/// Arguments of `update`.
#[derive(Args)]
struct ContainerUpdateArgs {
    #[command(flatten)]
    limits: UpdatableLimitFlags,
    /// When to start it again: no, on-failure[:MAX], always or unless-stopped
    #[arg(long, value_name = "POLICY")]
    restart: Option<RestartPolicy>,
    /// Names or IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl CommandArgs for ContainerUpdateArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        if self.restart.is_none() && !self.limits.any_given() {
            return Err(UsageError::new("you must provide one or more flags when using this command").into());
        }
        let (limits, warnings) = self.limits.into_limits()?;
        // These are about the flags, so they are printed once and not for each container.
        for warning in warnings {
            report::warn(context, warning);
        }
        let request = UpdateRequest { limits, restart: self.restart };
        let store = Store::open(environment::data_root()?)?;
        for_each_name(context, &self.containers, |name| {
            for warning in update(&store, name, &request, &environment::all())? {
                report::warn(context, &warning);
            }
            Ok(name.to_owned())
        })
    }
}
