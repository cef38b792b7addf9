//! `buildx stop`: check the builder's name, as there is no daemon to stop.

use clap::Args;

use super::builders::{find_builder, requested_builder};
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<BuildxStopArgs>(
    &["buildx stop"],
    "[OPTIONS] [NAME]",
    "Stop a builder's daemon: there is none, so this only checks the name",
);

/// Arguments of `buildx stop`.
#[derive(Args)]
struct BuildxStopArgs {
    /// Builder, where the argument names none
    #[arg(long, value_name = "NAME")]
    builder: Option<String>,
    /// The builder
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

impl CommandArgs for BuildxStopArgs {
    fn run(self, _context: &CommandContext) -> CommandResult {
        let store = Store::open(environment::data_root()?)?;
        let name = self.name.or_else(|| requested_builder(self.builder.as_deref()));
        find_builder(&store.builders()?, name.as_deref())?;
        Ok(0)
    }
}
