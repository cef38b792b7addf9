//! `buildx du`: list the build cache.

use clap::Args;

use super::prune::cache_filter;
use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::{builders, environment, human, output, table};
use crate::engine::build::prune::{CacheEntry, PruneRequest, list, prune};
use crate::engine::namespace;
use crate::model::bytes;
use crate::model::filter::Filter;
use crate::store::Store;

pub(crate) const ENTRY: Entry =
    Entry::new::<Du>(&["buildx du"], "[OPTIONS]", "Show what the build cache holds");

/// Arguments of `buildx du`.
#[derive(Args)]
pub(crate) struct Du {
    /// Builder, one of `buildx ls`: they share one cache
    #[arg(long, value_name = "NAME")]
    builder: Option<String>,
    /// Only those that match: id, type, description, until, inuse, shared, private, mutable
    #[arg(long, value_name = "FILTER", value_parser = cache_filter)]
    filter: Vec<Filter>,
    /// Everything about each
    #[arg(long)]
    verbose: bool,
}

impl Verb for Du {
    fn run(self, _context: &Context) -> Outcome {
        namespace::enter(&environment::all())?;
        let store = Store::open(environment::data_root()?)?;
        builders::check(&store, self.builder.as_deref())?;
        let entries = match self.filter.is_empty() {
            true => list(&store)?,
            // A filter selects what pruning with it would remove, so this is a dry run.
            false => prune(
                &store,
                &PruneRequest { all: true, filters: self.filter, dry_run: true, ..PruneRequest::default() },
            )?,
        };
        let body = if self.verbose { entries.iter().map(details).collect() } else { rows(&entries) };
        output::print(&format!("{body}{}", summary(&entries)))?;
        Ok(0)
    }
}

/// A table with a row for each entry.
pub(super) fn rows(entries: &[CacheEntry]) -> String {
    let mut text = String::from("ID\tRECLAIMABLE\tSIZE\tLAST ACCESSED\n");
    for entry in entries {
        let mutable = if entry.mutable { "*" } else { "" };
        let shared = if entry.shared { "*" } else { "" };
        let last = entry.last_used.as_deref().map(human::ago).unwrap_or_default();
        let (id, free, size) = (&entry.id, !entry.in_use, bytes::human(entry.size));
        text += &format!("{id}{mutable}\t{free}\t{size}{shared}\t{last}\n");
    }
    table::align(&text)
}

/// All there is about an entry, and an empty line.
pub(super) fn details(entry: &CacheEntry) -> String {
    let mut lines = vec![("ID", entry.id.clone())];
    if !entry.parents.is_empty() {
        lines.push(("Parents", entry.parents.join(", ")));
    }
    lines.extend([
        ("Created at", human::local_time(&entry.created)),
        ("Mutable", entry.mutable.to_string()),
        ("Reclaimable", (!entry.in_use).to_string()),
        ("Shared", entry.shared.to_string()),
        ("Size", bytes::human(entry.size)),
    ]);
    if !entry.description.is_empty() {
        lines.push(("Description", entry.description.escape_debug().to_string()));
    }
    lines.push(("Usage count", entry.uses.to_string()));
    if let Some(used) = &entry.last_used {
        lines.push(("Last used", human::ago(used)));
    }
    lines.push(("Type", entry.kind.clone()));
    let text: String = lines.into_iter().map(|(name, value)| format!("{name}:\t{value}\n")).collect();
    table::align(&text) + "\n"
}

/// Totals below the entries.
fn summary(entries: &[CacheEntry]) -> String {
    let sum = |of: &dyn Fn(&CacheEntry) -> bool| {
        let sizes = entries.iter().filter(|entry| of(entry)).map(|entry| entry.size);
        sizes.fold(0, u64::saturating_add)
    };
    let (shared, total) = (sum(&|entry| entry.shared), sum(&|_| true));
    let mut text = String::new();
    if shared > 0 {
        text += &format!("Shared:\t{}\n", bytes::human(shared));
        text += &format!("Private:\t{}\n", bytes::human(total.saturating_sub(shared)));
    }
    text += &format!("Reclaimable:\t{}\n", bytes::human(sum(&|entry| !entry.in_use)));
    text += &format!("Total:\t{}\n", bytes::human(total));
    table::align(&text)
}
