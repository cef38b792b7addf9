//! `pause`: pause all processes in containers.

use clap::Args;

use crate::cmd::for_each::for_each_name;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use dhow_engine::container::pause::pause;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ContainerPauseArgs>(
    &["container pause", "pause"],
    "CONTAINER [CONTAINER...]",
    "Hold all processes of containers",
);

/// Arguments of `pause`.
#[derive(Args)]
struct ContainerPauseArgs {
    /// Names or IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl CommandArgs for ContainerPauseArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let store = Store::open(environment::data_root()?)?;
        for_each_name(context, &self.containers, |name| pause(&store, name).map(|()| name.to_owned()))
    }
}
