//! `network prune`: remove unused networks.

use clap::Args;

use crate::cmd::prune_report::deleted_list;
use crate::flags::prune::PruneFlags;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use crate::output;
use dhow_engine::network::prune::prune;
use dhow_engine::prune_conditions::PruneConditions;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<NetworkPruneArgs>(
    &["network prune"],
    "[OPTIONS]",
    "Remove networks that no container is on",
);

/// Arguments of `network prune`.
#[derive(Args)]
struct NetworkPruneArgs {
    #[command(flatten)]
    flags: PruneFlags,
}

impl CommandArgs for NetworkPruneArgs {
    fn run(self, _context: &CommandContext) -> CommandResult {
        let conditions = PruneConditions::parse(&self.flags.filter)?;
        let warning = "This will remove all custom networks not used by at least one container.";
        if !self.flags.confirmed(warning)? {
            return Ok(0);
        }
        let store = Store::open(environment::data_root()?)?;
        output::print(&deleted_lines(&prune(&store, &conditions)?))?;
        Ok(0)
    }
}

/// The list of removed networks.
pub(crate) fn deleted_lines(networks: &[String]) -> String {
    deleted_list("Networks", networks)
}
