//! `volume prune`: removes unused volumes.

use anyhow::Result;

use super::usage::{used_volumes, volume_size};
use crate::prune_conditions::PruneConditions;
use dhow_error::{FailureKind, kind_of, unsupported};
use dhow_model::event::EventKind;
use dhow_model::filter::ListFilter;
use dhow_store::Store;
use dhow_store::event_records;

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
/// The process must be able to delete files of every owner (see `dhow_runtime::userns`).
pub fn prune(store: &Store, request: &VolumePruneRequest) -> Result<PrunedVolumes> {
    let used = used_volumes(store)?;
    let mut pruned = PrunedVolumes::default();
    for record in store.volumes()? {
        let selected = (request.all || record.anonymous)
            && !used.contains(&record.name)
            && request.conditions.matches(None, Some(&record.labels));
        if !selected {
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
    event_records::pruned(store, EventKind::Volume, pruned.reclaimed);
    Ok(pruned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::create::{NewVolume, create};
    use crate::volume::ls::tests::{filter, names, store};

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
