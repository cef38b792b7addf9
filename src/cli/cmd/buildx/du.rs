//! `buildx du`: list the build cache.

use clap::Args;

use super::prune::parse_cache_filter;
use crate::cmd::buildx::builders;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use crate::output;
use crate::output::{humanize, table};
use dhow_builder::prune::{CacheEntry, CachePruneRequest, list_cache, prune_cache};
use dhow_model::bytes;
use dhow_model::filter::ListFilter;
use dhow_runtime::userns;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry =
    CommandEntry::new::<BuildxDuArgs>(&["buildx du"], "[OPTIONS]", "Show what the build cache holds");

/// Arguments of `buildx du`.
#[derive(Args)]
pub(crate) struct BuildxDuArgs {
    /// Builder, one of `buildx ls`: they share one cache
    #[arg(long, value_name = "NAME")]
    builder: Option<String>,
    /// Only those that match: id, type, description, until, inuse, shared, private, mutable
    #[arg(long, value_name = "FILTER", value_parser = parse_cache_filter)]
    filter: Vec<ListFilter>,
    /// Everything about each
    #[arg(long)]
    verbose: bool,
}

impl CommandArgs for BuildxDuArgs {
    fn run(self, _context: &CommandContext) -> CommandResult {
        userns::enter(&environment::all())?;
        let store = Store::open(environment::data_root()?)?;
        builders::check_builder(&store, self.builder.as_deref())?;
        let entries = match self.filter.is_empty() {
            true => list_cache(&store)?,
            // A filter selects what pruning with it would remove, so this is a dry run.
            false => prune_cache(
                &store,
                &CachePruneRequest {
                    all: true,
                    filters: self.filter,
                    dry_run: true,
                    ..CachePruneRequest::default()
                },
            )?,
        };
        let body =
            if self.verbose { entries.iter().map(cache_details).collect() } else { cache_table(&entries) };
        output::print(&format!("{body}{}", cache_totals(&entries)))?;
        Ok(0)
    }
}

/// A table with a row for each entry.
pub(super) fn cache_table(entries: &[CacheEntry]) -> String {
    let mut text = String::from("ID\tRECLAIMABLE\tSIZE\tLAST ACCESSED\n");
    for entry in entries {
        let mutable = if entry.mutable { "*" } else { "" };
        let shared = if entry.shared { "*" } else { "" };
        let last = entry.last_used.as_deref().map(humanize::ago).unwrap_or_default();
        let (id, free, size) = (&entry.id, !entry.in_use, bytes::human(entry.size));
        text += &format!("{id}{mutable}\t{free}\t{size}{shared}\t{last}\n");
    }
    table::align_columns(&text)
}

/// All there is about an entry, and an empty line.
pub(super) fn cache_details(entry: &CacheEntry) -> String {
    let mut lines = vec![("ID", entry.id.clone())];
    if !entry.parents.is_empty() {
        lines.push(("Parents", entry.parents.join(", ")));
    }
    lines.extend([
        ("Created at", humanize::local_time(&entry.created)),
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
        lines.push(("Last used", humanize::ago(used)));
    }
    lines.push(("Type", entry.kind.clone()));
    let text: String = lines.into_iter().map(|(name, value)| format!("{name}:\t{value}\n")).collect();
    table::align_columns(&text) + "\n"
}

/// Totals below the entries.
fn cache_totals(entries: &[CacheEntry]) -> String {
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
    table::align_columns(&text)
}
