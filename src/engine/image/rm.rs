//! `image rm`: removes names from images, and images without names, with the layers that no other image has.
//!
//! The rules and the wording of refusals are docker's: removing a name leaves the image while it has others; removing
//! by ID removes all names if they are of one repository, otherwise it needs `-f`; an image in use stays.

use anyhow::Result;

use dhow_error::{Failure, FailureKind};
use dhow_model::digest::Digest;
use dhow_model::reference::ImageReference;
use dhow_store::event_records;
use dhow_store::{ContainerDir, LockedImage, Store, StoredImage};

/// One line of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemovedItem {
    Untagged(String),
    /// An image's ID, or a layer's chain ID.
    Deleted(Digest),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageRemoval {
    /// In the order in which things happened.
    pub lines: Vec<RemovedItem>,
    /// Bytes of the removed layers' files.
    pub reclaimed: u64,
}

/// Removes what `text` means: a name, an ID or a prefix of one. `force` also removes an image with names in several
/// repositories. If only stopped containers use the image, it then loses its names but stays until they are gone,
/// since its layers are theirs. Images here have no parents, so `--no-prune` has nothing to keep.
///
/// The process must be able to delete files of every owner (see `userns`).
pub fn remove_image(store: &Store, text: &str, force: bool) -> Result<ImageRemoval> {
    loop {
        let image = store.find_image(text)?;
        // Removed by another command meanwhile: look the name up again.
        let Some(locked) = store.lock_image(&image.id)? else { continue };
        // The name may have moved to another image while we waited for the lock.
        if store.find_image(text)?.id == image.id {
            let users = locked.containers()?;
            let mut removal = ImageRemover { store, locked: &locked, users, force, lines: Vec::new() };
            let reference = parse_name(&image.id, text);
            let others = removal.others(reference.as_ref())?;
            let fate = match reference {
                Some(reference) => removal.by_name(&reference)?,
                None => removal.by_id()?,
            };
            let lines = removal.lines;
            let mut removal = finish(store, locked, lines, fate)?;
            remove_nameless(store, &others, &mut removal)?;
            return Ok(removal);
        }
    }
}

