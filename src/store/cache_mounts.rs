//! Cache directories of `RUN --mount=type=cache`, kept from one build to the next.
//!
//! `cache/mounts/<name>/` holds `fs/` and the record `mount.json`. The lock `locks/cache-<name>` is held
//! shared by steps that share the cache, exclusively by a step that uses it alone or by its removal.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode as FileMode, OFlags};
use serde::{Deserialize, Serialize};

use super::atomic::{self, Durability};
use super::fs::{list_dir, make_private_dirs, read_record};
use super::layers::create_dir_0755;
use super::lock::{FileLock, LockMode};
use super::{Store, timestamp_now};
use dhow_error::{Failure, FailureKind};
use dhow_model::digest::Digest;

const MAX_PRIVATE_CACHES: u32 = 1000;

/// The `sharing` mode of a cache mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CacheSharing {
    /// `shared`: any number of steps at a time.
    Shared,
    /// `locked`: one step at a time; others wait.
    Locked,
    /// `private`: a step gets another cache if this one is in use.
    Private,
}

/// A cache mount as listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheMount {
    /// The name of its directory.
    #[serde(skip)]
    pub name: String,
    /// The ID given in the Dockerfile.
    pub id: String,
    /// RFC 3339, UTC.
    pub created: String,
    /// When it was last used; RFC 3339, UTC.
    pub used: String,
    #[serde(skip)]
    pub in_use: bool,
}

/// A cache mount in use; it cannot be removed while this value lives.
#[derive(Debug)]
pub struct CacheMountGuard {
    name: String,
    dir: PathBuf,
    record: Option<CacheMount>,
    _lock: FileLock,
}

impl CacheMountGuard {
    /// The directory to mount.
    pub fn files(&self) -> PathBuf {
        self.dir.join("fs")
    }

    /// Whether no step has used it yet.
    pub fn is_new(&self) -> bool {
        self.record.is_none()
    }
}

impl Store {
    /// The directory name for the cache ID `id`; `origin` separates caches that started with different
    /// content.
    pub fn cache_mount_name(id: &str, origin: &str) -> String {
        let digest = Digest::of(format!("{id}\0{origin}").as_bytes());
        digest.hex().get(..32).unwrap_or_default().to_owned()
    }

    /// Locks the cache `name`, creating it if needed; waits if the sharing mode requires it. To lock several,
    /// take them in name order to avoid deadlocks.
    pub fn acquire_cache_mount(&self, name: &str, sharing: CacheSharing) -> anyhow::Result<CacheMountGuard> {
        let doing = || "cannot lock a cache mount".to_owned();
        let (name, lock) = match sharing {
            CacheSharing::Shared => {
                (name.to_owned(), self.lock_cache(name, LockMode::Shared).with_context(doing)?)
            }
            CacheSharing::Locked => {
                (name.to_owned(), self.lock_cache(name, LockMode::Exclusive).with_context(doing)?)
            }
            CacheSharing::Private => self.acquire_private_cache(name)?,
        };
        let dir = self.cache_mounts_dir().join(&name);
        let created = make_private_dirs(&dir).and_then(|()| match create_dir_0755(&dir.join("fs")) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        });
        created.context("cannot make a cache mount")?;
        let record = read_record(&dir.join("mount.json"))?;
        Ok(CacheMountGuard { name, dir, record, _lock: lock })
    }

    fn acquire_private_cache(&self, name: &str) -> anyhow::Result<(String, FileLock)> {
        for number in 0..MAX_PRIVATE_CACHES {
            let name = if number == 0 { name.to_owned() } else { format!("{name}-{number}") };
            let lock = FileLock::try_acquire(&self.lock_path("cache", &name), LockMode::Exclusive);
            if let Some(lock) = lock.context("cannot lock a cache mount")? {
                return Ok((name, lock));
            }
        }
        Err(Failure::new(FailureKind::InUse, format!("{MAX_PRIVATE_CACHES} builds use this cache mount"))
            .into())
    }

    fn lock_cache(&self, name: &str, mode: LockMode) -> std::io::Result<FileLock> {
        FileLock::acquire(&self.lock_path("cache", name), mode)
    }

    /// Writes the record of a cache that is being used; `id` is the ID given in the Dockerfile.
    pub fn record_cache_mount_use(&self, cache: &CacheMountGuard, id: &str) -> anyhow::Result<()> {
        let created = cache.record.as_ref().map_or_else(timestamp_now, |record| record.created.clone());
        let record = CacheMount {
            name: cache.name.clone(),
            id: id.to_owned(),
            created,
            used: timestamp_now(),
            in_use: true,
        };
        atomic::write_json(&cache.dir.join("mount.json"), &record, Durability::Unsynced)
            .context("cannot write the record of a cache mount")
    }

    /// All cache mounts, ordered by name.
    pub fn cache_mounts(&self) -> anyhow::Result<Vec<CacheMount>> {
        let mut mounts = Vec::new();
        for name in list_dir(&self.cache_mounts_dir()).context("cannot list the cache mounts")? {
            let record: Option<CacheMount> =
                read_record(&self.cache_mounts_dir().join(&name).join("mount.json"))?;
            // A cache whose first step failed has no record, but takes up space all the same.
            let record = record.unwrap_or(CacheMount {
                name: String::new(),
                id: String::new(),
                created: String::new(),
                used: String::new(),
                in_use: false,
            });
            let in_use = FileLock::is_held(&self.lock_path("cache", &name))
                .context("cannot ask about a cache mount")?;
            mounts.push(CacheMount { name, in_use, ..record });
        }
        mounts.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(mounts)
    }

    /// Disk usage of a cache mount in bytes; unreadable directories are not counted.
    pub fn cache_mount_size(&self, mount: &CacheMount) -> u64 {
        tree_size(&self.cache_mounts_dir().join(&mount.name).join("fs"), 0)
    }

    /// Removes a cache mount; `false` if it is in use. The caller must be able to remove files of every
    /// owner.
    pub fn remove_cache_mount(&self, name: &str) -> anyhow::Result<bool> {
        // The name becomes part of paths, so it must not contain slashes or dots.
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Ok(false);
        }
        let doing = || format!("cannot remove the cache mount {name}");
        let lock =
            FileLock::try_acquire(&self.lock_path("cache", name), LockMode::Exclusive).with_context(doing)?;
        let Some(lock) = lock else { return Ok(false) };
        self.discard(&self.cache_mounts_dir().join(name)).with_context(doing)?;
        lock.remove_file().with_context(doing)?;
        Ok(true)
    }

    fn cache_mounts_dir(&self) -> PathBuf {
        self.root().join("cache/mounts")
    }
}

