//! The cache mounts of a step, locked in one order for all steps, so that no two wait for each other.

use anyhow::Result;

use super::{MountFrom, StepMount};
use dhow_build::run_mount::{CacheSharingMode, RunMountKind};
use dhow_store::{CacheMountGuard, CacheSharing, Store};

/// A cache mount that the step holds.
pub(crate) struct HeldCacheMount {
    pub cache: CacheMountGuard,
    /// Indices of the step's mounts that show it.
    pub mounts: Vec<usize>,
    id: String,
}

/// Takes the cache mounts among `mounts`, waiting for other steps if their sharing mode demands it.
pub(crate) fn hold_cache_mounts(store: &Store, mounts: &[StepMount]) -> Result<Vec<HeldCacheMount>> {
    let mut requested: Vec<(String, CacheSharing, &str, Vec<usize>)> = Vec::new();
    for (index, StepMount { mount, from }) in mounts.iter().enumerate() {
        if mount.kind != RunMountKind::Cache {
            continue;
        }
        let name = Store::cache_mount_name(&mount.id, &origin_key(from, &mount.source));
        let sharing = match mount.sharing {
            CacheSharingMode::Shared => CacheSharing::Shared,
            CacheSharingMode::Locked => CacheSharing::Locked,
            CacheSharingMode::Private => CacheSharing::Private,
        };
        // A cache that is mounted twice is taken once, or the step would wait for itself.
        match requested.iter_mut().find(|(other, ..)| *other == name) {
            Some((_, strictest, _, indices)) => {
                *strictest = stricter(*strictest, sharing);
                indices.push(index);
            }
            None => requested.push((name, sharing, &mount.id, vec![index])),
        }
    }
    // Sorted by name: the lock order of all steps.
    requested.sort();
    let take = |(name, sharing, id, mounts): (String, CacheSharing, &str, Vec<usize>)| {
        Ok(HeldCacheMount { cache: store.acquire_cache_mount(&name, sharing)?, mounts, id: id.to_owned() })
    };
    requested.into_iter().map(take).collect()
}

/// Distinguishes caches of the same ID that started from different content.
fn origin_key(from: &MountFrom, source: &str) -> String {
    match from {
        MountFrom::Nothing => String::new(),
        MountFrom::Directory { path, .. } => format!("{}\0{source}", path.display()),
        MountFrom::Layers(layers) if layers.is_empty() => String::new(),
        MountFrom::Layers(layers) => {
            let layers: Vec<&str> = layers.iter().map(dhow_model::digest::Digest::as_str).collect();
            format!("{}\0{source}", layers.join(" "))
        }
    }
}

fn stricter(a: CacheSharing, b: CacheSharing) -> CacheSharing {
    let rank = |how| match how {
        CacheSharing::Shared => 0,
        CacheSharing::Private => 1,
        CacheSharing::Locked => 2,
    };
    if rank(a) >= rank(b) { a } else { b }
}

/// Records that they are used.
pub(super) fn mark_used(store: &Store, caches: &[HeldCacheMount]) -> Result<()> {
    caches.iter().try_for_each(|taken| store.record_cache_mount_use(&taken.cache, &taken.id))
}