/// Removes those of `ids` that nothing needs any more: images of other platforms that shared the removed
/// name.
fn remove_nameless(store: &Store, ids: &[Digest], removal: &mut ImageRemoval) -> Result<()> {
    for id in ids {
        let Some(locked) = store.lock_image(id)? else { continue };
        // A name by digest, left by a push or pull, does not keep an image.
        let tagged = locked.names()?.iter().any(|name| name.reference.tag().is_some());
        if !tagged && locked.containers()?.is_empty() {
            let more = finish_removal(store, locked)?;
            removal.lines.extend(more.lines);
            removal.reclaimed = removal.reclaimed.saturating_add(more.reclaimed);
        }
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ImageFate {
    Keep,
    Delete,
}

pub(crate) fn finish_removal(store: &Store, locked: LockedImage) -> Result<ImageRemoval> {
    let lines: Vec<_> =
        locked.names()?.into_iter().map(|name| RemovedItem::Untagged(name.reference.familiar())).collect();
    lines.iter().for_each(|_| event_records::image_event(store, "untag", locked.image()));
    finish(store, locked, lines, ImageFate::Delete)
}

fn finish(
    store: &Store,
    locked: LockedImage,
    lines: Vec<RemovedItem>,
    fate: ImageFate,
) -> Result<ImageRemoval> {
    let mut removal = ImageRemoval { lines, reclaimed: 0 };
    if fate == ImageFate::Keep {
        return Ok(removal);
    }
    let image = locked.image().clone();
    locked.remove()?;
    event_records::image_event(store, "delete", &image);
    removal.lines.push(RemovedItem::Deleted(image.id.clone()));
    let layers = store.prune_layers()?;
    removal.reclaimed = layers.iter().map(|layer| layer.size).fold(0, u64::saturating_add);
    let is_pruned = |diff_id: &Digest| layers.iter().any(|layer| layer.diff_id == *diff_id);
    // The uppermost layer first, as docker lists them.
    for (diff_id, chain_id) in chain_ids(&image).into_iter().rev() {
        if is_pruned(&diff_id) {
            removal.lines.push(RemovedItem::Deleted(chain_id));
        }
    }
    Ok(removal)
}

/// The name that `text` is; `None` if it is a prefix of the image's ID.
fn parse_name(id: &Digest, text: &str) -> Option<ImageReference> {
    if id.as_str().starts_with(text) || id.hex().starts_with(text) {
        return None;
    }
    text.parse::<ImageReference>().ok().map(ImageReference::or_latest)
}

struct ImageRemover<'a> {
    store: &'a Store,
    locked: &'a LockedImage,
    users: Vec<ContainerDir>,
    force: bool,
    lines: Vec<RemovedItem>,
}

impl ImageRemover<'_> {
    fn image(&self) -> &StoredImage {
        self.locked.image()
    }

    fn names(&self) -> Result<Vec<ImageReference>> {
        Ok(self.locked.names()?.into_iter().map(|record| record.reference).collect())
    }

    /// The images of other platforms that lose a name when `reference`, or every name of this image, is
    /// removed.
    fn others(&self, reference: Option<&ImageReference>) -> Result<Vec<Digest>> {
        let names = self.locked.names()?.into_iter();
        let removed = names.filter(|name| reference.is_none_or(|reference| name.reference == *reference));
        let ids = removed.flat_map(|name| name.ids().cloned().collect::<Vec<_>>());
        Ok(ids.filter(|id| *id != self.image().id).collect())
    }

    fn untag(&mut self, reference: &ImageReference) -> Result<()> {
        if self.locked.remove_name(reference)? {
            event_records::image_event(self.store, "untag", self.image());
            self.lines.push(RemovedItem::Untagged(reference.familiar()));
        }
        Ok(())
    }

    fn by_name(&mut self, reference: &ImageReference) -> Result<ImageFate> {
        // A reference with tag and digest means the digest; the names of the store have one or the other.
        let reference = match reference.digest() {
            Some(digest) => reference.with_digest(digest.clone()),
            None => reference.clone(),
        };
        if !self.force
            && is_one_repository(&self.names()?)
            && let Some(user) = self.users.first()
        {
            return Err(conflict(format!(
                "conflict: unable to remove repository reference \"{}\" (must force) - container {} is using its referenced image {}",
                reference.familiar(),
                short(user),
                self.image().id.short()
            )));
        }
        self.untag(&reference)?;
        self.untag_digests_alone(&reference)?;
        // The name is gone in any case. If a container keeps the image, that is an error only where the image
        // would have no name left, which was refused above.
        if self.names()?.is_empty() && self.users.is_empty() {
            Ok(ImageFate::Delete)
        } else {
            Ok(ImageFate::Keep)
        }
    }

    /// With the last tag of a repository, the digests of that repository go too.
    fn untag_digests_alone(&mut self, reference: &ImageReference) -> Result<()> {
        let same_repository = |name: &ImageReference| name.familiar_name() == reference.familiar_name();
        let names: Vec<ImageReference> = self.names()?.into_iter().filter(same_repository).collect();
        if reference.digest().is_some() || names.iter().any(|name| name.tag().is_some()) {
            return Ok(());
        }
        names.iter().try_for_each(|name| self.untag(name))
    }

    fn by_id(&mut self) -> Result<ImageFate> {
        let id = self.image().id.short().to_owned();
        for user in &self.users {
            if user.is_locked()? {
                return Err(conflict(format!(
                    "conflict: unable to delete {id} (cannot be forced) - image is being used by running container {}",
                    short(user)
                )));
            }
        }
        let names = self.names()?;
        if !self.force && !is_one_repository(&names) {
            return Err(conflict(format!(
                "conflict: unable to delete {id} (must be forced) - image is referenced in multiple repositories"
            )));
        }
        if !self.force
            && let Some(user) = self.users.first()
        {
            return Err(conflict(format!(
                "conflict: unable to delete {id} (must be forced) - image is being used by stopped container {}",
                short(user)
            )));
        }
        names.iter().try_for_each(|name| self.untag(name))?;
        Ok(if self.users.is_empty() { ImageFate::Delete } else { ImageFate::Keep })
    }
}

