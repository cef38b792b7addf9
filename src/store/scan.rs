//! All containers at once, for listings: nine system calls a container that runs, six one that does not and is not
//! wanted. Everything is opened relative to one directory, and a record that fits the buffer is read by one call.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use anyhow::Context as _;
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use serde::de::DeserializeOwned;

use super::{ContainerDir, Store, lock};
use crate::error::corrupt;

/// A container as it was found.
#[derive(Debug)]
pub struct Scanned<T> {
    /// Its record.
    pub dir: ContainerDir,
    /// Whether a process holds it ([`ContainerDir::is_locked`]).
    pub locked: bool,
    /// Its state; `None` before the first was written.
    pub state: Option<T>,
}

/// How the record of a container that removes itself says so.
const REMOVES_ITSELF: &str = "\"auto_remove\":true";
/// A record that is longer needs more than one call to read.
const USUAL: usize = 64 << 10;

impl Store {
    /// The containers with their states, in order of their IDs: all, or only those that a process holds and those that
    /// should have removed themselves.
    pub fn scan_containers<T: DeserializeOwned>(&self, all: bool) -> anyhow::Result<Vec<Scanned<T>>> {
        let ids = self.container_ids()?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let path = self.containers_dir();
        let root = match rustix::fs::open(&path, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(Vec::new()),
            other => other.context("cannot list the containers")?,
        };
        let mut scanner = Scanner { root, buffer: vec![0; USUAL] };
        let mut found = Vec::new();
        for id in ids {
            let one = scanner.one(&id, all).with_context(|| format!("cannot look at container {id}"))?;
            if let Some((spec, locked, state)) = one {
                found.push(Scanned { dir: ContainerDir { path: path.join(&id), spec }, locked, state });
            }
        }
        Ok(found)
    }
}

struct Scanner {
    root: OwnedFd,
    buffer: Vec<u8>,
}

type One<T> = (crate::model::container::ContainerSpec, bool, Option<T>);

impl Scanner {
    fn one<T: DeserializeOwned>(&mut self, id: &str, all: bool) -> anyhow::Result<Option<One<T>>> {
        let locked = match open(self.root.as_fd(), id, "lock") {
            Ok(file) => lock::is_file_held(file.as_fd())?,
            // It is being removed.
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let Some(spec) = self.read(id, "spec.json")? else { return Ok(None) };
        let removes_itself = || str::from_utf8(spec).is_ok_and(|text| text.contains(REMOVES_ITSELF));
        if !all && !locked && !removes_itself() {
            return Ok(None);
        }
        let spec = parse(id, "spec.json", spec)?;
        let state = self.read(id, "state.json")?.map(|text| parse(id, "state.json", text)).transpose()?;
        Ok(Some((spec, locked, state)))
    }

    /// The content of a record, if it is there.
    fn read(&mut self, id: &str, name: &str) -> io::Result<Option<&[u8]>> {
        let file = match open(self.root.as_fd(), id, name) {
            Err(Errno::NOENT) => return Ok(None),
            other => other?,
        };
        let mut length = 0;
        loop {
            if length == self.buffer.len() {
                self.buffer.resize(length.saturating_mul(2), 0);
            }
            let room = self.buffer.get_mut(length..).unwrap_or_default();
            let wanted = room.len();
            let got = rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut *room))?;
            length += got;
            // A regular file gives as much as is asked for, up to its end.
            if got < wanted {
                return Ok(self.buffer.get(..length));
            }
        }
    }
}

fn open(root: BorrowedFd<'_>, id: &str, name: &str) -> Result<OwnedFd, Errno> {
    openat(root, format!("{id}/{name}"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

fn parse<T: DeserializeOwned>(id: &str, name: &str, text: &[u8]) -> anyhow::Result<T> {
    serde_json::from_slice(text)
        .map_err(|error| corrupt(format!("the record `{name}` of container {id} is damaged: {error}")).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::container::ContainerSpec;
    use crate::store::images::tests::store;
    use crate::store::new_container_id;

    #[test]
    fn finds_what_is_wanted() {
        let (_dir, store) = store();
        assert_eq!(store.scan_containers::<String>(true).unwrap().len(), 0);
        let make = |name: &str, auto_remove| {
            let id = new_container_id().unwrap();
            let labels = [("long".to_owned(), "x".repeat(USUAL))].into();
            let spec = ContainerSpec { id, name: name.into(), auto_remove, labels, ..Default::default() };
            store.create_container(&spec).unwrap()
        };
        let held = make("held", false);
        held.write_state(&"state").unwrap();
        drop(make("stopped", false));
        drop(make("leftover", true));
        std::fs::create_dir(store.containers_dir().join("0".repeat(64))).unwrap();
        let names = |all| {
            let found = store.scan_containers::<String>(all).unwrap();
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
    fn damage_is_named() {
        let (_dir, store) = store();
        let spec =
            ContainerSpec { id: new_container_id().unwrap(), name: "web".into(), ..Default::default() };
        let container = store.create_container(&spec).unwrap();
        std::fs::write(container.path().join("state.json"), "{").unwrap();
        let error = format!("{:#}", store.scan_containers::<ContainerSpec>(true).unwrap_err());
        assert!(error.contains("state.json") && error.contains(&spec.id), "{error}");
    }
}
