//! `ps`: which containers there are, chosen by state, number and filters.

use anyhow::Result;

use super::remove::reap;
use super::size::size_below;
use super::state::ContainerState;
use crate::error::{Kind, invalid, kind_of};
use crate::model::container::{ContainerSpec, MountSource, NetworkMode};
use crate::model::filter::Filter;
use crate::sandbox::identity::Identity;
use crate::store::{ContainerDir, Store};

/// What is to be listed.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Those that do not run too.
    pub all: bool,
    /// Only so many, the newest, whatever their state.
    pub last: Option<usize>,
    /// Values of one key are alternatives, different keys must all hold.
    pub filters: Vec<Filter>,
}

/// A container as it is now.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its record.
    pub dir: ContainerDir,
    /// What is remembered of its last start.
    pub state: ContainerState,
    /// Whether it runs.
    pub running: bool,
}

impl Listed {
    /// docker's word for its state. One whose supervisor was killed has ended without saying how.
    pub fn status(&self) -> &'static str {
        match self.running {
            true if self.state.paused => "paused",
            true if self.state.restarting => "restarting",
            true if self.state.pid != 0 => "running",
            _ if self.state.started.is_empty() && self.state.finished.is_empty() => "created",
            _ => "exited",
        }
    }

    /// The exit code of the last run; 255 where nobody was left to note it.
    pub fn exit_code(&self) -> i32 {
        if self.state.pid != 0 { 255 } else { self.state.exit_code }
    }

    /// When it ended, or, where nobody noted that, started.
    pub fn finished(&self) -> &str {
        if self.state.pid != 0 { &self.state.started } else { &self.state.finished }
    }

    /// Bytes that it wrote to its file system.
    pub fn written(&self) -> u64 {
        size_below(&self.dir.upper())
    }

    /// Bytes of its image's layers, if it has one that is still there.
    pub fn image_size(&self, store: &Store) -> Option<u64> {
        let image = self.spec().image.as_ref()?;
        store.image(&image.id).ok().flatten().map(|image| image.record.size)
    }

    fn spec(&self) -> &ContainerSpec {
        self.dir.spec()
    }
}

/// The containers that `query` asks for, the newest first. Those that should have removed themselves, and whose
/// supervisor was killed before it could, are removed now: for that it asks who this is, and the process must have one
/// thread.
pub fn list(store: &Store, query: &Query, identity: impl FnOnce() -> Identity) -> Result<Vec<Listed>> {
    let filters = Filters::new(store, &query.filters)?;
    let mut found = Vec::new();
    for dir in store.containers()? {
        found.push(look_at(dir)?);
    }
    let before = found.len();
    found.retain(|container| container.running || !container.spec().auto_remove);
    if found.len() < before {
        // One that cannot be removed is no reason not to list the others.
        let _ = reap(store, &identity());
    }
    found.sort_by(|a, b| b.spec().created.cmp(&a.spec().created));
    let all = query.all || query.last.is_some() || filters.ask_for_state();
    found.retain(|container| (all || container.running) && filters.accept(container));
    found.truncate(query.last.unwrap_or(usize::MAX));
    Ok(found)
}

/// The container as it is now.
pub(super) fn look_at(dir: ContainerDir) -> Result<Listed> {
    let running = dir.is_locked()?;
    Ok(Listed { state: dir.read_state()?.unwrap_or_default(), running, dir })
}

/// Filters with what they refer to looked up.
struct Filters {
    pairs: Vec<Filter>,
    /// Time of creation of the containers that `before` and `since` name, in the order of these filters.
    times: Vec<(bool, String)>,
    /// IDs of the images that `ancestor` names.
    ancestors: Option<Vec<String>>,
}

const KEYS: [&str; 10] =
    ["ancestor", "before", "exited", "id", "label", "name", "network", "since", "status", "volume"];
const STATES: [&str; 7] = ["created", "running", "paused", "restarting", "removing", "exited", "dead"];

