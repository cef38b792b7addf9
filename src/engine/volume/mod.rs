//! `volume`: creates, lists, removes and prunes volumes.

pub(crate) mod inspect;
use std::path::PathBuf;

use anyhow::Result;

use super::container::ls::FilterPattern;
use super::prune_conditions::PruneConditions;
use super::tree_size::size_below;
use dhow_error::{FailureKind, kind_of, unsupported};
use dhow_model::event::EventKind;
use dhow_model::filter::{self, ListFilter};
use dhow_model::mount::MountSource;
use dhow_model::volume::{DRIVER, StringMap, VolumeBacking, check_driver};
use dhow_store::event_log;
use dhow_store::{Store, VolumeRecord};

#[derive(Clone, Debug, Default)]
pub struct NewVolume {
    /// A random one if empty.
    pub name: String,
    /// Empty for `local`.
    pub driver: String,
    pub labels: StringMap,
    /// Options of the driver.
    pub options: StringMap,
}

/// Creates the volume unless it exists, and returns its name.
pub fn create(store: &Store, new: NewVolume) -> Result<String> {
    check_driver(&new.driver)?;
    let NewVolume { name, labels, options, .. } = new;
    let record = VolumeRecord { name, labels, options, ..VolumeRecord::default() };
    // Only to refuse options that make no sense, before anything is created.
    record.backing()?;
    Ok(store.create_volume(record)?.name)
}

#[derive(Clone, Debug)]
pub struct VolumeSummary {
    pub record: VolumeRecord,
    /// The directory of its files.
    pub mountpoint: PathBuf,
}

/// The volumes that match all `filters`, sorted by name.
pub fn list(store: &Store, filters: &[ListFilter]) -> Result<Vec<VolumeSummary>> {
    let filters = VolumeFilters::new(store, filters)?;
    let mut listed = Vec::new();
    for record in store.volumes()? {
        if filters.accept(&record) {
            let mountpoint = store.volume_data(&record.name)?;
            listed.push(VolumeSummary { record, mountpoint });
        }
    }
    Ok(listed)
}

struct VolumeFilters<'a> {
    filters: &'a [ListFilter],
    /// Names of volumes in use; only looked up for the `dangling` filter.
    used: Vec<String>,
}

impl<'a> VolumeFilters<'a> {
    fn new(store: &Store, filters: &'a [ListFilter]) -> Result<Self> {
        let mut used = Vec::new();
        for filter in filters {
            match filter.key.as_str() {
                "dangling" => {
                    filter.boolean()?;
                    used = self::used_volumes(store)?;
                }
                "driver" | "label" | "name" => {}
                _ => return Err(filter.unknown("dangling, driver, label, name").into()),
            }
        }
        Ok(Self { filters, used })
    }

    fn accept(&self, record: &VolumeRecord) -> bool {
        let any =
            |key: &str, holds: &dyn Fn(&ListFilter) -> bool| filter::any_matches(self.filters, key, holds);
        let dangling = !self.used.contains(&record.name);
        any("dangling", &|filter| filter.boolean().is_ok_and(|wanted| wanted == dangling))
            && any("driver", &|filter| filter.value == DRIVER)
            && any("name", &|filter| FilterPattern::new(&filter.value).matches(&record.name))
            && filter::labels_match(self.filters, &record.labels)
    }
}

/// The names of volumes in containers' specifications, one for each use.
pub(crate) fn used_volumes(store: &Store) -> Result<Vec<String>> {
    let mut used = Vec::new();
    for container in store.containers()? {
        used.extend(container.spec().mounts.iter().filter_map(|mount| match &mount.source {
            MountSource::Volume { name, .. } => name.clone(),
            _ => None,
        }));
    }
    Ok(used)
}

/// Bytes of the files that a volume keeps in the store; 0 for a directory of the host or a tmpfs.
pub(crate) fn volume_size(store: &Store, record: &VolumeRecord) -> u64 {
    match (record.backing(), store.volume_data(&record.name)) {
        (Ok(VolumeBacking::Store), Ok(data)) => size_below(&data),
        _ => 0,
    }
}

/// Removes a volume that nothing uses; with `force` it need not exist.
///
/// The process must be able to delete files of every owner (see `userns`).
pub fn rm(store: &Store, name: &str, force: bool) -> Result<()> {
    match store.remove_volume(name) {
        Err(error) if force && kind_of(&error) == FailureKind::NotFound => Ok(()),
        other => other,
    }
}

