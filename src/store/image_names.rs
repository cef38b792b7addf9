//! Image names: one record per tag or digest of a repository.

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::atomic::{self, Durability};
use super::lock::{FileLock, LockMode};
use super::{Store, timestamp_now};
use crate::fs::{ignore_missing, read_record};
use dhow_error::not_found;
use dhow_model::digest::Digest;
use dhow_model::platform::Platform;
use dhow_model::reference::ImageReference;

/// The longest file name derived from the reference itself; longer ones are replaced by their hash.
const LONGEST_PLAIN: usize = 200;

/// The target of an image name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameRecord {
    /// Has either a tag or a digest, not both.
    pub reference: ImageReference,
    /// The image's ID.
    pub id: Digest,
    /// The digest of the manifest (or index) that the registry served under this name, for a pulled image.
    #[serde(default)]
    pub digest: Option<Digest>,
    /// When the name was set; RFC 3339, UTC.
    pub since: String,
    /// Images for other platforms that the name also refers to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Digest>,
}

impl NameRecord {
    /// Whether the name refers to the image `id`, alone or together with others.
    pub(crate) fn refers_to(&self, id: &Digest) -> bool {
        self.id == *id || self.others.contains(id)
    }

    /// All images it refers to, starting with the default one.
    pub fn ids(&self) -> impl Iterator<Item = &Digest> {
        std::iter::once(&self.id).chain(&self.others)
    }
}

impl Store {
    /// Points `reference` (a tag or digest) at an existing image. `digest` is that of the manifest it was
    /// pulled by; it is also recorded as a separate name (`repository@digest`), which survives moving the
    /// tag.
    pub fn set_name(
        &self,
        reference: &ImageReference,
        id: &Digest,
        digest: Option<&Digest>,
    ) -> anyhow::Result<()> {
        let _image = self.lock_image_shared(id)?;
        if !self.has_image(id) {
            return Err(not_found(format!("No such image: {id}")).into());
        }
        self.write_name(reference, id, digest)
    }

    /// Points `reference` at several images. The one that best matches `platform` becomes the default.
    pub fn set_multi_platform_name(
        &self,
        reference: &ImageReference,
        ids: &[Digest],
        platform: &Platform,
    ) -> anyhow::Result<()> {
        let mut locks = Vec::new();
        let mut best: Option<(Option<u32>, &Digest)> = None;
        let mut sorted: Vec<&Digest> = ids.iter().collect();
        // Lock in a fixed order, or two processes could deadlock.
        sorted.sort();
        sorted.dedup();
        for id in &sorted {
            locks.push(self.lock_image_shared(id)?);
        }
        for id in ids {
            let gone = || not_found(format!("No such image: {id}"));
            let rank = platform.rank(&self.image(id)?.ok_or_else(gone)?.platform());
            if best.is_none_or(|(highest, _)| rank > highest) {
                best = Some((rank, id));
            }
        }
        let Some((_, first)) = best else { return Ok(()) };
        let mut others: Vec<Digest> = Vec::new();
        for id in ids.iter().filter(|id| *id != first) {
            if !others.contains(id) {
                others.push(id.clone());
            }
        }
        self.write_name_records(reference, first, None, &others)
    }

    /// Like [`Store::set_name`], for a caller that holds the image's lock.
    pub(crate) fn write_name(
        &self,
        reference: &ImageReference,
        id: &Digest,
        digest: Option<&Digest>,
    ) -> anyhow::Result<()> {
        self.write_name_records(reference, id, digest, &[])
    }

