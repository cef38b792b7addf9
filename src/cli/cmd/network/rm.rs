//! `network rm`: remove networks.

use clap::Args;

use crate::cli::entry::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::cli::{environment, output, report};
use crate::engine::networks::rm;
use crate::store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<NetworkRmArgs>(
    &["network rm", "network remove"],
    "NETWORK [NETWORK...]",
    "Remove networks",
);

/// Arguments of `network rm`.
#[derive(Args)]
pub(crate) struct NetworkRmArgs {
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
