//! Images: what the commands of `dhow image` do, and lists of images on registries.

mod history;
mod import;
mod inspect;
mod load;
mod ls;
mod manifest;
mod many_names;
mod prune;
mod pull;
mod push;
mod rm;
mod save;
mod tag;

use std::fs;

use crate::support::{Dhow, Entry, Image, Layer, fixtures};

/// A small image that differs from others by `content`.
fn image_with(content: &str) -> Image {
    Image::new([fixtures::busybox_layer(), Layer::new([Entry::file("content", content)])])
}

/// How many layers the store has.
fn stored_layers(dhow: &Dhow) -> usize {
    fs::read_dir(dhow.root().join("layers")).map_or(0, Iterator::count)
}

/// The ID of the image `name`.
fn id_of(dhow: &Dhow, name: &str) -> String {
    dhow.cmd("inspect --format {{.Id}}").arg(name).ok().out()
}
