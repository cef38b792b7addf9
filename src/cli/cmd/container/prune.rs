//! `container prune`: remove containers that do not run.

use clap::Args;

use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::{environment, output, prompt};
use crate::engine::container_prune::{PruneRequest, Pruned, prune_containers};
use crate::engine::{moment, namespace};
use crate::error::Failure;
use crate::model::bytes;
use crate::model::filter::{Filter, LabelFilter};
use crate::store::Store;

pub(crate) const ENTRY: Entry =
    Entry::new::<Prune>(&["container prune"], "[OPTIONS]", "Remove all containers that do not run");

/// Arguments of `container prune`.
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
        let request = self.request()?;
        if !self.force && !prompt::agrees("This will remove all stopped containers.")? {
            return Ok(0);
        }
        let identity = namespace::enter(&environment::all())?;
        let store = Store::open(environment::data_root()?)?;
        store.sweep()?;
        let pruned = prune_containers(&store, &request, &identity)?;
        let reclaimed = bytes::human(pruned.reclaimed);
        output::print(&format!("{}Total reclaimed space: {reclaimed}\n", lines(&pruned)))?;
        Ok(0)
    }
}

impl Prune {
    fn request(&self) -> Result<PruneRequest, Failure> {
        let mut request = PruneRequest::default();
        for filter in &self.filter {
            match filter.key.as_str() {
                "until" => request.until = Some(moment::parse(&filter.value, jiff::Timestamp::now())?),
                "label" => request.labels.push(LabelFilter::new(&filter.value, true)),
                "label!" => request.labels.push(LabelFilter::new(&filter.value, false)),
                _ => return Err(filter.unknown("until, label, label!")),
            }
        }
        Ok(request)
    }
}

/// The containers that went, with a heading and an empty line behind them.
pub(crate) fn lines(pruned: &Pruned) -> String {
    match pruned.containers.as_slice() {
        [] => String::new(),
        containers => format!("Deleted Containers:\n{}\n\n", containers.join("\n")),
    }
}
