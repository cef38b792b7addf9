//! `volume prune`: remove unused volumes.

use clap::Args;

use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::{environment, output, prompt};
use crate::engine::namespace;
use crate::engine::volumes::{PruneRequest, Pruned, prune};
use crate::model::bytes;
use crate::model::filter::Filter;
use crate::store::Store;

pub(crate) const ENTRY: Entry =
    Entry::new::<Prune>(&["volume prune"], "[OPTIONS]", "Remove volumes that no container uses");

/// Arguments of `volume prune`.
#[derive(Args)]
pub(crate) struct Prune {
    /// Those that somebody named too
    #[arg(short, long)]
    all: bool,
    /// Only those that match: label=KEY[=VALUE], label!=KEY[=VALUE]
    #[arg(long, value_name = "FILTER")]
    filter: Vec<Filter>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

impl Verb for Prune {
    fn run(self, _context: &Context) -> Outcome {
        let request = PruneRequest::new(self.all, &self.filter)?;
        if !self.force && !prompt::agrees(warning(request.all))? {
            return Ok(0);
        }
        // Volumes may hold files of any owner.
        namespace::enter(&environment::all())?;
        let store = Store::open(environment::data_root()?)?;
        store.sweep()?;
        let pruned = prune(&store, &request)?;
        let reclaimed = bytes::human(pruned.reclaimed);
        output::print(&format!("{}Total reclaimed space: {reclaimed}\n", lines(&pruned)))?;
        Ok(0)
    }
}

fn warning(all: bool) -> &'static str {
    match all {
        true => "This will remove all local volumes not used by at least one container.",
        false => "This will remove anonymous local volumes not used by at least one container.",
    }
}

/// The removed volumes with a heading and an empty line after them; empty if there are none.
pub(crate) fn lines(pruned: &Pruned) -> String {
    match pruned.volumes.as_slice() {
        [] => String::new(),
        volumes => format!("Deleted Volumes:\n{}\n\n", volumes.join("\n")),
    }
}
