//! Scans containers for listings with few system calls: six for a stopped container, ten for one that may be running and
//! whose lock is queried; one and five with an index ([`super::listing_index`]), which has the texts of spec and state
//! of each container's directory. Large stores are scanned by several threads.

use std::borrow::Cow;
use std::os::fd::AsFd as _;

use anyhow::Context as _;
use rustix::io::Errno;
use serde::de::DeserializeOwned;

use super::listing_index::{ClockTime, DirStamp, IndexEntry, IndexFile, ListingIndex, MIN_ENTRIES};
use super::record_reader::{RecordReader, in_threads, open_dir, open_file};
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
/// The index is written anew when it lacks so many containers, and every sixteenth: to read the records of that many takes
/// as long.
const MAX_MISSING: usize = 32;

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
        self.scan(&ids, ScanScope::Everything, |scanner, id, texts| {
            scanner.state_row(id, texts, all, may_run)
        })
    }

    /// As [`Store::scan_containers`], but only those of `ids` that exist, in the order of `ids`.
    pub fn scan_some_containers<T>(
        &self,
        ids: &[String],
        all: bool,
        may_run: fn(&T) -> bool,
    ) -> anyhow::Result<Vec<ScannedContainer<T>>>
    where
        T: DeserializeOwned + Send,
    {
        self.scan(ids, ScanScope::Selection, |scanner, id, texts| scanner.state_row(id, texts, all, may_run))
    }

    /// All containers whose spec has `text` in it, ordered by ID. The text is one that JSON does not escape.
    pub(super) fn containers_with(&self, text: &str) -> anyhow::Result<Vec<ContainerDir>> {
        let ids = self.container_ids()?;
        let scanned = self.scan(&ids, ScanScope::Specs, |_, id, texts| match &texts.spec {
            Some(spec) if spec.contains(text) => Ok(Some((parse(id, "spec.json", spec)?, false, None::<()>))),
            _ => Ok(None),
        })?;
        Ok(scanned.into_iter().map(|one| one.dir).collect())
    }

    /// Looks at the texts of each container in `ids`.
    fn scan<T: Send>(
        &self,
        ids: &[String],
        scope: ScanScope,
        look: impl Fn(&mut ContainerScanner<'_>, &str, &RecordTexts<'_>) -> LookResult<T> + Sync,
    ) -> anyhow::Result<Vec<ScannedContainer<T>>> {
        let path = self.containers_dir();
        let Some(root) = open_dir(&path).context("cannot list the containers")? else {
            return Ok(Vec::new());
        };
        let file = (ids.len() >= MIN_ENTRIES).then(|| self.listing_index(root.as_fd(), "containers"));
        let file = file.filter(IndexFile::is_usable);
        let index = file.as_ref().map(ListingIndex::parse);
        let begin = ClockTime::now();
        let rows = in_threads(ids, |ids| {
            let reader = RecordReader::new(root.as_fd());
            let mut scanner = ContainerScanner { reader, index: index.as_ref(), scope, begin };
            let mut row = |id: &String| -> anyhow::Result<_> {
                let texts = scanner.texts(id)?;
                let found = look(&mut scanner, id, &texts)?;
                let scanned = found.map(|(spec, locked, state)| ScannedContainer {
                    dir: ContainerDir { path: path.join(id), spec },
                    locked,
                    state,
                });
                Ok((scanned, texts))
            };
            let looking = |id: &String| row(id).with_context(|| format!("cannot look at container {id}"));
            ids.iter().map(looking).collect()
        })?;
        if let (Some(file), Some(index), ScanScope::Everything) = (&file, &index, scope) {
            update_index(file, index, ids, rows.iter().map(|(_, texts)| texts));
        }
        Ok(rows.into_iter().filter_map(|(scanned, _)| scanned).collect())
    }
}

/// What a scan reads, and of which containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ScanScope {
    /// Specs and states of all containers: what is in the index.
    Everything,
    /// Specs and states of some containers.
    Selection,
    /// Specs of all containers.
    Specs,
}

/// The records of one container, out of the index or read.
struct RecordTexts<'a> {
    /// `None` if the container is not complete yet, a build step, or being removed.
    spec: Option<Cow<'a, str>>,
    state: Option<Cow<'a, str>>,
    /// The stamp to put into the index with the texts, if they may be there.
    stamp: Option<DirStamp>,
}

