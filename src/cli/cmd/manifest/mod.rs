//! Commands about manifest lists: images for several platforms under one name on a registry.

pub(crate) mod annotate;
pub(crate) mod create;
pub(crate) mod inspect;
pub(crate) mod push;
pub(crate) mod rm;

use crate::model::reference::Reference;

/// A name, with `latest` where it has no tag.
fn name(text: &str) -> anyhow::Result<Reference> {
    Ok(text.parse::<Reference>()?.or_latest())
}
