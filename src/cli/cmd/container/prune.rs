//! `container prune`: remove stopped containers.

use clap::Args;

use crate::flags::prune::PruneFlags;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use crate::output;
use dhow_engine::container::prune::{PrunedContainers, prune_containers};
use dhow_engine::prune_conditions::PruneConditions;
use dhow_model::bytes;
use dhow_runtime::userns;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ContainerPruneArgs>(
    &["container prune"],
    "[OPTIONS]",
    "Remove all containers that do not run",
);

/// Arguments of `container prune`.
#[derive(Args)]
pub(crate) struct ContainerPruneArgs {
    #[command(flatten)]
    flags: PruneFlags,
}

impl CommandArgs for ContainerPruneArgs {
    fn run(self, _context: &CommandContext) -> CommandResult {
        let conditions = PruneConditions::parse(&self.flags.filter)?;
        if !self.flags.confirmed("This will remove all stopped containers.")? {
            return Ok(0);
        }
        let identity = userns::enter(&environment::all())?;
        let store = Store::open(environment::data_root()?)?;
        store.sweep()?;
        let pruned = prune_containers(&store, &conditions, &identity)?;
        let reclaimed = bytes::human(pruned.reclaimed);
        output::print(&format!("{}Total reclaimed space: {reclaimed}\n", deleted_lines(&pruned)))?;
        Ok(0)
    }
}

/// The removed containers with a heading and an empty line after them; empty if there are none.
pub(crate) fn deleted_lines(pruned: &PrunedContainers) -> String {
    match pruned.containers.as_slice() {
        [] => String::new(),
        containers => format!("Deleted Containers:\n{}\n\n", containers.join("\n")),
    }
}
