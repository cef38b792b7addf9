//! `kill`: send a signal to containers.

use clap::Args;

use crate::cmd::for_each::for_each_name;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use dhow_engine::container::kill::kill;
use dhow_model::signal;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ContainerKillArgs>(
    &["container kill", "kill"],
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Kill containers, or send them another signal",
);

/// Arguments of `kill`.
#[derive(Args)]
struct ContainerKillArgs {
    /// Signal to send
    #[arg(short, long, value_name = "SIGNAL", default_value = "KILL")]
    signal: String,
    /// Names or IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl CommandArgs for ContainerKillArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        // A wrong signal is refused once, not for each container.
        let signal = signal::parse(&self.signal)?;
        let store = Store::open(environment::data_root()?)?;
        for_each_name(context, &self.containers, |name| kill(&store, name, signal).map(|()| name.to_owned()))
    }
}