#[derive(Clone, Debug, Default)]
pub struct VolumePruneRequest {
    /// Named volumes too, not only anonymous ones.
    pub all: bool,
    /// Without a time: volumes do not age.
    pub conditions: PruneConditions,
}

impl VolumePruneRequest {
    /// Parses `filters`, of which `all` sets [`VolumePruneRequest::all`].
    pub fn new(all: bool, filters: &[ListFilter]) -> Result<Self> {
        let mut request = Self { all, ..Self::default() };
        for filter in filters {
            match filter.key.as_str() {
                "all" => request.all |= filter.boolean()?,
                "until" => {
                    return Err(unsupported(
                        "the filter 'until' does not exist for volumes, which do not age",
                    )
                    .into());
                }
                _ if request.conditions.parse_filter(filter)? => {}
                _ => return Err(filter.unknown("label, label!, all").into()),
            }
        }
        Ok(request)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrunedVolumes {
    /// Names.
    pub volumes: Vec<String>,
    /// Bytes of their files.
    pub reclaimed: u64,
}

/// Removes the unused volumes that match the request.
///
/// The process must be able to delete files of every owner (see `userns`).
pub fn prune(store: &Store, request: &VolumePruneRequest) -> Result<PrunedVolumes> {
    let used = used_volumes(store)?;
    let mut pruned = PrunedVolumes::default();
    for record in store.volumes()? {
        let wanted = (request.all || record.anonymous)
            && !used.contains(&record.name)
            && request.conditions.matches(None, Some(&record.labels));
        if !wanted {
            continue;
        }
        // Measured while the files are still there.
        let size = volume_size(store, &record);
        match store.remove_volume(&record.name) {
            Ok(()) => {
                pruned.reclaimed = pruned.reclaimed.saturating_add(size);
                pruned.volumes.push(record.name);
            }
            // Another command used or removed it first.
            Err(error) if matches!(kind_of(&error), FailureKind::InUse | FailureKind::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    event_log::pruned(store, EventKind::Volume, pruned.reclaimed);
    Ok(pruned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_store::scratch;

    fn filter(text: &str) -> ListFilter {
        text.parse().unwrap()
    }

    fn names(store: &Store, filters: &[&str]) -> Vec<String> {
        let filters: Vec<_> = filters.iter().map(|text| filter(text)).collect();
        list(store, &filters).unwrap().into_iter().map(|listed| listed.record.name).collect()
    }

    fn store() -> (tempfile::TempDir, Store) {
        let (dir, store) = scratch::store();
        for (name, label) in [("one", "a"), ("two", "b"), ("three", "a")] {
            let labels = [(label.to_owned(), name.to_owned())].into();
            create(&store, NewVolume { name: name.into(), labels, ..NewVolume::default() }).unwrap();
        }
        (dir, store)
    }

    #[test]
    fn filters_choose() {
        let (_dir, store) = store();
        assert_eq!(names(&store, &[]), ["one", "three", "two"]);
        assert_eq!(names(&store, &["name=t"]), ["three", "two"]);
        assert_eq!(names(&store, &["label=a"]), ["one", "three"]);
        assert_eq!(names(&store, &["label=a=one"]), ["one"]);
        assert_eq!(names(&store, &["driver=nfs"]), [""; 0]);
        assert_eq!(names(&store, &["dangling=true", "name=two", "name=one"]), ["one", "two"]);
        assert_eq!(names(&store, &["dangling=false"]), [""; 0]);
        assert!(list(&store, &[filter("colour=red")]).is_err());
        assert!(list(&store, &[filter("dangling=maybe")]).is_err());
    }

    #[test]
    fn pruning_spares_what_has_a_name_unless_all_is_said() {
        let (_dir, store) = store();
        let anonymous = create(&store, NewVolume::default()).unwrap();
        std::fs::write(store.volume_data(&anonymous).unwrap().join("file"), "12345").unwrap();
        let prune = |all, filters: &[&str]| {
            let filters: Vec<_> = filters.iter().map(|text| filter(text)).collect();
            super::prune(&store, &VolumePruneRequest::new(all, &filters).unwrap()).unwrap()
        };
        assert_eq!(prune(false, &[]), PrunedVolumes { volumes: vec![anonymous], reclaimed: 5 });
        assert_eq!(prune(true, &["label=a=one"]).volumes, ["one"]);
        assert_eq!(prune(false, &["all=true", "label!=b"]).volumes, ["three"]);
        assert_eq!(names(&store, &[]), ["two"]);
        assert!(VolumePruneRequest::new(false, &[filter("until=1h")]).is_err());
    }
}
