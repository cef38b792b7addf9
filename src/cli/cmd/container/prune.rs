//! `container prune`: remove stopped containers.

use clap::Args;

use crate::cmd::prune_report::{deleted_list, reclaimed_line};
use crate::flags::prune::PruneFlags;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use crate::output;
use dhow_engine::container::prune::{PrunedContainers, prune_containers};
use dhow_engine::prune_conditions::PruneConditions;
use dhow_runtime::userns;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ContainerPruneArgs>(
    &["container prune"],
    "[OPTIONS]",
    "Remove all containers that do not run",
);

/// Arguments of `container prune`.
#[derive(Args)]
struct ContainerPruneArgs {
    #[command(flatten)]
    flags: PruneFlags,
}

impl CommandArgs for ContainerPruneArgs {
    fn run(self, _context: &CommandContext) -> CommandResult {
        let conditions = PruneConditions::parse(&self.flags.filter)?;
        if !self.flags.confirmed("This will remove all stopped containers.")? {
            return Ok(0);
        }
        // Writable layers hold files of any owner.
        let identity = userns::enter(&environment::all())?;
        let store = Store::open(environment::data_root()?)?;
        store.sweep()?;
        let pruned = prune_containers(&store, &conditions, &identity)?;
        output::print(&(deleted_lines(&pruned) + &reclaimed_line(pruned.reclaimed)))?;
        Ok(0)
    }
}

/// The list of removed containers.
pub(crate) fn deleted_lines(pruned: &PrunedContainers) -> String {
    deleted_list("Containers", &pruned.containers)
}