const MAX_DEPTH: u32 = 200;

fn tree_size(path: &Path, depth: u32) -> u64 {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(dir) = rustix::fs::openat(CWD, path, flags, FileMode::empty()) else { return 0 };
    let Ok(entries) = Dir::read_from(&dir) else { return 0 };
    let mut size = 0_u64;
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let Ok(stat) = rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let blocks = u64::try_from(stat.st_blocks).unwrap_or_default().saturating_mul(512);
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            // A file with several hard links counts once in total, approximately.
            let links = u64::from(u32::try_from(stat.st_nlink).unwrap_or(1).max(1));
            size = size.saturating_add(blocks / links);
            continue;
        }
        size = size.saturating_add(blocks);
        if depth < MAX_DEPTH {
            let child = path.join(OsStr::from_bytes(name.to_bytes()));
            size = size.saturating_add(tree_size(&child, depth + 1));
        }
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::store;

    #[test]
    fn it_stays_and_is_removed_when_nobody_uses_it() {
        let (_dir, store) = store();
        let name = Store::cache_mount_name("/root/.cache", "");
        let held = store.acquire_cache_mount(&name, CacheSharing::Shared).unwrap();
        assert!(held.is_new());
        std::fs::write(held.files().join("x"), vec![0; 10_000]).unwrap();
        store.record_cache_mount_use(&held, "/root/.cache").unwrap();
        let listed = store.cache_mounts().unwrap();
        assert!(listed.len() == 1 && listed[0].in_use && listed[0].id == "/root/.cache");
        assert!(store.cache_mount_size(&listed[0]) >= 10_000);
        assert!(!store.remove_cache_mount(&name).unwrap());
        // Nothing is made or locked for a name that leads elsewhere.
        for bad in ["../steps", "a/b", "", "."] {
            assert!(!store.remove_cache_mount(bad).unwrap());
        }
        assert_eq!(list_dir(&store.root().join("locks")).unwrap(), [format!("cache-{name}")]);
        drop(held);
        let again = store.acquire_cache_mount(&name, CacheSharing::Locked).unwrap();
        assert!(!again.is_new() && again.files().join("x").exists());
        drop(again);
        assert!(store.remove_cache_mount(&name).unwrap());
        assert!(store.cache_mounts().unwrap().is_empty());
    }

    #[test]
    fn every_block_is_counted_once() {
        let (_dir, store) = store();
        let held = store.acquire_cache_mount("a", CacheSharing::Shared).unwrap();
        let (one, two) = (held.files().join("d/e"), held.files().join("d/f"));
        std::fs::create_dir_all(&one).unwrap();
        std::fs::write(one.join("x"), vec![0; 50_000]).unwrap();
        std::fs::hard_link(one.join("x"), &two).unwrap();
        let blocks = |path: &Path| std::os::unix::fs::MetadataExt::blocks(&path.metadata().unwrap()) * 512;
        let all = blocks(&held.files().join("d")) + blocks(&one) + blocks(&two);
        assert_eq!(store.cache_mount_size(&store.cache_mounts().unwrap()[0]), all);
    }

    #[test]
    fn those_apart_have_one_each() {
        let (_dir, store) = store();
        let first = store.acquire_cache_mount("a", CacheSharing::Private).unwrap();
        let second = store.acquire_cache_mount("a", CacheSharing::Private).unwrap();
        assert_ne!(first.files(), second.files());
        let files = first.files();
        drop(first);
        assert_eq!(store.acquire_cache_mount("a", CacheSharing::Private).unwrap().files(), files);
    }

    #[test]
    fn others_wait_for_who_is_alone() {
        let (_dir, store) = store();
        let held = store.acquire_cache_mount("a", CacheSharing::Locked).unwrap();
        let other = store.clone();
        let waiting = std::thread::spawn(move || {
            other.acquire_cache_mount("a", CacheSharing::Shared).unwrap().is_new()
        });
        store.record_cache_mount_use(&held, "a").unwrap();
        drop(held);
        assert!(!waiting.join().unwrap());
    }
}
