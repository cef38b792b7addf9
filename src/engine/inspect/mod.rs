//! `inspect`: everything that is known of an object, in docker's fields and their order.

mod container;
mod host;
mod image;
mod network;
mod places;
mod resources;
mod volume;

use anyhow::Result;
use serde::Serialize;

use super::{images, ps};
use crate::error::{Kind, kind_of, not_found};
use crate::model::platform::Platform;
use crate::store::Store;

pub use container::ContainerInspect;
pub use image::ImageInspect;
pub use network::NetworkInspect;
pub use volume::VolumeInspect;

/// What kind of object is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// A container.
    Container,
    /// An image.
    Image,
    /// A network.
    Network,
    /// A volume.
    Volume,
}

/// An object that was found.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Inspected {
    /// A container.
    Container(Box<ContainerInspect>),
    /// An image.
    Image(Box<ImageInspect>),
    /// A network.
    Network(Box<NetworkInspect>),
    /// A volume.
    Volume(VolumeInspect),
}

/// Which object to look for, and how closely to look.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// Only an object of this kind.
    pub kind: Option<ObjectKind>,
    /// Only an image for one of these platforms, if there are any.
    pub platforms: Vec<Platform>,
    /// Count what a container wrote. The caller has moved to where files of every owner can be read.
    pub size: bool,
}

/// The object that a person means by `text`: where no kind is asked for, a container, else an image, else a
/// network, else a volume.
pub fn inspect(store: &Store, text: &str, question: &Question) -> Result<Inspected> {
    let container = |store: &Store| container::inspect(store, text, question.size).map(Inspected::Container);
    let image = |store: &Store| image::inspect(store, text, &question.platforms).map(Inspected::Image);
    let network = |store: &Store| network::inspect(store, text).map(Inspected::Network);
    let volume = |store: &Store| volume::inspect(store, text).map(Inspected::Volume);
    match question.kind {
        Some(ObjectKind::Container) => return container(store),
        Some(ObjectKind::Image) => return image(store),
        Some(ObjectKind::Network) => return network(store),
        Some(ObjectKind::Volume) => return volume(store),
        None => {}
    }
    for look in [&container as &dyn Fn(&Store) -> Result<Inspected>, &image, &network, &volume] {
        match look(store) {
            // What cannot be a name of this kind of object is not one.
            Err(error) if matches!(kind_of(&error), Kind::NotFound | Kind::Invalid) => {}
            other => return other,
        }
    }
    Err(not_found(format!("No such object: {}", text.escape_debug())).into())
}

#[cfg(test)]
mod tests;
