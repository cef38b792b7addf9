//! `system df`: disk usage of the store, and how much of it could be reclaimed.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use crate::container::ls::{self as container_ls, ContainerQuery};
use crate::container_summary::ContainerSummary;
use crate::image::lookup::ImageSummary;
use crate::image::ls as image_ls;
use crate::volume;
use dhow_model::digest::Digest;
use dhow_sandbox::identity::HostIdentity;
use dhow_store::Store;

#[derive(Clone, Debug, Default)]
pub struct DiskUsage {
    pub images: Vec<ImageUsage>,
    /// Bytes of all layers, each counted once, including those of interrupted pulls.
    pub layers_size: u64,
    /// Bytes of the layers that belong to images in use.
    pub active_layers: u64,
    pub containers: Vec<ContainerUsage>,
    pub volumes: Vec<VolumeUsage>,
}

#[derive(Clone, Debug)]
pub struct ImageUsage {
    pub listed: ImageSummary,
    /// Bytes of its layers that other images have too.
    pub shared: u64,
    /// Number of containers that use it.
    pub containers: usize,
}

#[derive(Clone, Debug)]
pub struct ContainerUsage {
    pub listed: ContainerSummary,
    /// Bytes that it wrote to its layer.
    pub written: u64,
}

#[derive(Clone, Debug)]
pub struct VolumeUsage {
    pub listed: volume::ls::VolumeSummary,
    /// Number of containers that use it.
    pub links: usize,
    pub size: u64,
}

/// Measures everything. The process must be able to read files of every owner (see `userns`).
pub fn disk_usage(store: &Store, identity: &HostIdentity) -> Result<DiskUsage> {
    let containers =
        container_ls::list(store, &ContainerQuery { all: true, ..ContainerQuery::default() }, || {
            identity.clone()
        })?;
    let sizes: BTreeMap<Digest, u64> =
        store.layers()?.into_iter().map(|layer| (layer.diff_id, layer.size)).collect();
    let images = image_usage(image_ls::list(store, &[])?, &containers, &sizes);
    let active = images.iter().filter(|image| image.containers > 0);
    let active: BTreeSet<&Digest> =
        active.flat_map(|image| &image.listed.image.config.rootfs.diff_ids).collect();
    let used = volume::usage::used_volumes(store)?;
    let volume = |listed: volume::ls::VolumeSummary| VolumeUsage {
        links: used.iter().filter(|name| **name == listed.record.name).count(),
        size: volume::usage::volume_size(store, &listed.record),
        listed,
    };
    Ok(DiskUsage {
        layers_size: sum(sizes.values().copied()),
        active_layers: sum(active.iter().filter_map(|diff_id| sizes.get(diff_id).copied())),
        images,
        containers: containers
            .into_iter()
            .map(|listed| ContainerUsage { written: listed.written(), listed })
            .collect(),
        volumes: volume::ls::list(store, &[])?.into_iter().map(volume).collect(),
    })
}

fn image_usage(
    images: Vec<ImageSummary>,
    containers: &[ContainerSummary],
    sizes: &BTreeMap<Digest, u64>,
) -> Vec<ImageUsage> {
    let mut users: BTreeMap<Digest, usize> = BTreeMap::new();
    for image in &images {
        // An image may contain a layer twice; count each image once.
        let distinct: BTreeSet<&Digest> = image.image.config.rootfs.diff_ids.iter().collect();
        for diff_id in distinct {
            *users.entry(diff_id.clone()).or_default() += 1;
        }
    }
    let shared = |image: &ImageSummary| {
        let layers = image.image.config.rootfs.diff_ids.iter();
        let shared = layers.filter(|diff_id| users.get(diff_id).is_some_and(|count| *count > 1));
        sum(shared.filter_map(|diff_id| sizes.get(diff_id).copied()))
    };
    let using = |image: &ImageSummary| {
        let uses = |container: &&ContainerSummary| {
            container.dir.spec().image.as_ref().is_some_and(|used| used.id == image.image.id)
        };
        containers.iter().filter(uses).count()
    };
    images
        .into_iter()
        .map(|listed| ImageUsage { shared: shared(&listed), containers: using(&listed), listed })
        .collect()
}

fn sum(sizes: impl Iterator<Item = u64>) -> u64 {
    sizes.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::rm::tests::RmiFixture;
    use crate::volume::create::{NewVolume, create};

    #[test]
    fn layers_count_once() {
        let fixture = RmiFixture::new();
        let (a, b) = (fixture.image("a"), fixture.image("b"));
        fixture.name("x", &a);
        fixture.name("y", &b);
        let _container = fixture.container(&a, "user");
        create(&fixture.store, NewVolume { name: "data".into(), ..NewVolume::default() }).unwrap();
        let usage = disk_usage(&fixture.store, &HostIdentity::probe(None, "")).unwrap();
        assert_eq!((usage.layers_size, usage.active_layers), (30, 20), "a base and one layer each");
        let mut images: Vec<_> = usage
            .images
            .iter()
            .map(|image| (image.listed.image.record.size, image.shared, image.containers))
            .collect();
        images.sort_unstable();
        assert_eq!(images, [(20, 10, 0), (20, 10, 1)]);
        assert_eq!((usage.containers.len(), usage.volumes.len(), usage.volumes[0].links), (1, 1, 0));
    }
}
