//! `builder prune` and `buildx prune`: remove build cache.

use clap::Args;

use super::{builders, cache};
use crate::cmd::prune_report::reclaimed_line;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::{environment, prompt};
use crate::output;
use dhow_builder::prune::{CacheEntry, CachePruneRequest, prune_cache};
use dhow_model::bytes;
use dhow_model::filter::ListFilter;
use dhow_runtime::userns;
use dhow_store::Store;

pub(crate) const BUILDER_PRUNE_ENTRY: CommandEntry = CommandEntry::new::<BuilderPruneArgs>(
    &["builder prune"],
    "[OPTIONS]",
    "Remove what the build cache holds",
);
pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<BuildxPruneArgs>(
    &["buildx prune"],
    "[OPTIONS]",
    "Remove what the build cache holds, and show it",
);

/// What to remove, and whether to ask.
#[derive(Args)]
struct CachePruneFlags {
    /// What images have too, not only what nothing else uses
    #[arg(short, long)]
    all: bool,
    /// Only what matches: id, type, description, until, inuse, shared, private, mutable
    #[arg(long, value_name = "FILTER", value_parser = cache::parse_cache_filter)]
    filter: Vec<ListFilter>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Leave as much as this, the latest
    #[arg(long, value_name = "SIZE", value_parser = bytes::parse)]
    keep_storage: Option<u64>,
}

impl CachePruneFlags {
    /// Removes the cache, if the user agrees, and leaves what `keep` answers, in bytes, unless `--keep-storage` says
    /// otherwise. None if the user does not agree.
    fn prune(
        self,
        keep: impl FnOnce(&Store) -> anyhow::Result<Option<u64>>,
    ) -> anyhow::Result<Option<Vec<CacheEntry>>> {
        let warning = match self.all {
            true => "This will remove all build cache.",
            false => "This will remove all dangling build cache.",
        };
        if !self.force && !prompt::confirm(warning)? {
            return Ok(None);
        }
        // Cache mounts are measured by their files, which may be of any owner.
        userns::enter_as_root(&environment::all())?;
        let store = Store::open(environment::data_root()?)?;
        store.sweep()?;
        // Asked only now: sizes can be read, and what interrupted commands left takes no space any more.
        let keep = self.keep_storage.map_or_else(|| keep(&store), |keep| Ok(Some(keep)))?;
        // 0 is no limit.
        let keep = keep.filter(|keep| *keep > 0);
        let request = CachePruneRequest { all: self.all, filters: self.filter, keep, dry_run: false };
        prune_cache(&store, &request).map(Some)
    }
}

/// Arguments of `builder prune`.
#[derive(Args)]
struct BuilderPruneArgs {
    #[command(flatten)]
    flags: CachePruneFlags,
}

impl CommandArgs for BuilderPruneArgs {
    fn run(self, _context: &CommandContext) -> CommandResult {
        if let Some(removed) = self.flags.prune(|_| Ok(None))? {
            output::print(&(cache::deleted_lines(&removed) + &reclaimed_line(cache::total_size(&removed))))?;
        }
        Ok(0)
    }
}

/// Arguments of `buildx prune`.
#[derive(Args)]
struct BuildxPruneArgs {
    #[command(flatten)]
    flags: CachePruneFlags,
    /// Builder, one of `buildx ls`: they share one cache
    #[arg(long, value_name = "NAME")]
    builder: Option<String>,
    #[command(flatten)]
    limits: SpaceLimits,
    /// Everything about each
    #[arg(long)]
    verbose: bool,
}

/// How much of the cache may stay.
#[derive(Args)]
struct SpaceLimits {
    /// The most that may be left
    #[arg(long, value_name = "SIZE", value_parser = bytes::parse)]
    max_used_space: Option<u64>,
    /// Remove until as much as this is free on the disk
    #[arg(long, value_name = "SIZE", value_parser = bytes::parse)]
    min_free_space: Option<u64>,
    /// Leave as much as this, whatever the other limits say
    #[arg(long, value_name = "SIZE", value_parser = bytes::parse)]
    reserved_space: Option<u64>,
}

impl CommandArgs for BuildxPruneArgs {
    fn run(self, _context: &CommandContext) -> CommandResult {
        let store = Store::open(environment::data_root()?)?;
        builders::check_builder(&store, self.builder.as_deref())?;
        let Self { flags, limits, verbose, .. } = self;
        if let Some(removed) = flags.prune(|store| limits.space_to_keep(store))? {
            let body = if verbose {
                removed.iter().map(cache::cache_details).collect()
            } else {
                cache::cache_table(&removed)
            };
            output::print(&format!("{body}Total:\t{}\n", bytes::human(cache::total_size(&removed))))?;
        }
        Ok(0)
    }
}

impl SpaceLimits {
    /// How many bytes all limits together allow to stay; None without a limit. Call it where files of every owner can be
    /// measured.
    fn space_to_keep(&self, store: &Store) -> anyhow::Result<Option<u64>> {
        // As in BuildKit, 0 is the same as no limit.
        let given = |limit: Option<u64>| limit.filter(|limit| *limit > 0);
        let disk_limit = match given(self.min_free_space) {
            None => None,
            Some(min_free) => {
                let disk = rustix::fs::statvfs(store.root())?;
                let missing = min_free.saturating_sub(disk.f_bavail.saturating_mul(disk.f_frsize));
                let entries = dhow_builder::prune::list_cache(store)?;
                // What is missing on the disk has to come out of the cache.
                Some(cache::total_size(&entries).saturating_sub(missing))
            }
        };
        let limit = [given(self.max_used_space), disk_limit].into_iter().flatten().min();
        // The strictest limit counts, but the reserved space stays in any case.
        Ok(match (limit, given(self.reserved_space)) {
            (Some(limit), Some(reserved)) => Some(limit.max(reserved)),
            (limit, reserved) => limit.or(reserved),
        })
    }
}