impl Filters {
    fn new(store: &Store, pairs: &[Filter]) -> Result<Self> {
        let mut filters = Self { pairs: pairs.to_vec(), times: Vec::new(), ancestors: None };
        for Filter { key, value } in pairs {
            match key.as_str() {
                "before" | "since" => {
                    let created = store.find_container(value)?.spec().created.clone();
                    filters.times.push((key == "since", created));
                }
                "ancestor" => filters.add_ancestor(store, value)?,
                "status" if !STATES.contains(&value.as_str()) => {
                    return Err(invalid(format!("invalid filter 'status={}'", value.escape_debug()))
                        .hint(STATES.join(", "))
                        .into());
                }
                "exited" if value.parse::<i32>().is_err() => {
                    return Err(invalid(format!("invalid filter 'exited={}'", value.escape_debug())).into());
                }
                key if !KEYS.contains(&key) => {
                    return Err(invalid(format!("invalid filter '{}'", key.escape_debug()))
                        .hint(format!("one of {}", KEYS.join(", ")))
                        .into());
                }
                _ => {}
            }
        }
        Ok(filters)
    }

    fn add_ancestor(&mut self, store: &Store, text: &str) -> Result<()> {
        let ancestors = self.ancestors.get_or_insert_default();
        match store.find_image(text) {
            Ok(image) => ancestors.push(image.id.to_string()),
            Err(error) if kind_of(&error) == Kind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn ask_for_state(&self) -> bool {
        self.pairs.iter().any(|filter| filter.key == "status" || filter.key == "exited")
    }

    fn accept(&self, container: &Listed) -> bool {
        let created = &container.spec().created;
        let in_time = |(since, time): &(bool, String)| if *since { created > time } else { created < time };
        let image = container.spec().image.as_ref().map(|image| image.id.as_str());
        let of_ancestor = |ids: &Vec<String>| ids.iter().any(|id| Some(id.as_str()) == image);
        self.times.iter().all(in_time)
            && self.ancestors.as_ref().is_none_or(of_ancestor)
            && KEYS.iter().all(|key| self.accept_key(key, container))
    }

    fn accept_key(&self, key: &str, container: &Listed) -> bool {
        let mut values = self
            .pairs
            .iter()
            .filter(|filter| filter.key == key)
            .map(|filter| filter.value.as_str())
            .peekable();
        if values.peek().is_none() {
            return true;
        }
        let spec = container.spec();
        match key {
            // Every label must be there, where values of other keys are alternatives.
            "label" => values.all(|value| has_label(spec, value)),
            "id" => values.any(|value| spec.id.starts_with(value)),
            "name" => values.any(|value| matches_name(&spec.name, value)),
            "status" => values.any(|value| container.status() == value),
            "exited" => values.any(|value| is_exit(container, value)),
            "network" => values.any(|value| network_name(spec) == value),
            "volume" => values.any(|value| uses_volume(spec, value)),
            _ => true,
        }
    }
}

fn is_exit(container: &Listed, code: &str) -> bool {
    container.status() == "exited" && code.parse() == Ok(container.exit_code())
}

fn has_label(spec: &ContainerSpec, wanted: &str) -> bool {
    match wanted.split_once('=') {
        Some((name, value)) => spec.labels.get(name).is_some_and(|have| have == value),
        None => spec.labels.contains_key(wanted),
    }
}

/// Part of the name; `^` and `$` tie it to the beginning and the end.
fn matches_name(name: &str, wanted: &str) -> bool {
    let (start, rest) = wanted.strip_prefix('^').map_or((false, wanted), |rest| (true, rest));
    let (end, rest) = rest.strip_suffix('$').map_or((false, rest), |rest| (true, rest));
    let rest = rest.strip_prefix('/').unwrap_or(rest);
    match (start, end) {
        (true, true) => name == rest,
        (true, false) => name.starts_with(rest),
        (false, true) => name.ends_with(rest),
        (false, false) => name.contains(rest),
    }
}

/// The network's name in listings.
pub fn network_name(spec: &ContainerSpec) -> &'static str {
    match spec.namespaces.network {
        Some(NetworkMode::Host) => "host",
        Some(NetworkMode::None) | None => "none",
    }
}

fn uses_volume(spec: &ContainerSpec, wanted: &str) -> bool {
    spec.mounts.iter().any(|mount| mount.target == wanted || mount_name(&mount.source) == wanted)
}

/// A volume's name, a host path, or nothing for a tmpfs.
pub fn mount_name(source: &MountSource) -> String {
    match source {
        MountSource::Volume { name, .. } => name.clone().unwrap_or_default(),
        MountSource::Bind { path, .. } => path.display().to_string(),
        MountSource::Tmpfs { .. } => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store_with(names: &[&str]) -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        for (index, name) in names.iter().enumerate() {
            let spec = ContainerSpec {
                id: crate::store::new_container_id().unwrap(),
                name: (*name).into(),
                created: format!("2026-01-0{}T00:00:00Z", index + 1),
                labels: [("n".to_owned(), (*name).to_owned())].into(),
                ..ContainerSpec::default()
            };
            let container = store.create_container(&spec).unwrap();
            let exit_code = i32::try_from(index).unwrap();
            let (started, finished) = ("x".to_owned(), "y".to_owned());
            container
                .write_state(&ContainerState { started, finished, exit_code, ..Default::default() })
                .unwrap();
        }
        (dir, store)
    }

    fn names(store: &Store, last: Option<usize>, filters: &[(&str, &str)]) -> Vec<String> {
        let filters = filters.iter().map(|(k, v)| Filter { key: (*k).into(), value: (*v).into() }).collect();
        let query = Query { all: true, last, filters };
        list(store, &query, nobody).unwrap().iter().map(|c| c.spec().name.clone()).collect()
    }

    fn nobody() -> Identity {
        Identity::probe(None, "")
    }

    #[test]
    fn filters_choose() {
        let (_dir, store) = store_with(&["one", "two", "three"]);
        assert_eq!(names(&store, None, &[]), ["three", "two", "one"]);
        assert_eq!(names(&store, Some(1), &[]), ["three"]);
        assert_eq!(names(&store, None, &[("name", "t")]), ["three", "two"]);
        assert_eq!(names(&store, None, &[("name", "^/two$")]), ["two"]);
        assert_eq!(names(&store, None, &[("name", "one"), ("name", "two")]), ["two", "one"]);
        assert_eq!(names(&store, None, &[("label", "n=one")]), ["one"]);
        assert_eq!(names(&store, None, &[("label", "n"), ("exited", "2")]), ["three"]);
        assert_eq!(names(&store, None, &[("since", "one"), ("before", "three")]), ["two"]);
        assert_eq!(names(&store, None, &[("status", "running")]), [""; 0]);
        assert_eq!(names(&store, None, &[("ancestor", "nothing")]), [""; 0]);
    }

    #[test]
    fn those_that_ended_are_not_listed_by_default() {
        let (_dir, store) = store_with(&["one"]);
        assert!(list(&store, &Query::default(), nobody).unwrap().is_empty());
    }

    #[test]
    fn those_that_should_be_gone_are_removed() {
        let (_dir, store) = store_with(&["one"]);
        let spec = ContainerSpec {
            id: crate::store::new_container_id().unwrap(),
            name: "left".into(),
            auto_remove: true,
            ..ContainerSpec::default()
        };
        let running = store.create_container(&spec).unwrap();
        assert_eq!(names(&store, None, &[]), ["one", "left"]);
        drop(running);
        assert_eq!(names(&store, None, &[]), ["one"]);
        assert!(store.container(&spec.id).unwrap().is_none());
    }

    #[test]
    fn unknown_filters_are_refused() {
        let (_dir, store) = store_with(&[]);
        for (key, value) in [("foo", "x"), ("status", "happy"), ("exited", "many"), ("before", "nobody")] {
            let filters = vec![Filter { key: key.into(), value: value.into() }];
            assert!(list(&store, &Query { filters, ..Query::default() }, nobody).is_err(), "{key}");
        }
    }
}
