//! The contents of the build cache, and pruning it: `builder prune`, `buildx prune`, `buildx du`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use jiff::Timestamp;

use dhow_error::Failure;
use dhow_model::digest::Digest;
use dhow_model::filter::{ListFilter, any_matches};
use dhow_model::timestamp;
use dhow_store::Store;

/// Characters of an entry's ID, as in BuildKit.
const ID_LENGTH: usize = 25;
const KNOWN_FILTERS: &str =
    "id, type, description, parent, until, unused-for, inuse, shared, private, mutable, immutable";

/// A record of the build cache: a step's result or a cache mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheEntry {
    pub id: String,
    /// `regular`, or `exec.cachemount`.
    pub kind: String,
    /// The step's title, or the cache mount's ID.
    pub description: String,
    /// In bytes; 0 if another entry has the same layer.
    pub size: u64,
    /// RFC 3339.
    pub created: String,
    /// RFC 3339.
    pub last_used: Option<String>,
    /// How often the result was reused.
    pub uses: u64,
    /// A running build uses it.
    pub in_use: bool,
    /// An image contains its layer too.
    pub shared: bool,
    /// True for cache mounts.
    pub mutable: bool,
    /// IDs of the steps before it.
    pub parents: Vec<String>,
    object: CacheObject,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum CacheObject {
    Step(Digest),
    Mount(String),
}

#[derive(Clone, Debug, Default)]
pub struct CachePruneRequest {
    /// Also records whose layers images contain.
    pub all: bool,
    pub filters: Vec<ListFilter>,
    /// Prune the least recently used records until at most this many bytes are left.
    pub keep: Option<u64>,
    /// Only report what would be removed.
    pub dry_run: bool,
}

/// All records of the build cache. Cache mounts are measured by their files, so call this where files of
/// every owner can be read ([`dhow_runtime::userns`]); elsewhere sizes may be too small.
pub fn list_cache(store: &Store) -> Result<Vec<CacheEntry>> {
    let images: BTreeSet<Digest> =
        store.images()?.into_iter().flat_map(|image| image.config.rootfs.diff_ids).collect();
    let mut counted = BTreeSet::new();
    let mut entries = Vec::new();
    for (key, record) in store.steps()? {
        let layer = record.layer.as_ref();
        entries.push(CacheEntry {
            id: id(&key),
            kind: "regular".into(),
            description: record.description,
            // Steps with the same layer share it; count it once.
            size: if layer.is_some_and(|layer| counted.insert(layer.clone())) { record.size } else { 0 },
            created: record.created,
            last_used: record.used,
            uses: record.uses,
            in_use: match layer {
                Some(layer) => store.is_layer_leased(layer)?,
                None => false,
            },
            shared: layer.is_some_and(|layer| images.contains(layer)),
            mutable: false,
            parents: record.parents.iter().map(id).collect(),
            object: CacheObject::Step(key),
        });
    }
    for mount in store.cache_mounts()? {
        entries.push(CacheEntry {
            id: mount.name.chars().take(ID_LENGTH).collect(),
            kind: "exec.cachemount".into(),
            description: format!("cached mount {} from exec", mount.id),
            size: store.cache_mount_size(&mount),
            created: mount.created,
            last_used: Some(mount.used).filter(|used| !used.is_empty()),
            uses: 0,
            in_use: mount.in_use,
            shared: false,
            mutable: true,
            parents: Vec::new(),
            object: CacheObject::Mount(mount.name),
        });
    }
    entries.sort_by(|a, b| a.created.cmp(&b.created));
    Ok(entries)
}

/// Removes the records that the request selects, and returns them. Call it where files of every owner can be
/// removed.
pub fn prune_cache(store: &Store, request: &CachePruneRequest) -> Result<Vec<CacheEntry>> {
    let entries = list_cache(store)?;
    let conditions = PruneFilters::parse(&request.filters)?;
    let mut removed: Vec<CacheEntry> = Vec::new();
    let mut remaining = entries.iter().fold(0_u64, |sum, entry| sum.saturating_add(entry.size));
    let mut candidates: Vec<CacheEntry> = entries
        .into_iter()
        .filter(|entry| !entry.in_use && (request.all || !entry.shared) && conditions.matches(entry))
        .collect();
    // Least recently used first.
    candidates.sort_by(|a, b| last_used(a).cmp(last_used(b)));
    for entry in candidates {
        // The limit is on what is left, whatever the filters select.
        if request.keep.is_some_and(|keep| remaining <= keep) {
            break;
        }
        remaining = remaining.saturating_sub(entry.size);
        removed.push(entry);
    }
    if !request.dry_run {
        remove(store, &mut removed)?;
        if request.all && request.filters.is_empty() && request.keep.is_none() {
            // The stat caches of contexts go too when everything is pruned.
            store.remove_context_files()?;
        }
    }
    Ok(removed)
}

