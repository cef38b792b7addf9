//! `tag`: gives an image another name.

use anyhow::Result;

use dhow_error::{Failure, invalid};
use dhow_model::digest::Digest;
use dhow_model::reference::ImageReference;
use dhow_store::event_records;
use dhow_store::{Store, StoredImage};

/// The name that an image gets: with the tag `latest` if it has none. A digest cannot be given.
pub(crate) fn tag_name(name: ImageReference) -> Result<ImageReference, Failure> {
    match name.digest() {
        Some(_) => Err(invalid("refusing to create a tag with a digest reference")),
        None => Ok(name.or_latest()),
    }
}

/// Makes `target` (with tag `latest` if it has none) a name of the image `source`. If the name belonged to
/// another image, it moves.
pub fn tag(store: &Store, source: &str, target: &str) -> Result<()> {
    let target = tag_name(target.parse()?)?;
    let image = store.find_image(source)?;
    let others = other_platform_images(store, source, &image)?;
    if others.is_empty() {
        // Without a digest: it was not pulled by this name.
        store.set_name(&target, &image.id, None)?;
    } else {
        let ids: Vec<Digest> = std::iter::once(image.id.clone()).chain(others).collect();
        store.set_multi_platform_name(&target, &ids, &image.platform())?;
    }
    event_records::image_event_with_name(store, "tag", &image, &target.familiar());
    Ok(())
}

/// The images of other platforms that the name `source` also refers to.
fn other_platform_images(store: &Store, source: &str, image: &StoredImage) -> Result<Vec<Digest>> {
    let Ok(reference) = source.parse::<ImageReference>() else { return Ok(Vec::new()) };
    let record = store.name(&reference)?.filter(|record| record.id == image.id);
    Ok(record.map(|record| record.others).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::rm::tests::RmiFixture;

    #[test]
    fn names_move() {
        let fixture = RmiFixture::new();
        let (a, b) = (fixture.image("a"), fixture.image("b"));
        tag(&fixture.store, a.short(), "name").unwrap();
        tag(&fixture.store, b.short(), "name:latest").unwrap();
        assert_eq!(fixture.store.find_image("name").unwrap().id, b);
    }

    #[test]
    fn refuses_what_cannot_be_a_tag() {
        let fixture = RmiFixture::new();
        let id = fixture.image("a");
        for target in [format!("x@{id}"), "UPPER".into(), id.hex().to_owned(), "x:".into()] {
            assert!(tag(&fixture.store, id.short(), &target).is_err(), "{target}");
        }
        assert_eq!(tag(&fixture.store, "none", "x").unwrap_err().to_string(), "No such image: none:latest");
    }
}
