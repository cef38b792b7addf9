//! `inspect`: everything known about an object, in docker's fields and their order.
//!
//! Scripts parse this output, so the structs below are docker's API types field by field: fields that have no
//! meaning here are present with the value that docker would show.

use crate::container::inspect as container_inspect;
use crate::image::inspect as image_inspect;
use crate::network::inspect as network_inspect;
use crate::volume::inspect as volume_inspect;
use anyhow::Result;
use serde::Serialize;

use dhow_error::{FailureKind, kind_of, not_found};
use dhow_model::platform::Platform;
use dhow_store::Store;

pub(crate) use crate::container::inspect::ContainerInspect;
pub(crate) use crate::image::inspect::ImageInspect;
pub(crate) use crate::network::inspect::NetworkInspect;
pub(crate) use crate::volume::inspect::VolumeInspect;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    Container,
    Image,
    Network,
    Volume,
}

#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum InspectResult {
    Container(Box<ContainerInspect>),
    Image(Box<ImageInspect>),
    Network(Box<NetworkInspect>),
    Volume(VolumeInspect),
}

/// Which object to inspect, and how.
#[derive(Clone, Debug, Default)]
pub struct InspectRequest {
    /// Only an object of this kind.
    pub kind: Option<ObjectKind>,
    /// Only an image for one of these platforms, if any are given.
    pub platforms: Vec<Platform>,
    /// Measure what a container wrote. The process must be able to read files of every owner.
    pub size: bool,
}

/// The object called `text`. If the kind is left open: a container, else an image, else a network, else a
/// volume.
pub fn inspect(store: &Store, text: &str, request: &InspectRequest) -> Result<InspectResult> {
    let container =
        |store: &Store| container_inspect::inspect(store, text, request.size).map(InspectResult::Container);
    let image =
        |store: &Store| image_inspect::inspect(store, text, &request.platforms).map(InspectResult::Image);
    let network = |store: &Store| network_inspect::inspect(store, text).map(InspectResult::Network);
    let volume = |store: &Store| volume_inspect::inspect(store, text).map(InspectResult::Volume);
    match request.kind {
        Some(ObjectKind::Container) => return container(store),
        Some(ObjectKind::Image) => return image(store),
        Some(ObjectKind::Network) => return network(store),
        Some(ObjectKind::Volume) => return volume(store),
        None => {}
    }
    for inspect_as in [&container as &dyn Fn(&Store) -> Result<InspectResult>, &image, &network, &volume] {
        match inspect_as(store) {
            // A text that is not a valid name for this kind of object cannot be one.
            Err(error) if matches!(kind_of(&error), FailureKind::NotFound | FailureKind::Invalid) => {}
            other => return other,
        }
    }
    Err(not_found(format!("No such object: {}", text.escape_debug())).into())
}

#[cfg(test)]
mod tests;
