//! `container prune`: remove stopped containers.

use clap::Args;

use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::flags::prune::PruneFlags;
use crate::cli::{environment, output};
use crate::engine::container_prune::{Pruned, prune_containers};
use crate::engine::namespace;
use crate::engine::prune::Conditions;
use crate::model::bytes;
use crate::store::Store;

pub(crate) const ENTRY: Entry =
    Entry::new::<Prune>(&["container prune"], "[OPTIONS]", "Remove all containers that do not run");

/// Arguments of `container prune`.
#[derive(Args)]
pub(crate) struct Prune {
    #[command(flatten)]
    flags: PruneFlags,
}

impl Verb for Prune {
    fn run(self, _context: &Context) -> Outcome {
        let conditions = Conditions::of(&self.flags.filter)?;
        if !self.flags.agreed("This will remove all stopped containers.")? {
            return Ok(0);
        }
        let identity = namespace::enter(&environment::all())?;
        let store = Store::open(environment::data_root()?)?;
        store.sweep()?;
        let pruned = prune_containers(&store, &conditions, &identity)?;
        let reclaimed = bytes::human(pruned.reclaimed);
        output::print(&format!("{}Total reclaimed space: {reclaimed}\n", lines(&pruned)))?;
        Ok(0)
    }
}

/// The removed containers with a heading and an empty line after them; empty if there are none.
pub(crate) fn lines(pruned: &Pruned) -> String {
    match pruned.containers.as_slice() {
        [] => String::new(),
        containers => format!("Deleted Containers:\n{}\n\n", containers.join("\n")),
    }
}
