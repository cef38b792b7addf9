//! `network rm`: remove networks.

use clap::Args;

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::{environment, report};
use crate::output;
use dhow_engine::network::rm::rm;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<NetworkRmArgs>(
    &["network rm", "network remove"],
    "NETWORK [NETWORK...]",
    "Remove networks",
);

/// Arguments of `network rm`.
#[derive(Args)]
struct NetworkRmArgs {
    /// Do not mind networks that are not there
    #[arg(short, long)]
    force: bool,
    /// Names or IDs
    #[arg(required = true, value_name = "NETWORK")]
    networks: Vec<String>,
}

impl CommandArgs for NetworkRmArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let store = Store::open(environment::data_root()?)?;
        let mut code = 0;
        for name in &self.networks {
            match rm(&store, name, self.force) {
                Ok(true) => output::print_line(name)?,
                // Only with --force: there was no such network.
                Ok(false) => {}
                Err(error) => {
                    report::print_error(context, &error);
                    code = 1;
                }
            }
        }
        Ok(code)
    }
}
