//! `buildx du`: list the build cache.

use clap::Args;

use super::{builders, cache};
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use crate::output::{self, table};
use dhow_builder::prune::{CacheEntry, CachePruneRequest, list_cache, prune_cache};
use dhow_model::bytes;
use dhow_model::filter::ListFilter;
use dhow_runtime::userns;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry =
    CommandEntry::new::<BuildxDuArgs>(&["buildx du"], "[OPTIONS]", "Show what the build cache holds");

/// Arguments of `buildx du`.
#[derive(Args)]
struct BuildxDuArgs {
    /// Builder, one of `buildx ls`: they share one cache
    #[arg(long, value_name = "NAME")]
    builder: Option<String>,
    /// Only those that match: id, type, description, until, inuse, shared, private, mutable
    #[arg(long, value_name = "FILTER", value_parser = cache::parse_cache_filter)]
    filter: Vec<ListFilter>,
    /// Everything about each
    #[arg(long)]
    verbose: bool,
}

impl CommandArgs for BuildxDuArgs {
    fn run(self, _context: &CommandContext) -> CommandResult {
        // The size of a cache mount is that of its files, which may have any owner.
        userns::enter_as_root(&environment::all())?;
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
        let body = if self.verbose {
            entries.iter().map(cache::cache_details).collect()
        } else {
            cache::cache_table(&entries)
        };
        output::print(&format!("{body}{}", cache_totals(&entries)))?;
        Ok(0)
    }
}

/// Totals below the entries.
fn cache_totals(entries: &[CacheEntry]) -> String {
    let sum = |matches: &dyn Fn(&CacheEntry) -> bool| {
        let sizes = entries.iter().filter(|entry| matches(entry)).map(|entry| entry.size);
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