impl RecordTexts<'_> {
    fn is_read(&self) -> bool {
        matches!(self.spec, Some(Cow::Owned(_)))
    }
}

/// Writes the index anew if it lacks many of the texts that may be in it, or has many that nobody needs.
fn update_index<'a>(
    file: &IndexFile,
    index: &ListingIndex<'_>,
    ids: &[String],
    texts: impl Iterator<Item = &'a RecordTexts<'a>>,
) {
    let mut entries = Vec::with_capacity(ids.len());
    let mut missing = 0;
    for (key, texts) in ids.iter().zip(texts) {
        if let (Some(stamp), Some(spec)) = (texts.stamp, &texts.spec) {
            missing += usize::from(texts.is_read());
            entries.push(IndexEntry { key, stamp, texts: [Some(&**spec), texts.state.as_deref()] });
        }
    }
    if missing >= MAX_MISSING.max(ids.len() / 16) || index.len() > 2 * ids.len() {
        file.write(&entries);
    }
}

struct ContainerScanner<'a> {
    reader: RecordReader<'a>,
    index: Option<&'a ListingIndex<'a>>,
    scope: ScanScope,
    /// Before the first record was read.
    begin: ClockTime,
}

/// The container's spec, whether it is locked, and its state; `None` to leave it out.
type LookResult<T> = anyhow::Result<Option<(Box<ContainerSpec>, bool, Option<T>)>>;

