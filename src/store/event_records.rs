//! Writes events about images, volumes and networks to the event log, with docker's actions and attributes.

use crate::{Store, StoredImage};
use dhow_model::container::ContainerSpec;
use dhow_model::digest::Digest;
use dhow_model::event::{EngineEvent, EventKind};
use dhow_model::mount::{MountSource, MountSpec};
use dhow_model::network::NetworkSpec;
use dhow_model::reference::ImageReference;
use dhow_model::volume::DRIVER;

/// Records `action` for an image that is in the store.
pub fn image_event(store: &Store, action: &str, image: &StoredImage) {
    image_event_with_name(store, action, image, image.id.as_str());
}

/// Records `action` for an image in connection with the name `name`.
pub fn image_event_with_name(store: &Store, action: &str, image: &StoredImage, name: &str) {
    let event = EngineEvent::new(EventKind::Image, action, image.id.as_str()).with("name", name);
    store.record_event(with_labels(event, image));
}

/// Records that image `id` was pulled by `reference`, which docker uses as the event's ID here.
pub fn image_pulled(store: &Store, reference: &ImageReference, id: &Digest) {
    let event = EngineEvent::new(EventKind::Image, "pull", reference.familiar());
    let event = event.with("name", reference.familiar_name());
    store.record_event(match store.image(id) {
        Ok(Some(image)) => with_labels(event, &image),
        _ => event,
    });
}

fn with_labels(event: EngineEvent, image: &StoredImage) -> EngineEvent {
    match &image.config.config.labels {
        Some(labels) => event.labelled(labels),
        None => event,
    }
}

/// Records that a starting container mounted its volumes and joined its networks.
pub fn resources_attached(store: &Store, spec: &ContainerSpec) {
    for (mount, name) in volumes(spec) {
        let event = EngineEvent::new(EventKind::Volume, "mount", name)
            .with("container", &spec.id)
            .with("destination", &mount.target)
            .with("driver", DRIVER)
            .with("propagation", "")
            .with("read/write", (!mount.read_only).to_string());
        store.record_event(event);
    }
    on_networks(store, "connect", spec);
}

/// Records that an exited container unmounted its volumes and left its networks.
pub fn resources_detached(store: &Store, spec: &ContainerSpec) {
    for (_, name) in volumes(spec) {
        let event = EngineEvent::new(EventKind::Volume, "unmount", name);
        store.record_event(event.with("container", &spec.id).with("driver", DRIVER));
    }
    on_networks(store, "disconnect", spec);
}

fn volumes(spec: &ContainerSpec) -> impl Iterator<Item = (&MountSpec, &String)> {
    spec.mounts.iter().filter_map(|mount| match &mount.source {
        MountSource::Volume { name: Some(name), .. } => Some((mount, name)),
        _ => None,
    })
}

fn on_networks(store: &Store, action: &str, spec: &ContainerSpec) {
    for attachment in &spec.networks {
        record_network_event(store, action, (&attachment.network, &attachment.name), &spec.id);
    }
}

/// Records `action` between a network and a container ID.
pub fn network_event(store: &Store, action: &str, network: &NetworkSpec, container: &str) {
    record_network_event(store, action, (&network.id, &network.name), container);
}

fn record_network_event(store: &Store, action: &str, (id, name): (&str, &str), container: &str) {
    let event = EngineEvent::new(EventKind::Network, action, id).with("container", container);
    store.record_event(event.with("name", name).with("type", "bridge"));
}

/// Records that unused objects were removed, with the bytes reclaimed.
pub fn pruned(store: &Store, kind: EventKind, reclaimed: u64) {
    store.record_event(EngineEvent::new(kind, "prune", "").with("reclaimed", reclaimed.to_string()));
}
