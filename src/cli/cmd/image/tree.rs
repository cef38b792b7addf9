//! `images --tree`: each image with its platform, its size on disk and the size of its compressed layers.

use crate::output::{humanize, table};
use dhow_engine::image::lookup::ImageSummary;
use dhow_store::Store;

pub(super) fn render(store: &Store, images: &[ImageSummary]) -> anyhow::Result<String> {
    let mut text = String::from("IMAGE\tID\tDISK USAGE\tCONTENT SIZE\tIN USE\n");
    let containers = store.containers()?;
    for item in images {
        let image = &item.image;
        let in_use = containers
            .iter()
            .any(|container| container.spec().image.as_ref().is_some_and(|used| used.id == image.id));
        // docker marks images that a container uses by this letter.
        let in_use = if in_use { "U" } else { "" };
        let cells = format!(
            "{}\t{}\t{}\t{in_use}",
            image.id.short(),
            humanize::size(image.record.size),
            content_size(store, item)?
        );
        let mut names: Vec<String> = item.tags.iter().map(|name| name.familiar()).collect();
        if names.is_empty() {
            names.push("<untagged>".into());
        }
        for name in names {
            text += &format!("{name}\t{cells}\n");
        }
        text += &format!("└─ {}\t{cells}\n", platform(item));
    }
    Ok(table::align_columns(&text))
}

fn platform(item: &ImageSummary) -> String {
    let config = &item.image.config;
    let parts = [&config.os, &config.architecture, &config.variant];
    parts.into_iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join("/")
}

/// The size of the compressed layers; `N/A` unless all of them came from a registry.
fn content_size(store: &Store, item: &ImageSummary) -> anyhow::Result<String> {
    let mut sum = 0_u64;
    for diff_id in &item.image.config.rootfs.diff_ids {
        match store.layer(diff_id)?.and_then(|layer| layer.sources.first().map(|source| source.size)) {
            Some(size) => sum = sum.saturating_add(size),
            None => return Ok("N/A".into()),
        }
    }
    Ok(humanize::size(sum))
}
