//! Commands on manifest lists: images for several platforms under one name on a registry.

pub(crate) mod annotate;
pub(crate) mod create;
pub(crate) mod inspect;
pub(crate) mod push;
pub(crate) mod rm;

use dhow_model::reference::ImageReference;

/// Parses a name; its tag is `latest` if it has none.
fn parse_name(text: &str) -> anyhow::Result<ImageReference> {
    Ok(text.parse::<ImageReference>()?.or_latest())
}
