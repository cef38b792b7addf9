//! Scans all containers for listings with few system calls: six for a stopped container, ten for one that may
//! be running and whose lock is queried. Paths are opened relative to one directory, a record that fits the
//! buffer takes a single read, and large stores are scanned by several threads.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use anyhow::Context as _;
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use serde::de::DeserializeOwned;

use super::{ContainerDir, Store, lock};
use dhow_error::{Failure, corrupt};
use dhow_model::container::ContainerSpec;

#[derive(Debug)]
pub struct ScannedContainer<T> {
    pub dir: ContainerDir,
    /// Whether a process holds its lock ([`ContainerDir::is_locked`]).
    pub locked: bool,
    /// `None` before the first write.
    pub state: Option<T>,
}

/// How the spec of a `--rm` container contains the flag, as serialised.
const REMOVES_ITSELF: &str = "\"auto_remove\":true";
/// Larger records need more than one read.
const READ_BUFFER_SIZE: usize = 64 << 10;

impl Store {
    /// Containers with their states, ordered by ID: all of them, or only those that are locked or are `--rm`
    /// containers left behind. `may_run` says whether a state is one of a container that runs if it is
    /// locked; other containers that are not `--rm` count as unlocked without querying their lock.
    pub fn scan_containers<T>(
        &self,
        all: bool,
        may_run: fn(&T) -> bool,
    ) -> anyhow::Result<Vec<ScannedContainer<T>>>
    where
        T: DeserializeOwned + Send,
    {
        let ids = self.container_ids()?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let path = self.containers_dir();
        let root = match rustix::fs::open(&path, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(Vec::new()),
            other => other.context("cannot list the containers")?,
        };
        let scan = |ids: &[String]| {
            let mut scanner = ContainerScanner { root: root.as_fd(), buffer: vec![0; READ_BUFFER_SIZE] };
            let mut scanned = Vec::with_capacity(ids.len());
            for id in ids {
                let row = scanner
                    .scan_one(id, all, may_run)
                    .with_context(|| format!("cannot look at container {id}"))?;
                if let Some((spec, locked, state)) = row {
                    scanned.push(ScannedContainer {
                        dir: ContainerDir { path: path.join(id), spec },
                        locked,
                        state,
                    });
                }
            }
            Ok(scanned)
        };
        // Contiguous chunks keep the result ordered by ID.
        let chunk_size = ids.len().div_ceil(threads(ids.len()));
        std::thread::scope(|scope| {
            let mut chunks = ids.chunks(chunk_size.max(1));
            let first = chunks.next().unwrap_or_default();
            let handles: Vec<_> = chunks.map(|chunk| scope.spawn(move || scan(chunk))).collect();
            let mut scanned = scan(first);
            for handle in handles {
                let more = handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                scanned = scanned.and_then(|mut scanned| {
                    scanned.extend(more?);
                    Ok(scanned)
                });
            }
            scanned
        })
    }
}

/// Containers per thread: scanning them takes a few times longer than starting the thread.
const CONTAINERS_PER_THREAD: usize = 40;
/// Beyond this, threads contend in the kernel.
const MAX_THREADS: usize = 8;

fn threads(containers: usize) -> usize {
    if containers < 2 * CONTAINERS_PER_THREAD {
        return 1;
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    (containers / CONTAINERS_PER_THREAD).min(processors).clamp(1, MAX_THREADS)
}

struct ContainerScanner<'a> {
    root: BorrowedFd<'a>,
    buffer: Vec<u8>,
}

type ScanRow<T> = (Box<ContainerSpec>, bool, Option<T>);

impl ContainerScanner<'_> {
    fn scan_one<T: DeserializeOwned>(
        &mut self,
        id: &str,
        all: bool,
        may_run: fn(&T) -> bool,
    ) -> anyhow::Result<Option<ScanRow<T>>> {
        let mut state = self.state(id)?;
        // No state yet or a live one: being created or running, if the lock is held.
        let unsettled = state.as_ref().is_none_or(may_run);
        // Not complete yet, a build step, or being removed.
        let Some(spec) = self.read(id, "spec.json")? else { return Ok(None) };
        let removes_itself = spec.contains(REMOVES_ITSELF);
        if !all && !unsettled && !removes_itself {
            return Ok(None);
        }
        let spec = parse(id, "spec.json", spec)?;
        let locked = if unsettled || removes_itself {
            match open(self.root, id, "lock") {
                Ok(file) => lock::is_file_held(file.as_fd())?,
                // It is being removed.
                Err(Errno::NOENT) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        } else {
            false
        };
        if unsettled && !locked {
            // The holder released the lock after the first read; it wrote the final state before that.
            state = self.state(id)?;
        }
        Ok((all || locked || removes_itself).then_some((spec, locked, state)))
    }

    fn state<T: DeserializeOwned>(&mut self, id: &str) -> anyhow::Result<Option<T>> {
        self.read(id, "state.json")?.map(|text| parse(id, "state.json", text)).transpose()
    }

    /// The content of a record; `None` if it does not exist.
    fn read(&mut self, id: &str, name: &str) -> anyhow::Result<Option<&str>> {
        let file = match open(self.root, id, name) {
            Err(Errno::NOENT) => return Ok(None),
            other => other?,
        };
        let mut length = 0;
        loop {
            if length == self.buffer.len() {
                self.buffer.resize(length.saturating_mul(2), 0);
            }
            let room = self.buffer.get_mut(length..).unwrap_or_default();
            let requested = room.len();
            let count = rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut *room))?;
            length += count;
            // A short read from a regular file means end of file.
            if count < requested {
                let text = str::from_utf8(self.buffer.get(..length).unwrap_or_default());
                return text.map(Some).map_err(|_| damaged(id, name, "it is not UTF-8").into());
            }
        }
    }
}

