//! The image names shown in container listings.

use std::collections::HashMap;

use dhow_model::container::{ContainerImage, ContainerSpec};
use dhow_model::digest::Digest;
use dhow_model::reference::ImageReference;
use dhow_store::Store;

/// Looks up each name once.
pub struct ImageNames<'a> {
    store: &'a Store,
    ids: HashMap<String, Option<Digest>>,
}

impl<'a> ImageNames<'a> {
    pub fn new(store: &'a Store) -> Self {
        Self { store, ids: HashMap::new() }
    }

    /// The image's name when the container was created, or its ID if that name has moved to another image
    /// since; shortened unless `no_trunc`. Empty if there is no image.
    pub fn shown(&mut self, spec: &ContainerSpec, no_trunc: bool) -> String {
        match &spec.image {
            Some(image) if self.still_means(image) => image.name.clone(),
            Some(image) if no_trunc => image.id.to_string(),
            Some(image) => image.id.short().to_owned(),
            None => String::new(),
        }
    }

    fn still_means(&mut self, image: &ContainerImage) -> bool {
        let name = &image.name;
        // An ID cannot move.
        if image.id.as_str().starts_with(name.as_str()) || image.id.hex().starts_with(name.as_str()) {
            return true;
        }
        let store = self.store;
        let look =
            || store.name(&name.parse::<ImageReference>().ok()?).ok().flatten().map(|record| record.id);
        self.ids.entry(name.clone()).or_insert_with(look).as_ref() == Some(&image.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::rm::tests::RmiFixture;

    #[test]
    fn a_name_that_moved_on_is_not_shown() {
        let fixture = RmiFixture::new();
        let (a, b) = (fixture.image("a"), fixture.image("b"));
        fixture.name("x", &a);
        let using = |name: &str| ContainerSpec {
            image: Some(ContainerImage { id: a.clone(), name: name.into() }),
            ..ContainerSpec::default()
        };
        let shown = |spec: &ContainerSpec, no_trunc| ImageNames::new(&fixture.store).shown(spec, no_trunc);
        assert_eq!(shown(&using("x"), false), "x");
        assert_eq!(shown(&using(a.short()), false), a.short());
        fixture.name("x", &b);
        assert_eq!(shown(&using("x"), false), a.short());
        assert_eq!(shown(&using("x:latest"), true), a.to_string());
        assert_eq!(shown(&ContainerSpec::default(), false), "");
    }
}
