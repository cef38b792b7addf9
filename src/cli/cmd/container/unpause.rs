//! `unpause`: unpause all processes in containers.

use clap::Args;

use crate::cmd::for_each::for_each_name;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use dhow_engine::container::unpause::unpause;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ContainerUnpauseArgs>(
    &["container unpause", "unpause"],
    "CONTAINER [CONTAINER...]",
    "Let the processes of containers go on",
);

/// Arguments of `unpause`.
#[derive(Args)]
struct ContainerUnpauseArgs {
    /// Names or IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl CommandArgs for ContainerUnpauseArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let store = Store::open(environment::data_root()?)?;
        for_each_name(context, &self.containers, |name| unpause(&store, name).map(|()| name.to_owned()))
    }
}
