//! `volume ls`: lists volumes, narrowed by filters.

use std::path::PathBuf;

use anyhow::Result;

use super::usage::used_volumes;
use crate::filter_pattern::FilterPattern;
use dhow_model::filter::{self, ListFilter};
use dhow_model::volume::DRIVER;
use dhow_store::{Store, VolumeRecord};

#[derive(Clone, Debug)]
pub struct VolumeSummary {
    pub record: VolumeRecord,
    /// The directory of its files.
    pub mountpoint: PathBuf,
}

/// The volumes that match all `filters`, sorted by name.
pub fn list(store: &Store, filters: &[ListFilter]) -> Result<Vec<VolumeSummary>> {
    let filters = VolumeFilters::new(store, filters)?;
    let mut summaries = Vec::new();
    for record in store.volumes()? {
        if filters.accept(&record) {
            let mountpoint = store.volume_data(&record.name)?;
            summaries.push(VolumeSummary { record, mountpoint });
        }
    }
    Ok(summaries)
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
                    // Only checked here; `accept` parses it again.
                    filter.boolean()?;
                    used = used_volumes(store)?;
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::volume::create::{NewVolume, create};
    use dhow_store::scratch;

    pub(in crate::volume) fn filter(text: &str) -> ListFilter {
        text.parse().unwrap()
    }

    pub(in crate::volume) fn names(store: &Store, filters: &[&str]) -> Vec<String> {
        let filters: Vec<_> = filters.iter().map(|text| filter(text)).collect();
        list(store, &filters).unwrap().into_iter().map(|listed| listed.record.name).collect()
    }

    pub(in crate::volume) fn store() -> (tempfile::TempDir, Store) {
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
}
