//! `image ls`: lists images with their names, narrowed by filters.

use std::collections::{HashMap, HashSet};

use anyhow::Result;
use jiff::Timestamp;

use super::lookup::{ImageSummary, with_names};
use dhow_error::Failure;
use dhow_model::digest::Digest;
use dhow_model::filter::{LabelFilter, ListFilter};
use dhow_model::glob;
use dhow_model::reference::ImageReference;
use dhow_model::timestamp;
use dhow_store::{NameRecord, Store, StoredImage};

/// The images that match all `filters`, newest first. Keys: `before`, `dangling`, `label`, `label!`,
/// `reference`, `since`, `until`.
pub fn list(store: &Store, filters: &[ListFilter]) -> Result<Vec<ImageSummary>> {
    let conditions = ImageFilters::parse(store, filters)?;
    let mut names_by_id: HashMap<Digest, Vec<NameRecord>> = HashMap::new();
    let mut others = HashSet::new();
    for name in store.names()? {
        others.extend(name.others.iter().cloned());
        names_by_id.entry(name.id.clone()).or_default().push(name);
    }
    let mut summaries = Vec::new();
    for image in store.images()? {
        let names = names_by_id.remove(&image.id).unwrap_or_default();
        // A multi-platform name is listed once, for the image of one platform; this is one of its others.
        if names.is_empty() && others.contains(&image.id) {
            continue;
        }
        let item = with_names(image, names);
        summaries.extend(conditions.apply(item)?);
    }
    summaries.sort_by_cached_key(|item| std::cmp::Reverse(created(&item.image)));
    Ok(summaries)
}

/// When the image was created, according to its configuration.
fn created(image: &StoredImage) -> Option<Timestamp> {
    image.config.created.as_deref()?.parse().ok()
}

#[derive(Default)]
struct ImageFilters {
    dangling: Option<bool>,
    labels: Vec<LabelFilter>,
    references: Vec<String>,
    before: Option<Timestamp>,
    since: Option<Timestamp>,
}

impl ImageFilters {
    fn parse(store: &Store, filters: &[ListFilter]) -> Result<Self> {
        let mut conditions = Self::default();
        let created_of = |name: &str| store.find_image(name).map(|image| created(&image));
        let earlier = |a: Option<Timestamp>, b: Option<Timestamp>| a.into_iter().chain(b).min();
        for filter in filters {
            match filter.key.as_str() {
                "before" => conditions.before = earlier(conditions.before, created_of(&filter.value)?),
                "until" => {
                    let until = timestamp::parse(&filter.value, Timestamp::now())?;
                    conditions.before = earlier(conditions.before, Some(until));
                }
                "since" => conditions.since = conditions.since.max(created_of(&filter.value)?),
                "dangling" => conditions.dangling = Some(filter.boolean()?),
                "label" => conditions.labels.push(LabelFilter::new(&filter.value, true)),
                "label!" => conditions.labels.push(LabelFilter::new(&filter.value, false)),
                "reference" => conditions.references.push(filter.value.clone()),
                _ => return Err(filter.unknown("before, dangling, label, reference, since, until").into()),
            }
        }
        Ok(conditions)
    }

    /// The image with those of its names that match, or `None` if the image does not match.
    fn apply(&self, mut item: ImageSummary) -> Result<Option<ImageSummary>, Failure> {
        let created_at = created(&item.image);
        // Without a creation time an image is older than any other: `None` is less than `Some`.
        let in_time = self.before.is_none_or(|before| created_at < Some(before))
            && self.since.is_none_or(|since| created_at > Some(since));
        let labels = item.image.config.config.labels.as_ref();
        let dangling_matches = self.dangling.is_none_or(|dangling| dangling == item.tags.is_empty());
        if !in_time || !dangling_matches || !self.labels.iter().all(|label| label.matches(labels)) {
            return Ok(None);
        }
        if self.references.is_empty() {
            return Ok(Some(item));
        }
        item.tags = self.matching(item.tags)?;
        item.digests = self.matching(item.digests)?;
        Ok((!item.tags.is_empty() || !item.digests.is_empty()).then_some(item))
    }

    fn matching(&self, names: Vec<ImageReference>) -> Result<Vec<ImageReference>, Failure> {
        let mut matching = Vec::new();
        for name in names {
            for pattern in &self.references {
                if glob::matches(pattern, &name.familiar())? || glob::matches(pattern, &name.familiar_name())?
                {
                    matching.push(name);
                    break;
                }
            }
        }
        Ok(matching)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_store::NewImage;

    struct Fixture {
        _dir: tempfile::TempDir,
        store: Store,
    }

    impl Fixture {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(dir.path().join("store")).unwrap();
            let fixture = Self { _dir: dir, store };
            fixture.put("2020-01-01T00:00:00Z", "old", &["debian:11", "r.example/a/debian:11"]);
            fixture.put("2022-01-01T00:00:00Z", "middle", &["debian:12", "busybox:1"]);
            fixture.put("2024-01-01T00:00:00Z", "new", &[]);
            fixture
        }

        fn put(&self, created: &str, label: &str, names: &[&str]) {
            let config = serde_json::json!({
                "created": created,
                "config": {"Labels": {"age": label}},
                "rootfs": {"type": "layers", "diff_ids": []},
            });
            let names: Vec<(ImageReference, Option<Digest>)> =
                names.iter().map(|name| (name.parse().unwrap(), None)).collect();
            let config = config.to_string();
            let new = NewImage { config: config.as_bytes(), manifest: None, layers: &[], names: &names };
            self.store.put_image(&new).unwrap();
        }

        /// The labels and numbers of names of what is listed.
        fn list(&self, filters: &[&str]) -> Vec<(String, usize)> {
            let filters: Vec<ListFilter> = filters.iter().map(|text| text.parse().unwrap()).collect();
            let label = |image: &StoredImage| image.config.config.labels.as_ref().unwrap()["age"].clone();
            let listed = list(&self.store, &filters).unwrap();
            listed.iter().map(|item| (label(&item.image), item.tags.len())).collect()
        }
    }

    #[test]
    fn the_newest_comes_first_and_filters_narrow() {
        let fixture = Fixture::new();
        let expect = |filters: &[&str], expected: &[(&str, usize)]| {
            let expected: Vec<_> = expected.iter().map(|(age, tags)| ((*age).to_owned(), *tags)).collect();
            assert_eq!(fixture.list(filters), expected, "{filters:?}");
        };
        expect(&[], &[("new", 0), ("middle", 2), ("old", 2)]);
        expect(&["dangling=true"], &[("new", 0)]);
        expect(&["dangling=false"], &[("middle", 2), ("old", 2)]);
        expect(&["reference=debian"], &[("middle", 1), ("old", 1)]);
        expect(&["reference=debian:1*"], &[("middle", 1), ("old", 1)]);
        expect(&["reference=*/*/debian", "reference=busybox:1"], &[("middle", 1), ("old", 1)]);
        expect(&["before=debian:12"], &[("old", 2)]);
        expect(&["since=debian:12"], &[("new", 0)]);
        expect(&["until=2021-06-01"], &[("old", 2)]);
        expect(&["label=age=old"], &[("old", 2)]);
        expect(&["label=age", "label!=age=old"], &[("new", 0), ("middle", 2)]);
    }

    #[test]
    fn filters_that_make_no_sense_are_refused() {
        let fixture = Fixture::new();
        for bad in ["nonsense=1", "dangling=perhaps", "before=absent", "until=once", "reference=["] {
            assert!(list(&fixture.store, &[bad.parse().unwrap()]).is_err(), "{bad}");
        }
    }
}
