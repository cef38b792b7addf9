//! Images by what a user calls them, with their names.

use anyhow::Result;

use dhow_error::not_found;
use dhow_model::platform::Platform;
use dhow_model::reference::ImageReference;
use dhow_store::{NameRecord, Store, StoredImage};

#[derive(Clone, Debug)]
pub struct ImageSummary {
    pub image: StoredImage,
    pub tags: Vec<ImageReference>,
    pub digests: Vec<ImageReference>,
}

/// The image that `text` means; if `platforms` are given it must be for one of them.
pub fn find(store: &Store, text: &str, platforms: &[Platform]) -> Result<StoredImage> {
    let image = match platforms {
        [] => store.find_image(text)?,
        [first, ..] => store.find_image_for(text, first)?,
    };
    let offered = image.platform();
    if platforms.is_empty() || platforms.iter().any(|platform| platform.rank(&offered).is_some()) {
        return Ok(image);
    }
    let message =
        format!("No such image: {text}: it is there for {offered} and not for the platform asked for");
    Err(not_found(message).into())
}

/// The image with those of `names` that refer to it first.
pub(crate) fn with_names(image: StoredImage, names: Vec<NameRecord>) -> ImageSummary {
    let references = names.into_iter().filter(|name| name.id == image.id).map(|name| name.reference);
    let (tags, digests) = references.partition(|name| name.tag().is_some());
    ImageSummary { image, tags, digests }
}