fn remove(store: &Store, removed: &mut Vec<CacheEntry>) -> Result<()> {
    let keys: BTreeSet<Digest> = removed
        .iter()
        .filter_map(|entry| match &entry.object {
            CacheObject::Step(key) => Some(key.clone()),
            CacheObject::Mount(_) => None,
        })
        .collect();
    store.prune_steps(&keys)?;
    let mut in_use = BTreeMap::new();
    // A mount that a build has taken meanwhile is kept, and not reported as removed.
    for entry in removed.iter() {
        if let CacheObject::Mount(name) = &entry.object
            && !store.remove_cache_mount(name)?
        {
            in_use.insert(name.clone(), ());
        }
    }
    removed.retain(|entry| !matches!(&entry.object, CacheObject::Mount(name) if in_use.contains_key(name)));
    // Frees the layers that no record and no image refers to any more.
    store.prune_layers()?;
    Ok(())
}

fn last_used(entry: &CacheEntry) -> &str {
    entry.last_used.as_deref().unwrap_or(&entry.created)
}

fn id(key: &Digest) -> String {
    key.hex().chars().take(ID_LENGTH).collect()
}

/// The parsed filters.
struct PruneFilters<'a> {
    filters: &'a [ListFilter],
    /// Only records last used before this.
    until: Option<Timestamp>,
}

impl<'a> PruneFilters<'a> {
    fn parse(filters: &'a [ListFilter]) -> Result<Self, Failure> {
        let mut until = None;
        for filter in filters {
            match filter.key.as_str() {
                "until" | "unused-for" => until = Some(timestamp::parse(&filter.value, Timestamp::now())?),
                "id" | "type" | "description" | "parent" => {}
                "inuse" | "shared" | "private" | "mutable" | "immutable" => {
                    // `inuse` alone means `inuse=true`.
                    if !filter.value.is_empty() {
                        filter.boolean()?;
                    }
                }
                _ => return Err(filter.unknown(KNOWN_FILTERS)),
            }
        }
        Ok(Self { filters, until })
    }

    fn matches(&self, entry: &CacheEntry) -> bool {
        let old = match (self.until, last_used(entry).parse::<Timestamp>()) {
            (Some(until), Ok(used)) => used < until,
            _ => true,
        };
        let flag = |key: &str, is: bool| {
            any_matches(self.filters, key, |filter| {
                filter.value.is_empty() && is || filter.boolean().is_ok_and(|expected| expected == is)
            })
        };
        // As in BuildKit, `~=` matches a substring.
        let text = |key: &str, value: &str| {
            any_matches(self.filters, key, |filter| match filter.value.strip_prefix('~') {
                Some(part) => value.contains(part.trim_start_matches('=')),
                // An ID may be shortened.
                None => value == filter.value || (key == "id" && value.starts_with(&filter.value)),
            })
        };
        old && flag("inuse", entry.in_use)
            && flag("shared", entry.shared)
            && flag("private", !entry.shared)
            && flag("mutable", entry.mutable)
            && flag("immutable", !entry.mutable)
            && text("id", &entry.id)
            && text("type", &entry.kind)
            && text("description", &entry.description)
            && any_matches(self.filters, "parent", |filter| entry.parents.contains(&filter.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_store::StepRecord;
    use dhow_store::scratch;

    fn store() -> (tempfile::TempDir, Store) {
        let (dir, store) = scratch::store();
        for (name, used) in [("a", "2024-01-01T00:00:00Z"), ("b", "2024-06-01T00:00:00Z")] {
            let record = StepRecord {
                created: used.into(),
                size: 10,
                ..StepRecord::new(None, 0, format!("RUN {name}"))
            };
            store.put_step(&Digest::of(name.as_bytes()), &record).unwrap();
        }
        (dir, store)
    }

    fn gone(store: &Store, filters: &[&str], request: CachePruneRequest) -> Vec<String> {
        let filters = filters.iter().map(|text| text.parse().unwrap()).collect();
        let gone = prune_cache(store, &CachePruneRequest { filters, ..request }).unwrap();
        gone.into_iter().map(|entry| entry.description).collect()
    }

    #[test]
    fn filters_choose_and_a_dry_run_removes_nothing() {
        let (_dir, store) = store();
        let dry = || CachePruneRequest { dry_run: true, ..CachePruneRequest::default() };
        assert_eq!(gone(&store, &["until=2024-03-01T00:00:00Z"], dry()), ["RUN a"]);
        assert_eq!(gone(&store, &["description=~b"], dry()), ["RUN b"]);
        assert_eq!(gone(&store, &["mutable=true"], dry()), [""; 0]);
        assert_eq!(gone(&store, &["type=regular"], dry()), ["RUN a", "RUN b"]);
        let wrong = CachePruneRequest { filters: vec!["x=y".parse().unwrap()], ..dry() };
        assert!(prune_cache(&store, &wrong).is_err());
        assert_eq!(gone(&store, &[], CachePruneRequest::default()), ["RUN a", "RUN b"]);
        assert!(list_cache(&store).unwrap().is_empty());
    }

    #[test]
    fn the_oldest_go_first_until_enough_have() {
        let (_dir, store) = store();
        let request = CachePruneRequest { keep: Some(0), ..CachePruneRequest::default() };
        // Steps without layers take up no room, so nothing has to go.
        assert_eq!(gone(&store, &[], request), [""; 0]);
    }
}
