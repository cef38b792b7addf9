//! `container prune`: remove stopped containers.

use clap::Args;

use crate::cli::entry::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::cli::flags::prune::PruneFlags;
use crate::cli::{environment, output};
use crate::engine::container_prune::{PrunedContainers, prune_containers};
use crate::engine::namespace;
use crate::engine::prune::PruneConditions;
use crate::model::bytes;
use crate::store::Store;

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
        let identity = namespace::enter(&environment::all())?;
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
