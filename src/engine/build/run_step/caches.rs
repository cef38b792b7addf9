//! The cache mounts of a step, taken in an order in which no two steps wait for each other.

use anyhow::Result;

use super::{MountFrom, StepMount};
use crate::build::run_mount::{Kind, Sharing};
use crate::store::{CacheUse, HeldCache, Store};

/// A cache that the step holds.
pub(super) struct Taken {
    pub(super) cache: HeldCache,
    /// Which of the step's mounts are of it.
    pub(super) mounts: Vec<usize>,
    id: String,
}

/// Takes those of `mounts`, waiting for others where it must.
pub(super) fn take(store: &Store, mounts: &[StepMount]) -> Result<Vec<Taken>> {
    let mut wanted: Vec<(String, CacheUse, &str, Vec<usize>)> = Vec::new();
    for (index, StepMount { mount, from }) in mounts.iter().enumerate() {
        if mount.kind != Kind::Cache {
            continue;
        }
        let name = Store::cache_mount_name(&mount.id, &origin(from, &mount.source));
        let how = match mount.sharing {
            Sharing::Shared => CacheUse::Together,
            Sharing::Locked => CacheUse::InTurn,
            Sharing::Private => CacheUse::Apart,
        };
        // One that is mounted twice is taken once, or the step would wait for itself.
        match wanted.iter_mut().find(|(other, ..)| *other == name) {
            Some((_, known, _, indices)) => {
                *known = stricter(*known, how);
                indices.push(index);
            }
            None => wanted.push((name, how, &mount.id, vec![index])),
        }
    }
    wanted.sort();
    let take = |(name, how, id, mounts): (String, CacheUse, &str, Vec<usize>)| {
        Ok(Taken { cache: store.hold_cache_mount(&name, how)?, mounts, id: id.to_owned() })
    };
    wanted.into_iter().map(take).collect()
}

/// What tells apart caches of the same name that began with other content.
fn origin(from: &MountFrom, source: &str) -> String {
    match from {
        MountFrom::Nothing => String::new(),
        MountFrom::Directory { path, .. } => format!("{}\0{source}", path.display()),
        MountFrom::Layers(layers) if layers.is_empty() => String::new(),
        MountFrom::Layers(layers) => {
            let layers: Vec<&str> = layers.iter().map(crate::model::digest::Digest::as_str).collect();
            format!("{}\0{source}", layers.join(" "))
        }
    }
}

fn stricter(a: CacheUse, b: CacheUse) -> CacheUse {
    let rank = |how| match how {
        CacheUse::Together => 0,
        CacheUse::Apart => 1,
        CacheUse::InTurn => 2,
    };
    if rank(a) >= rank(b) { a } else { b }
}

/// Notes that they are used.
pub(super) fn note(store: &Store, caches: &[Taken]) -> Result<()> {
    caches.iter().try_for_each(|taken| store.note_cache_mount(&taken.cache, &taken.id))
}
