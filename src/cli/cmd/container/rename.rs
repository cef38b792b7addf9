//! `rename`: rename a container.

use clap::Args;

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use dhow_engine::container::rename::rename;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ContainerRenameArgs>(
    &["container rename", "rename"],
    "CONTAINER NEW_NAME",
    "Give a container another name",
);

/// Arguments of `rename`.
#[derive(Args)]
struct ContainerRenameArgs {
    /// Name or ID
    #[arg(required = true, value_name = "CONTAINER")]
    container: String,
    /// Its new name
    #[arg(required = true, value_name = "NEW_NAME")]
    name: String,
}

impl CommandArgs for ContainerRenameArgs {
    fn run(self, _context: &CommandContext) -> CommandResult {
        let store = Store::open(environment::data_root()?)?;
        rename(&store, &self.container, &self.name)?;
        Ok(0)
    }
}
