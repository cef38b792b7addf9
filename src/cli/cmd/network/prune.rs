//! `network prune`: remove networks that no container is on.

use clap::Args;

use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::{environment, output, prompt};
use crate::engine::networks::{PruneRequest, prune};
use crate::model::filter::Filter;
use crate::store::Store;

pub(crate) const ENTRY: Entry =
    Entry::new::<Prune>(&["network prune"], "[OPTIONS]", "Remove networks that no container is on");

/// Arguments of `network prune`.
#[derive(Args)]
pub(crate) struct Prune {
    /// Only those that match: until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE]
    #[arg(long, value_name = "FILTER")]
    filter: Vec<Filter>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

impl Verb for Prune {
    fn run(self, _context: &Context) -> Outcome {
        let request = PruneRequest::new(&self.filter)?;
        let warning = "This will remove all custom networks not used by at least one container.";
        if !self.force && !prompt::agrees(warning)? {
            return Ok(0);
        }
        let store = Store::open(environment::data_root()?)?;
        output::print(&lines(&prune(&store, &request)?))?;
        Ok(0)
    }
}

/// The networks that went, with a heading and an empty line behind them.
pub(crate) fn lines(networks: &[String]) -> String {
    match networks {
        [] => String::new(),
        networks => format!("Deleted Networks:\n{}\n\n", networks.join("\n")),
    }
}
