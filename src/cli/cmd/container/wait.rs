//! `wait`: wait until containers stop.

use clap::Args;

use crate::cmd::for_each::for_each_name;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use dhow_engine::container::wait::wait;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ContainerWaitArgs>(
    &["container wait", "wait"],
    "CONTAINER [CONTAINER...]",
    "Wait until containers end, and print their exit codes",
);

/// Arguments of `wait`.
#[derive(Args)]
struct ContainerWaitArgs {
    /// Names or IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl CommandArgs for ContainerWaitArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let store = Store::open(environment::data_root()?)?;
        for_each_name(context, &self.containers, |name| wait(&store, name).map(|code| code.to_string()))
    }
}