/// Whether there is at most one tag, and all digests belong to its repository.
fn is_one_repository(names: &[ImageReference]) -> bool {
    if names.len() <= 1 {
        return true;
    }
    let mut tags = names.iter().filter(|name| name.tag().is_some());
    let (tag, second) = (tags.next(), tags.next());
    let Some(repository) = tag.or(names.first()).map(ImageReference::familiar_name) else { return true };
    second.is_none() && names.iter().all(|name| name.familiar_name() == repository)
}

/// Each layer's digest with its chain ID (OCI image specification, "Layer ChainID").
fn chain_ids(image: &StoredImage) -> Vec<(Digest, Digest)> {
    let mut chain: Option<Digest> = None;
    let mut ids = Vec::new();
    for diff_id in &image.config.rootfs.diff_ids {
        let chain_id = match &chain {
            Some(below) => Digest::of(format!("{below} {diff_id}").as_bytes()),
            None => diff_id.clone(),
        };
        ids.push((diff_id.clone(), chain_id.clone()));
        chain = Some(chain_id);
    }
    ids
}

fn short(container: &ContainerDir) -> &str {
    container.spec().short_id()
}

fn conflict(message: String) -> anyhow::Error {
    Failure::new(FailureKind::Conflict, message).into()
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use dhow_error::kind_of;
    use dhow_model::container::{ContainerImage, ContainerSpec};
    use dhow_model::layer::{LayerOwnership, LayerRecord};
    use dhow_store::{LayerLease, LayerSlot, LockedContainer, NewImage, new_container_id};

    pub struct RmiFixture {
        _dir: tempfile::TempDir,
        pub store: Store,
    }

    impl RmiFixture {
        #[expect(clippy::new_without_default, reason = "a fixture of tests")]
        pub fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(dir.path().join("store")).unwrap();
            Self { _dir: dir, store }
        }

        fn layer(&self, content: &str) -> LayerLease {
            let diff_id = Digest::of(content.as_bytes());
            match self.store.begin_layer(&diff_id).unwrap() {
                LayerSlot::Present(lease) => lease,
                LayerSlot::Draft(draft) => {
                    let identity = LayerOwnership::Single;
                    draft
                        .commit(LayerRecord { diff_id, size: 10, tar_size: 1024, identity, sources: vec![] })
                        .unwrap()
                }
            }
        }

        /// An image of a layer `base` that all have, and one of its own.
        pub fn image(&self, author: &str) -> Digest {
            self.image_with(author, "2001-01-01T00:00:00Z", "{}")
        }

        pub fn image_with(&self, author: &str, created: &str, labels: &str) -> Digest {
            let layers = [self.layer("base"), self.layer(author)];
            let config = format!(
                r#"{{"author":"{author}","created":"{created}","config":{{"Labels":{labels}}},"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{}","{}"]}}}}"#,
                layers[0].diff_id, layers[1].diff_id
            );
            let new = NewImage { config: config.as_bytes(), manifest: None, layers: &layers, names: &[] };
            self.store.put_image(&new).unwrap()
        }

        pub fn name(&self, name: &str, id: &Digest) {
            let digest = Digest::of(b"manifest");
            self.store.set_name(&name.parse().unwrap(), id, Some(&digest)).unwrap();
        }

        pub fn container(&self, id: &Digest, name: &str) -> LockedContainer {
            let image = Some(ContainerImage { id: id.clone(), name: "x".into() });
            let spec = ContainerSpec {
                id: new_container_id().unwrap(),
                name: name.into(),
                image,
                ..Default::default()
            };
            self.store.create_container(&spec).unwrap()
        }
    }

    fn untagged(removal: &ImageRemoval) -> Vec<&str> {
        fn name(line: &RemovedItem) -> Option<&str> {
            match line {
                RemovedItem::Untagged(name) => Some(name),
                RemovedItem::Deleted(_) => None,
            }
        }
        removal.lines.iter().filter_map(name).collect()
    }

    #[test]
    fn the_last_name_takes_image_and_unshared_layers_along() {
        let fixture = RmiFixture::new();
        let (a, b) = (fixture.image("a"), fixture.image("b"));
        fixture.name("x:1", &a);
        let removal = remove_image(&fixture.store, "x:1", false).unwrap();
        assert_eq!(untagged(&removal), ["x:1", &format!("x@{}", Digest::of(b"manifest"))]);
        let base = Digest::of(b"base");
        let chain = Digest::of(format!("{base} {}", Digest::of(b"a")).as_bytes());
        assert_eq!(removal.lines[2..], [RemovedItem::Deleted(a), RemovedItem::Deleted(chain)]);
        assert_eq!(removal.reclaimed, 10);
        let last = remove_image(&fixture.store, b.short(), false).unwrap();
        assert_eq!(last.lines[..1], [RemovedItem::Deleted(b)]);
        assert_eq!(last.lines.last(), Some(&RemovedItem::Deleted(base)));
        assert!(fixture.store.layers().unwrap().is_empty());
    }

    #[test]
    fn a_name_loses_only_itself_while_others_remain() {
        let fixture = RmiFixture::new();
        let id = fixture.image("a");
        fixture.store.set_name(&"x:1".parse().unwrap(), &id, None).unwrap();
        fixture.store.set_name(&"x:2".parse().unwrap(), &id, None).unwrap();
        let removal = remove_image(&fixture.store, "x:1", false).unwrap();
        assert_eq!(removal.lines, [RemovedItem::Untagged("x:1".into())]);
        assert_eq!(fixture.store.find_image("x:2").unwrap().id, id);
    }

    #[test]
    fn an_id_with_several_repositories_must_be_forced() {
        let fixture = RmiFixture::new();
        let id = fixture.image("a");
        for name in ["x:1", "y:1"] {
            fixture.store.set_name(&name.parse().unwrap(), &id, None).unwrap();
        }
        let error = remove_image(&fixture.store, id.short(), false).unwrap_err();
        assert!(
            error.to_string().ends_with("(must be forced) - image is referenced in multiple repositories")
        );
        let removal = remove_image(&fixture.store, id.as_str(), true).unwrap();
        assert_eq!(untagged(&removal), ["x:1", "y:1"]);
        assert!(fixture.store.images().unwrap().is_empty());
    }

    #[test]
    fn an_image_in_use_stays() {
        let fixture = RmiFixture::new();
        let id = fixture.image("a");
        fixture.name("x", &id);
        let container = fixture.container(&id, "user");
        for text in ["x", id.short()] {
            let error = remove_image(&fixture.store, text, false).unwrap_err();
            assert_eq!(kind_of(&error), FailureKind::Conflict);
            assert!(error.to_string().contains(&container.spec().id[..12]), "{error}");
        }
        let error = remove_image(&fixture.store, id.short(), true).unwrap_err();
        assert!(error.to_string().contains("(cannot be forced)"), "{error}");
        drop(container);
        let error = remove_image(&fixture.store, id.short(), false).unwrap_err();
        assert!(error.to_string().contains("stopped container"), "{error}");
        let removal = remove_image(&fixture.store, id.short(), true).unwrap();
        assert_eq!(untagged(&removal).len(), 2);
        assert!(fixture.store.image(&id).unwrap().is_some(), "its container needs the layers");
        assert!(fixture.store.names().unwrap().is_empty());
    }

    #[test]
    fn a_tag_of_an_image_in_use_goes_while_another_remains() {
        let fixture = RmiFixture::new();
        let id = fixture.image("a");
        for name in ["x:1", "x:2"] {
            fixture.store.set_name(&name.parse().unwrap(), &id, None).unwrap();
        }
        let _container = fixture.container(&id, "user");
        assert_eq!(remove_image(&fixture.store, "x:1", false).unwrap().lines.len(), 1);
        assert!(remove_image(&fixture.store, "x:2", false).is_err());
    }

    #[test]
    fn what_is_not_there_is_named() {
        let fixture = RmiFixture::new();
        let error = remove_image(&fixture.store, "nothing", true).unwrap_err();
        assert_eq!(error.to_string(), "No such image: nothing:latest");
    }
}
