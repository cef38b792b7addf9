//! `builder prune` and `buildx prune`: remove build cache.

use clap::Args;

use super::du::{details, rows};
use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::{builders, environment, output, prompt};
use crate::engine::build::prune::{CacheEntry, PruneRequest, prune};
use crate::engine::namespace;
use crate::error::Failure;
use crate::model::bytes;
use crate::model::filter::Filter;
use crate::store::Store;

pub(crate) const BUILDER: Entry =
    Entry::new::<BuilderPrune>(&["builder prune"], "[OPTIONS]", "Remove what the build cache holds");
pub(crate) const ENTRY: Entry =
    Entry::new::<Prune>(&["buildx prune"], "[OPTIONS]", "Remove what the build cache holds, and show it");

/// What to remove, and whether to ask.
#[derive(Args)]
struct Flags {
    /// What images have too, not only what nothing else uses
    #[arg(short, long)]
    all: bool,
    /// Only what matches: id, type, description, until, inuse, shared, private, mutable
    #[arg(long, value_name = "FILTER", value_parser = cache_filter)]
    filter: Vec<Filter>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Leave as much as this, the latest
    #[arg(long, value_name = "SIZE", value_parser = bytes::parse)]
    keep_storage: Option<u64>,
}

impl Flags {
    /// Removes the cache, if the user agrees, and leaves `keep` bytes unless `--keep-storage` says otherwise.
    /// None if the user does not agree.
    fn prune(self, keep: Option<u64>) -> anyhow::Result<Option<Vec<CacheEntry>>> {
        let warning = match self.all {
            true => "This will remove all build cache.",
            false => "This will remove all dangling build cache.",
        };
        if !self.force && !prompt::agrees(warning)? {
            return Ok(None);
        }
        namespace::enter(&environment::all())?;
        let store = Store::open(environment::data_root()?)?;
        store.sweep()?;
        let keep = self.keep_storage.or(keep).filter(|keep| *keep > 0);
        let request = PruneRequest { all: self.all, filters: self.filter, keep, dry_run: false };
        prune(&store, &request).map(Some)
    }
}

/// Arguments of `builder prune`.
#[derive(Args)]
pub(crate) struct BuilderPrune {
    #[command(flatten)]
    flags: Flags,
}

impl Verb for BuilderPrune {
    fn run(self, _context: &Context) -> Outcome {
        if let Some(gone) = self.flags.prune(None)? {
            output::print(&format!("{}Total reclaimed space: {}\n", lines(&gone), bytes::human(sum(&gone))))?;
        }
        Ok(0)
    }
}

/// Arguments of `buildx prune`.
#[derive(Args)]
pub(crate) struct Prune {
    #[command(flatten)]
    flags: Flags,
    /// Builder, one of `buildx ls`: they share one cache
    #[arg(long, value_name = "NAME")]
    builder: Option<String>,
    /// The most that may be left
    #[arg(long, value_name = "SIZE", value_parser = bytes::parse)]
    max_used_space: Option<u64>,
    /// Remove until as much as this is free on the disk
    #[arg(long, value_name = "SIZE", value_parser = bytes::parse)]
    min_free_space: Option<u64>,
    /// Leave as much as this, whatever the other limits say
    #[arg(long, value_name = "SIZE", value_parser = bytes::parse)]
    reserved_space: Option<u64>,
    /// Everything about each
    #[arg(long)]
    verbose: bool,
}

impl Verb for Prune {
    fn run(self, _context: &Context) -> Outcome {
        let store = Store::open(environment::data_root()?)?;
        builders::check(&store, self.builder.as_deref())?;
        let keep = self.keep(&store)?;
        if let Some(gone) = self.flags.prune(keep)? {
            let body = if self.verbose { gone.iter().map(details).collect() } else { rows(&gone) };
            output::print(&format!("{body}Total:\t{}\n", bytes::human(sum(&gone))))?;
        }
        Ok(0)
    }
}

impl Prune {
    /// How many bytes all limits together allow to stay; None without a limit.
    fn keep(&self, store: &Store) -> anyhow::Result<Option<u64>> {
        let free = match self.min_free_space {
            None => None,
            Some(wanted) => {
                let disk = rustix::fs::statvfs(store.root())?;
                let missing = wanted.saturating_sub(disk.f_bavail.saturating_mul(disk.f_frsize));
                let held = crate::engine::build::prune::list(store)?;
                // What is missing on the disk has to come out of the cache.
                Some(sum(&held).saturating_sub(missing))
            }
        };
        let limit = [self.max_used_space, free].into_iter().flatten().min();
        Ok(match (limit, self.reserved_space) {
            (Some(limit), Some(reserved)) => Some(limit.max(reserved)),
            (limit, reserved) => limit.or(reserved),
        })
    }
}

/// The size of all entries in bytes.
pub(crate) fn sum(entries: &[CacheEntry]) -> u64 {
    entries.iter().map(|entry| entry.size).fold(0, u64::saturating_add)
}

/// The removed entries with a heading and an empty line after them; empty if there are none.
pub(crate) fn lines(gone: &[CacheEntry]) -> String {
    if gone.is_empty() {
        return String::new();
    }
    let ids: String = gone.iter().map(|entry| format!("{}\n", entry.id)).collect();
    format!("Deleted build cache objects:\n{ids}\n")
}

/// Parses `KEY=VALUE`, `KEY~=PART` and, for booleans, `KEY`.
pub(super) fn cache_filter(text: &str) -> Result<Filter, Failure> {
    if let Some((key, part)) = text.split_once("~=") {
        return format!("{key}=~{part}").parse();
    }
    match text.contains('=') {
        true => text.parse(),
        false => Ok(Filter { key: text.trim().to_lowercase(), value: String::new() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_of_the_cache() {
        let read = |text: &str| cache_filter(text).map(|filter| (filter.key, filter.value)).unwrap();
        assert_eq!(read("until=24h"), ("until".into(), "24h".into()));
        assert_eq!(read("description~=RUN a=b"), ("description".into(), "~RUN a=b".into()));
        assert_eq!(read("inuse"), ("inuse".into(), String::new()));
    }
}
