//! `events`: reports what happened to containers, images, networks and volumes, from the store's event log,
//! and what happens from now on.

use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::directory_watch::{discard_events, watch_directory};
use dhow_error::{Failure, invalid};
use dhow_model::event::{EngineEvent, EventKind};
use dhow_model::filter::ListFilter;
use dhow_model::reference::ImageReference;
use dhow_model::timestamp;
use dhow_store::Store;

#[derive(Clone, Debug)]
pub struct EventQuery {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    filters: Vec<ListFilter>,
}

/// Filter keys. There are no daemons, plugins and Swarm objects here, so those keys match no event.
const KEYS: [&str; 14] = [
    "builder",
    "config",
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "secret",
    "service",
    "volume",
];
/// Actions with an argument after a colon, which a filter may leave out.
const WITH_ARGUMENT: [&str; 3] = ["health_status", "exec_create", "exec_start"];

impl EventQuery {
    /// Parses the times as the user typed them.
    pub fn new(since: Option<&str>, until: Option<&str>, filters: Vec<ListFilter>) -> Result<Self, Failure> {
        let now = Timestamp::now();
        let time = |text: Option<&str>| text.map(|text| timestamp::parse(text, now)).transpose();
        let (since, until) = (time(since)?, time(until)?);
        if let (Some(since), Some(until)) = (since, until)
            && since > until
        {
            return Err(invalid(format!("`since` time ({since}) cannot be after `until` time ({until})")));
        }
        match filters.iter().find(|filter| filter.key != "type" && !KEYS.contains(&filter.key.as_str())) {
            Some(unknown) => Err(unknown.unknown(&format!("{}, type", KEYS.join(", ")))),
            None => Ok(Self { since, until, filters }),
        }
    }

    fn selects(&self, event: &EngineEvent) -> bool {
        let time = i128::from(event.time);
        let early = self.since.is_some_and(|since| time < since.as_nanosecond());
        let late = self.until.is_some_and(|until| time > until.as_nanosecond());
        !early && !late && self.accepts(event)
    }

    /// All keys must match; one value of a key suffices, except that all labels must match.
    fn accepts(&self, event: &EngineEvent) -> bool {
        self.filters.iter().all(|filter| {
            let mut alternatives = self.filters.iter().filter(|other| other.key == filter.key);
            if filter.key == "label" {
                filter_matches(filter, event)
            } else {
                alternatives.any(|other| filter_matches(other, event))
            }
        })
    }
}

fn filter_matches(filter: &ListFilter, event: &EngineEvent) -> bool {
    let value = filter.value.as_str();
    let named = |kind: EventKind| {
        let name = event.attributes.get("name");
        event.kind == kind
            && (event.id.starts_with(value) || name.is_some_and(|name| name.starts_with(value)))
    };
    match filter.key.as_str() {
        "type" => event.kind.as_str() == value,
        // Other scopes are for Swarm.
        "scope" => value == "local",
        "event" => event.action == value || is_event_with_argument(&event.action, value),
        "container" => named(EventKind::Container),
        "volume" => named(EventKind::Volume),
        "network" => named(EventKind::Network),
        "image" => is_of_image(event, value),
        "label" => match value.split_once('=') {
            Some((name, expected)) => event.attributes.get(name).is_some_and(|actual| actual == expected),
            None => event.attributes.contains_key(value),
        },
        _ => false,
    }
}

fn is_event_with_argument(action: &str, filter: &str) -> bool {
    WITH_ARGUMENT.contains(&filter)
        && action.strip_prefix(filter).is_some_and(|argument| argument.starts_with(':'))
}

/// By ID or name, the name with or without its tag.
fn is_of_image(event: &EngineEvent, value: &str) -> bool {
    let name = match event.kind {
        EventKind::Image => event.attributes.get("name"),
        _ => event.attributes.get("image"),
    };
    let candidates = [Some(&event.id), name];
    candidates.into_iter().flatten().any(|name| name == value || without_tag(name).as_deref() == Some(value))
}

fn without_tag(name: &str) -> Option<String> {
    Some(name.parse::<ImageReference>().ok()?.familiar_name())
}

/// Calls `tell` for each event that `query` selects, in order: past ones if the query reaches back, then new
/// ones until the query's end, or forever.
pub fn events(
    store: &Store,
    query: &EventQuery,
    mut tell: impl FnMut(&EngineEvent) -> Result<()>,
) -> Result<()> {
    let watch = EventLogWatch::new(store)?;
    let mut log = store.read_events();
    let doing = "cannot read the log of events";
    if query.since.is_none() && query.until.is_none() {
        // Only what is new is asked for: start at the end of the log.
        log.skip().context(doing)?;
    }
    loop {
        // Read the clock before the log: whatever was written until then is read below.
        let last = query.until.is_some_and(|until| Timestamp::now() >= until);
        for event in log.read().context(doing)? {
            if query.selects(&event) {
                tell(&event)?;
            }
        }
        if last {
            return Ok(());
        }
        watch.wait(query.until)?;
    }
}

