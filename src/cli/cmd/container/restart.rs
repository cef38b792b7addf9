//! `restart`: stop containers and start them again.

use clap::Args;

use crate::cmd::for_each::for_each_name;
use crate::flags::StopFlags;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use dhow_engine::container::restart::restart;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ContainerRestartArgs>(
    &["container restart", "restart"],
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "End containers and start them again",
);

/// Arguments of `restart`.
#[derive(Args)]
struct ContainerRestartArgs {
    #[command(flatten)]
    ending: StopFlags,
    /// Names or IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl CommandArgs for ContainerRestartArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let signal = self.ending.signal()?;
        let store = Store::open(environment::data_root()?)?;
        let environment = environment::all();
        for_each_name(context, &self.containers, |name| {
            restart(&store, name, signal, self.ending.timeout, &environment).map(|()| name.to_owned())
        })
    }
}
