//! `network disconnect`: disconnect a container from a network.

use clap::Args;

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use dhow_engine::network::disconnect::disconnect;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<NetworkDisconnectArgs>(
    &["network disconnect"],
    "[OPTIONS] NETWORK CONTAINER",
    "Take a container off a network, whether it runs or not",
);

/// Arguments of `network disconnect`.
#[derive(Args)]
struct NetworkDisconnectArgs {
    /// Even if the container does not answer
    #[arg(short, long)]
    force: bool,
    /// Name or ID of the network
    #[arg(required = true, value_name = "NETWORK")]
    network: String,
    /// Name or ID of the container
    #[arg(required = true, value_name = "CONTAINER")]
    container: String,
}

impl CommandArgs for NetworkDisconnectArgs {
    fn run(self, _context: &CommandContext) -> CommandResult {
        let store = Store::open(environment::data_root()?)?;
        disconnect(&store, &self.network, &self.container, self.force)?;
        Ok(0)
    }
}