    fn write_name_records(
        &self,
        reference: &ImageReference,
        id: &Digest,
        digest: Option<&Digest>,
        others: &[Digest],
    ) -> anyhow::Result<()> {
        let reference = reference.clone().or_latest();
        let doing = || format!("cannot record the name {reference}");
        let _lock =
            FileLock::acquire(&self.plain_lock_path("names"), LockMode::Exclusive).with_context(doing)?;
        let mut records = Vec::new();
        if let Some(digest) = digest.or(reference.digest()) {
            records.push(reference.with_digest(digest.clone()));
        }
        if let Some(tag) = reference.tag() {
            records.push(reference.with_tag(tag)?);
        }
        for reference in records {
            let path = self.name_path(&reference);
            let others = others.to_vec();
            let record = NameRecord {
                reference,
                id: id.clone(),
                digest: digest.cloned(),
                since: timestamp_now(),
                others,
            };
            atomic::write_json(&path, &record, Durability::Unsynced).with_context(doing)?;
        }
        Ok(())
    }

    /// Removes the name if it still refers to `id`. Returns whether it did.
    pub fn remove_name(&self, reference: &ImageReference, id: &Digest) -> anyhow::Result<bool> {
        let doing = || format!("cannot remove the name {reference}");
        let _lock =
            FileLock::acquire(&self.plain_lock_path("names"), LockMode::Exclusive).with_context(doing)?;
        if self.name(reference)?.is_none_or(|record| !record.refers_to(id)) {
            return Ok(false);
        }
        ignore_missing(std::fs::remove_file(self.name_path(reference))).with_context(doing)?;
        Ok(true)
    }

    /// The target of `reference`, looked up by its digest if it has one, else by its tag (default `latest`).
    pub fn name(&self, reference: &ImageReference) -> anyhow::Result<Option<NameRecord>> {
        let reference = lookup_reference(reference);
        let record: Option<NameRecord> = read_record(&self.name_path(&reference))?;
        // Long names are hashed; make sure the record is really about this reference.
        Ok(record.filter(|record| record.reference == reference))
    }

    fn name_path(&self, reference: &ImageReference) -> std::path::PathBuf {
        self.names_dir().join(file_name(&lookup_reference(reference)))
    }
}

/// Reduces a reference to either a tag or a digest; the digest takes precedence.
fn lookup_reference(reference: &ImageReference) -> ImageReference {
    match reference.digest() {
        Some(digest) => reference.with_digest(digest.clone()),
        None => reference.clone().or_latest(),
    }
}

/// The file name for a reference.
pub(crate) fn file_name(reference: &ImageReference) -> String {
    let plain = reference.to_string().replace('/', "%");
    if plain.len() <= LONGEST_PLAIN { plain } else { Digest::of(plain.as_bytes()).hex().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::tests::put;
    use crate::scratch::store;

    fn reference(text: &str) -> ImageReference {
        text.parse().unwrap()
    }

    #[test]
    fn a_tag_and_its_digest_are_two_names() {
        let (_dir, store) = store();
        let id = put(&store, "a");
        let digest = Digest::of(b"manifest");
        store.set_name(&reference("debian:12"), &id, Some(&digest)).unwrap();
        let names: Vec<String> =
            store.names().unwrap().iter().map(|record| record.reference.familiar()).collect();
        assert_eq!(names, [format!("debian@{digest}"), "debian:12".to_owned()]);
        assert_eq!(store.name(&reference(&format!("debian:x@{digest}"))).unwrap().unwrap().id, id);
    }

    #[test]
    fn a_name_moves_and_goes_only_from_where_it_points() {
        let (_dir, store) = store();
        let (a, b) = (put(&store, "a"), put(&store, "b"));
        let name = reference("debian");
        store.set_name(&name, &a, None).unwrap();
        store.set_name(&name, &b, None).unwrap();
        assert!(!store.remove_name(&name, &a).unwrap());
        assert_eq!(store.name(&name).unwrap().unwrap().id, b);
        assert!(store.remove_name(&name, &b).unwrap());
        assert!(store.name(&name).unwrap().is_none());
    }

    #[test]
    fn a_name_needs_an_image() {
        let (_dir, store) = store();
        assert!(store.set_name(&reference("x"), &Digest::of(b"none"), None).is_err());
    }

    #[test]
    fn long_names_fit_a_file_name() {
        let long = reference(&format!("r.example/{}:{}", "a/".repeat(100) + "b", "t".repeat(128)));
        assert!(file_name(&long).len() <= 255);
    }
}