impl<'a> ContainerScanner<'a> {
    fn texts(&mut self, id: &str) -> anyhow::Result<RecordTexts<'a>> {
        let mut stamp = None;
        if let Some(index) = self.index {
            // Before the records are read: a change between the two makes the stamp an old one.
            stamp = DirStamp::of(self.reader.root(), id);
            if let Some([Some(spec), state]) = stamp.and_then(|stamp| index.texts(id, stamp)) {
                let (spec, state) = (Some(spec.into()), state.map(Cow::Borrowed));
                return Ok(RecordTexts { spec, state, stamp });
            }
        }
        let state = if self.scope == ScanScope::Specs { None } else { self.read(id, "state.json")? };
        let spec = self.read(id, "spec.json")?.map(Cow::Owned);
        let stamp = stamp.filter(|stamp| stamp.is_settled(self.begin));
        Ok(RecordTexts { spec, state: state.map(Cow::Owned), stamp })
    }

    fn state_row<T: DeserializeOwned>(
        &mut self,
        id: &str,
        texts: &RecordTexts<'_>,
        all: bool,
        may_run: fn(&T) -> bool,
    ) -> LookResult<T> {
        let Some(spec) = &texts.spec else { return Ok(None) };
        let parse_state = |text: &str| parse::<T>(id, "state.json", text);
        let mut state = texts.state.as_deref().map(parse_state).transpose()?;
        // No state yet or a live one: being created or running, if the lock is held.
        let unsettled = state.as_ref().is_none_or(may_run);
        let removes_itself = spec.contains(REMOVES_ITSELF);
        if !all && !unsettled && !removes_itself {
            return Ok(None);
        }
        let spec = parse(id, "spec.json", spec)?;
        let locked = if unsettled || removes_itself {
            match open_file(self.reader.root(), &format!("{id}/lock")) {
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
            state = self.read(id, "state.json")?.as_deref().map(parse_state).transpose()?;
        }
        Ok((all || locked || removes_itself).then_some((spec, locked, state)))
    }

    /// The content of a record; `None` if it does not exist.
    fn read(&mut self, id: &str, name: &str) -> anyhow::Result<Option<String>> {
        let Some(bytes) = self.reader.read(&format!("{id}/{name}"))? else { return Ok(None) };
        let text = str::from_utf8(bytes).map_err(|_| damaged(id, name, "it is not UTF-8"))?;
        Ok(Some(text.to_owned()))
    }
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
    use crate::record_reader::{READ_BUFFER_SIZE, RECORDS_PER_THREAD};
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
        for n in 0..2 * RECORDS_PER_THREAD + 5 {
            let id = format!("{n:064x}");
            drop(
                store
                    .create_container(&ContainerSpec { id, name: format!("c{n}"), ..Default::default() })
                    .unwrap(),
            );
        }
        let found = store.scan_containers::<String>(true, |_| true).unwrap();
        let names: Vec<_> = found.iter().map(|one| one.dir.spec().name.clone()).collect();
        assert_eq!(names, (0..2 * RECORDS_PER_THREAD + 5).map(|n| format!("c{n}")).collect::<Vec<_>>());
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

    /// A store with so many containers that it gets an index, and their IDs.
    fn store_with_index() -> (tempfile::TempDir, Store, Vec<String>) {
        let (dir, store) = store();
        let ids: Vec<String> = (0..MIN_ENTRIES + 8).map(|n| format!("{n:064x}")).collect();
        for id in &ids {
            let spec = ContainerSpec { id: id.clone(), name: format!("c{id}"), ..Default::default() };
            store.create_container(&spec).unwrap().write_state(&"ended").unwrap();
        }
        settle(&store, &ids);
        assert_eq!(states(&store), vec!["ended"; ids.len()]);
        assert!(index_path(&store).exists());
        (dir, store, ids)
    }

    /// Waits until the clock has moved on from the last change of each container.
    fn settle(store: &Store, ids: &[String]) {
        let root = open_dir(&store.containers_dir()).unwrap().unwrap();
        let is_settled = |id: &String| {
            DirStamp::of(root.as_fd(), id).is_none_or(|stamp| stamp.is_settled(ClockTime::now()))
        };
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while !ids.iter().all(is_settled) {
            assert!(std::time::Instant::now() < deadline, "the clock stands still");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    fn index_path(store: &Store) -> std::path::PathBuf {
        store.listings_dir().join("containers")
    }

    fn states(store: &Store) -> Vec<String> {
        let scanned = store.scan_containers::<String>(true, |_| false).unwrap();
        scanned.into_iter().map(|one| one.state.unwrap_or_default()).collect()
    }

    fn change_state(store: &Store, id: &str, state: &str) {
        store.container(id).unwrap().unwrap().lock().unwrap().unwrap().write_state(&state).unwrap();
    }

    #[test]
    fn few_containers_have_no_index() {
        let (_dir, store) = store();
        let ids: Vec<String> = (0..MIN_ENTRIES - 1).map(|n| format!("{n:064x}")).collect();
        for id in &ids {
            let spec = ContainerSpec { id: id.clone(), name: format!("c{id}"), ..Default::default() };
            drop(store.create_container(&spec).unwrap());
        }
        settle(&store, &ids);
        states(&store);
        assert!(!index_path(&store).exists());
    }

    #[test]
    fn an_index_is_used_in_place_of_the_records() {
        let (_dir, store, ids) = store_with_index();
        // Nobody but this test writes into a record: the directory stays as it was.
        std::fs::write(store.containers_dir().join(&ids[3]).join("state.json"), "{").unwrap();
        assert_eq!(states(&store), vec!["ended"; ids.len()]);
        std::fs::remove_file(index_path(&store)).unwrap();
        assert!(store.scan_containers::<String>(true, |_| false).is_err());
    }

    #[test]
    fn what_changed_is_read() {
        let (_dir, store, ids) = store_with_index();
        change_state(&store, &ids[5], "changed");
        store.rename_container(&store.container(&ids[6]).unwrap().unwrap(), "renamed").unwrap();
        store.remove_container(store.container(&ids[7]).unwrap().unwrap().lock().unwrap().unwrap()).unwrap();
        let scanned = store.scan_containers::<String>(true, |_| false).unwrap();
        assert_eq!(scanned.len(), ids.len() - 1);
        assert_eq!(scanned[5].state.as_deref(), Some("changed"));
        assert_eq!(scanned[6].dir.spec().name, "renamed");
        assert_eq!(scanned[7].dir.spec().id, ids[8]);
        assert_eq!(store.containers().unwrap()[6].spec().name, "renamed");
        let some = store.scan_some_containers::<String>(&ids[5..8], true, |_| false).unwrap();
        assert_eq!(some.len(), 2);
    }

    #[test]
    fn one_that_ends_is_seen_though_the_index_has_it_running() {
        let (_dir, store, ids) = store_with_index();
        let held = store.container(&ids[0]).unwrap().unwrap().lock().unwrap().unwrap();
        held.write_state(&"runs").unwrap();
        settle(&store, &ids);
        std::fs::remove_file(index_path(&store)).unwrap();
        let look = || {
            let scanned = store.scan_containers::<String>(true, |state| state == "runs").unwrap();
            (scanned[0].state.clone().unwrap(), scanned[0].locked)
        };
        assert_eq!(look(), ("runs".into(), true));
        assert!(index_path(&store).exists());
        assert_eq!(look(), ("runs".into(), true));
        held.write_state(&"ended").unwrap();
        assert_eq!(look(), ("ended".into(), false));
        drop(held);
        assert_eq!(look(), ("ended".into(), false));
    }

    #[test]
    fn without_a_sound_index_the_records_are_read() {
        let (_dir, store, ids) = store_with_index();
        let whole = std::fs::read(index_path(&store)).unwrap();
        change_state(&store, &ids[1], "changed");
        let mut expected = vec!["ended"; ids.len()];
        expected[1] = "changed";
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        let torn = &whole[..whole.len() / 2];
        for index in [&b""[..], b"nonsense", b"\xff\xfe", torn, &flipped, &whole] {
            std::fs::write(index_path(&store), index).unwrap();
            assert_eq!(states(&store), expected);
        }
        std::fs::remove_dir_all(store.listings_dir()).unwrap();
        std::fs::write(store.listings_dir(), "in the way").unwrap();
        assert_eq!(states(&store), expected);
    }

    #[test]
    fn an_index_is_written_anew_once_most_of_it_is_of_no_use() {
        let (_dir, store, ids) = store_with_index();
        let size = || std::fs::metadata(index_path(&store)).unwrap().len();
        let whole = size();
        let text = std::fs::read_to_string(index_path(&store)).unwrap();
        let root = open_dir(&store.containers_dir()).unwrap().unwrap();
        let file = store.listing_index(root.as_fd(), "containers");
        // As if there had been many more containers.
        let gone: Vec<String> = (0..3 * ids.len()).map(|n| format!("f{n:063x}")).collect();
        let index = ListingIndex::parse(&file);
        let stamps: Vec<_> = ids.iter().map(|id| DirStamp::of(root.as_fd(), id).unwrap()).collect();
        let kept = ids.iter().zip(&stamps).map(|(key, stamp)| IndexEntry {
            key,
            stamp: *stamp,
            texts: index.texts(key, *stamp).unwrap(),
        });
        let old = gone.iter().map(|key| IndexEntry { key, stamp: stamps[0], texts: [Some("{}"), None] });
        file.write(&kept.chain(old).collect::<Vec<_>>());
        assert!(size() > 2 * whole);
        assert_eq!(states(&store).len(), ids.len());
        assert_eq!(std::fs::read_to_string(index_path(&store)).unwrap(), text);
    }

    #[test]
    fn an_index_lacks_what_changed_just_now() {
        let (_dir, store, ids) = store_with_index();
        std::fs::remove_file(index_path(&store)).unwrap();
        change_state(&store, &ids[2], "young");
        assert_eq!(states(&store)[2], "young");
        let root = open_dir(&store.containers_dir()).unwrap().unwrap();
        let file = store.listing_index(root.as_fd(), "containers");
        let index = ListingIndex::parse(&file);
        let has = |id: &str| index.texts(id, DirStamp::of(root.as_fd(), id).unwrap()).is_some();
        assert!(has(&ids[1]));
        // On a machine so slow that the change is old by now, the index may have it.
        if has(&ids[2]) {
            let [_, state] = index.texts(&ids[2], DirStamp::of(root.as_fd(), &ids[2]).unwrap()).unwrap();
            assert_eq!(state, Some("\"young\""));
        }
    }

    #[test]
    fn listings_and_changes_at_once_show_every_change() {
        let (_dir, store, ids) = store_with_index();
        let deadline = std::time::Instant::now() + std::time::Duration::from_millis(1500);
        std::thread::scope(|scope| {
            for (number, id) in ids.iter().enumerate().take(3) {
                let store = &store;
                scope.spawn(move || {
                    let mut count = 0;
                    while std::time::Instant::now() < deadline {
                        count += 1;
                        let state = format!("{number}-{count}");
                        change_state(store, id, &state);
                        assert_eq!(states(store)[number], state);
                    }
                });
            }
            scope.spawn(|| {
                while std::time::Instant::now() < deadline {
                    // Written again by the others, while entries change.
                    let _ = std::fs::remove_file(index_path(&store));
                    assert_eq!(states(&store).len(), ids.len());
                }
            });
        });
    }
}
