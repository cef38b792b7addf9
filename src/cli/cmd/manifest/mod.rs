//! Commands on manifest lists: images for several platforms under one name on a registry.

pub(crate) mod annotate;
pub(crate) mod create;
pub(crate) mod inspect;
pub(crate) mod push;
pub(crate) mod rm;

use crate::model::reference::Reference;

/// Parses a name; its tag is `latest` if it has none.
fn name(text: &str) -> anyhow::Result<Reference> {
    Ok(text.parse::<Reference>()?.or_latest())
}