fn open(root: BorrowedFd<'_>, id: &str, name: &str) -> Result<OwnedFd, Errno> {
    openat(root, format!("{id}/{name}"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

fn parse<T: DeserializeOwned>(id: &str, name: &str, text: &str) -> anyhow::Result<T> {
    serde_json::from_str(text).map_err(|error| damaged(id, name, error).into())
}

fn damaged(id: &str, name: &str, why: impl std::fmt::Display) -> Failure {
    corrupt(format!("the record `{name}` of container {id} is damaged: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::new_container_id;
    use crate::scratch::store;

    #[test]
    fn finds_what_is_wanted() {
        let (_dir, store) = store();
        assert_eq!(store.scan_containers::<String>(true, |_| true).unwrap().len(), 0);
        let make = |name: &str, auto_remove| {
            let id = new_container_id().unwrap();
            let labels = [("long".to_owned(), "x".repeat(READ_BUFFER_SIZE))].into();
            let spec = ContainerSpec { id, name: name.into(), auto_remove, labels, ..Default::default() };
            store.create_container(&spec).unwrap()
        };
        let held = make("held", false);
        held.write_state(&"state").unwrap();
        drop(make("stopped", false));
        drop(make("leftover", true));
        std::fs::create_dir(store.containers_dir().join("0".repeat(64))).unwrap();
        let names = |all| {
            let found = store.scan_containers::<String>(all, |_| true).unwrap();
            let mut found: Vec<_> =
                found.into_iter().map(|one| (one.dir.spec().name.clone(), one.locked, one.state)).collect();
            found.sort();
            found
        };
        let held = ("held".to_owned(), true, Some("state".to_owned()));
        assert_eq!(names(false), [held.clone(), ("leftover".into(), false, None)]);
        assert_eq!(names(true), [held, ("leftover".into(), false, None), ("stopped".into(), false, None)]);
    }

    #[test]
    fn what_has_ended_is_not_asked_for_its_lock() {
        let (_dir, store) = store();
        let spec =
            ContainerSpec { id: new_container_id().unwrap(), name: "web".into(), ..Default::default() };
        let held = store.create_container(&spec).unwrap();
        held.write_state(&"ended").unwrap();
        let locked = |may_run| {
            let found = store.scan_containers::<String>(true, may_run).unwrap();
            found.iter().map(|one| one.locked).collect::<Vec<_>>()
        };
        assert_eq!(locked(|_| true), [true]);
        assert_eq!(locked(|_| false), [false]);
        assert!(store.scan_containers::<String>(false, |_| false).unwrap().is_empty());
    }

    #[test]
    fn many_are_found_in_order() {
        let (_dir, store) = store();
        for n in 0..2 * CONTAINERS_PER_THREAD + 5 {
            let id = format!("{n:064x}");
            drop(
                store
                    .create_container(&ContainerSpec { id, name: format!("c{n}"), ..Default::default() })
                    .unwrap(),
            );
        }
        let found = store.scan_containers::<String>(true, |_| true).unwrap();
        let names: Vec<_> = found.iter().map(|one| one.dir.spec().name.clone()).collect();
        assert_eq!(names, (0..2 * CONTAINERS_PER_THREAD + 5).map(|n| format!("c{n}")).collect::<Vec<_>>());
        assert_eq!((threads(0), threads(79)), (1, 1));
        assert!(threads(100_000) <= MAX_THREADS);
    }

    #[test]
    fn damage_is_named() {
        let (_dir, store) = store();
        let spec =
            ContainerSpec { id: new_container_id().unwrap(), name: "web".into(), ..Default::default() };
        let container = store.create_container(&spec).unwrap();
        std::fs::write(container.path().join("state.json"), "{").unwrap();
        let error = format!("{:#}", store.scan_containers::<ContainerSpec>(true, |_| true).unwrap_err());
        assert!(error.contains("state.json") && error.contains(&spec.id), "{error}");
    }
}
