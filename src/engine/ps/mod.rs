//! `ps`: which containers there are, chosen by state, number and filters.

mod filters;
mod image_names;
#[cfg(test)]
mod tests;

use anyhow::Result;

use self::filters::Filters;
pub(in crate::engine) use self::filters::Pattern;
pub use self::image_names::ImageNames;

use super::remove::{is_abandoned, reap};
use super::size::size_below;
use super::state::ContainerState;
use crate::model::container::{ContainerSpec, MountSource, NetworkMode};
use crate::model::filter::Filter;
use crate::model::network::{self, Published};
use crate::model::port_list;
use crate::sandbox::identity::Identity;
use crate::store::{ContainerDir, Scanned, Store};

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
            // One that failed to start has not been started.
            _ if self.state.started.is_empty() => "created",
            _ => "exited",
        }
    }

    /// Whether it runs, is held, or is about to be started again.
    pub fn is_up(&self) -> bool {
        matches!(self.status(), "running" | "paused" | "restarting")
    }

    /// What its health checks found, `none` where there are none.
    pub fn health(&self) -> &str {
        self.state.health.as_ref().map_or("none", |health| &health.status)
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

    /// Its ports, those that are published and those that are only exposed, on one line; none unless it runs.
    pub fn ports(&self) -> String {
        match self.is_up() {
            true => port_list::line(&self.state.published, &self.spec().exposed_ports),
            false => String::new(),
        }
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
    let all = query.all || query.last.is_some() || filters.ask_for_state();
    let mut scanned = store.scan_containers(all, ContainerState::may_run)?;
    let before = scanned.len();
    scanned.retain(|one| one.locked || !is_abandoned(one.dir.spec(), one.state.as_ref()));
    if scanned.len() < before {
        // One that cannot be removed is no reason not to list the others.
        let _ = reap(store, &identity());
    }
    let listed = |one: Scanned<ContainerState>| Listed {
        dir: one.dir,
        state: one.state.unwrap_or_default(),
        running: one.locked,
    };
    let mut found: Vec<Listed> = scanned.into_iter().map(listed).collect();
    found.retain(|container| (all || container.is_up()) && filters.accept(container));
    found.sort_by(|a, b| b.spec().created.cmp(&a.spec().created));
    found.truncate(query.last.unwrap_or(usize::MAX));
    Ok(found)
}

/// The container as it is now.
pub(super) fn look_at(dir: ContainerDir) -> Result<Listed> {
    let running = dir.is_locked()?;
    Ok(Listed { state: dir.read_state()?.unwrap_or_default(), running, dir })
}

/// The ports that the container which a person means by `text` publishes now, in order of the ports inside.
pub fn published(store: &Store, text: &str) -> Result<Vec<Published>> {
    let container = look_at(store.find_container(text)?)?;
    if !container.is_up() {
        return Ok(Vec::new());
    }
    let mut published = container.state.published;
    published.sort();
    Ok(published)
}

/// The network's name in listings.
pub fn network_name(spec: &ContainerSpec) -> String {
    match &spec.namespaces.network {
        Some(NetworkMode::Networks) => {
            spec.networks.first().map_or(network::DEFAULT, |first| first.name.as_str()).into()
        }
        Some(NetworkMode::Host) => "host".into(),
        Some(NetworkMode::Container(id)) => format!("container:{id}"),
        Some(NetworkMode::None) | None => "none".into(),
    }
}

/// The names of all networks that it is on.
pub fn network_names(spec: &ContainerSpec) -> String {
    match &spec.namespaces.network {
        Some(NetworkMode::Networks) => {
            let names: Vec<&str> = spec.networks.iter().map(|one| one.name.as_str()).collect();
            names.join(",")
        }
        _ => network_name(spec),
    }
}

/// A volume's name, a host path, or nothing for a tmpfs.
pub fn mount_name(source: &MountSource) -> String {
    match source {
        MountSource::Volume { name, .. } => name.clone().unwrap_or_default(),
        MountSource::Bind { path, .. } => path.display().to_string(),
        MountSource::Tmpfs { .. } => String::new(),
    }
}