/// Wakes up when the event log is written to. Without an inotify descriptor it falls back to polling.
struct EventLogWatch(Option<OwnedFd>);

/// Polling interval in nanoseconds where the user's inotify instances are used up (inotify(7),
/// `max_user_instances`).
const INTERVAL: i128 = 200_000_000;

impl EventLogWatch {
    fn new(store: &Store) -> Result<Self> {
        let dir = store.events_watch_dir().context("cannot make the directory of events")?;
        match watch_directory(&dir) {
            Ok(fd) => Ok(Self(Some(fd))),
            // EMFILE and ENFILE: no instances; ENOSPC: no watches; ENOSYS: no inotify at all.
            Err(Errno::MFILE | Errno::NFILE | Errno::NOSPC | Errno::NOSYS) => Ok(Self(None)),
            Err(error) => Err(error).with_context(|| format!("cannot watch `{}`", dir.display())),
        }
    }

    /// Waits for a change, or until `end`.
    fn wait(&self, end: Option<Timestamp>) -> Result<()> {
        let left = |end: Timestamp| (end.as_nanosecond() - Timestamp::now().as_nanosecond()).max(0);
        // Without inotify, at most one interval; with it, until the end if there is one.
        let limit = match (&self.0, end.map(left)) {
            (Some(_), left) => left,
            (None, left) => Some(left.unwrap_or(INTERVAL).min(INTERVAL)),
        };
        let limit = limit.map(|left| Timespec {
            tv_sec: i64::try_from(left / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(left % 1_000_000_000).unwrap_or_default(),
        });
        let mut fds: Vec<PollFd<'_>> = self
            .0
            .iter()
            .map(|fd| PollFd::from_borrowed_fd(std::os::fd::AsFd::as_fd(fd), PollFlags::IN))
            .collect();
        match poll(&mut fds, limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("waiting for events"),
        }
        self.0.iter().for_each(discard_events);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(filters: &[(&str, &str)]) -> EventQuery {
        let filters =
            filters.iter().map(|(k, v)| ListFilter { key: (*k).into(), value: (*v).into() }).collect();
        EventQuery::new(None, None, filters).unwrap()
    }

    fn started() -> EngineEvent {
        EngineEvent::new(EventKind::Container, "start", "0123456789")
            .with("name", "web")
            .with("image", "example.org/nginx:1")
            .with("tier", "front")
    }

    #[test]
    fn filters_choose_as_dockers_do() {
        let health = EngineEvent::new(EventKind::Container, "health_status: healthy", "0123456789");
        let pulled = EngineEvent::new(EventKind::Image, "pull", "alpine:latest").with("name", "alpine");
        for (filters, event, selected) in [
            (&[][..], &pulled, true),
            (&[("type", "image")], &pulled, true),
            (&[("type", "container")], &pulled, false),
            (&[("type", "container"), ("type", "image")], &pulled, true),
            (&[("image", "alpine")], &pulled, true),
            (&[("image", "alpine:latest")], &pulled, true),
            (&[("image", "alp")], &pulled, false),
            (&[("container", "alpine")], &pulled, false),
            (&[("image", "example.org/nginx")], &started(), true),
            (&[("image", "example.org/nginx:1"), ("container", "web")], &started(), true),
            (&[("container", "0123")], &started(), true),
            (&[("container", "db")], &started(), false),
            (&[("event", "start"), ("event", "die")], &started(), true),
            (&[("event", "sta")], &started(), false),
            (&[("event", "health_status")], &health, true),
            (&[("event", "health_status: healthy")], &health, true),
            (&[("event", "health_status: unhealthy")], &health, false),
            (&[("label", "tier")], &started(), true),
            (&[("label", "tier=front"), ("label", "zone")], &started(), false),
            (&[("scope", "local")], &started(), true),
            (&[("scope", "swarm")], &started(), false),
            (&[("daemon", "x")], &started(), false),
        ] {
            assert_eq!(query(filters).selects(event), selected, "{filters:?} {event:?}");
        }
        let filters = vec![ListFilter { key: "colour".into(), value: "red".into() }];
        assert!(EventQuery::new(None, None, filters).is_err());
    }

    #[test]
    fn times_bound_the_past() {
        let query = EventQuery::new(Some("100"), Some("200.5"), Vec::new()).unwrap();
        let at = |time| EngineEvent { time, ..started() };
        for (time, selected) in [
            (99_999_999_999, false),
            (100_000_000_000, true),
            (200_500_000_000, true),
            (200_500_000_001, false),
        ] {
            assert_eq!(query.selects(&at(time)), selected, "{time}");
        }
        assert!(EventQuery::new(Some("2"), Some("1"), Vec::new()).is_err());
    }

    #[test]
    fn the_past_ends_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        store.record_event(started());
        let mut seen = 0;
        let query = EventQuery::new(None, Some("0s"), Vec::new()).unwrap();
        let count = |_: &EngineEvent| {
            seen += 1;
            Ok(())
        };
        events(&store, &query, count).unwrap();
        assert_eq!(seen, 1);
    }
}
