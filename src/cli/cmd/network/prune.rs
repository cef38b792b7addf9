//! `network prune`: remove unused networks.

use clap::Args;

use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::flags::prune::PruneFlags;
use crate::cli::{environment, output};
use crate::engine::networks::prune;
use crate::engine::prune::Conditions;
use crate::store::Store;

pub(crate) const ENTRY: Entry =
    Entry::new::<Prune>(&["network prune"], "[OPTIONS]", "Remove networks that no container is on");

/// Arguments of `network prune`.
#[derive(Args)]
pub(crate) struct Prune {
    #[command(flatten)]
    flags: PruneFlags,
}

impl Verb for Prune {
    fn run(self, _context: &Context) -> Outcome {
        let conditions = Conditions::of(&self.flags.filter)?;
        let warning = "This will remove all custom networks not used by at least one container.";
        if !self.flags.agreed(warning)? {
            return Ok(0);
        }
        let store = Store::open(environment::data_root()?)?;
        output::print(&lines(&prune(&store, &conditions)?))?;
        Ok(0)
    }
}

/// The removed networks with a heading and an empty line after them; empty if there are none.
pub(crate) fn lines(networks: &[String]) -> String {
    match networks {
        [] => String::new(),
        networks => format!("Deleted Networks:\n{}\n\n", networks.join("\n")),
    }
}
