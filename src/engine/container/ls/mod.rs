//! `container ls`: lists containers by state, number and filters.

mod filters;
mod image_names;
#[cfg(test)]
mod tests;

use anyhow::Result;

use self::filters::ContainerFilters;
pub(crate) use self::filters::FilterPattern;
pub use self::image_names::ImageNames;

use crate::tree_size::size_below;
use dhow_model::container::{ContainerSpec, NetworkMode};
use dhow_model::filter::ListFilter;
use dhow_model::mount::MountSource;
use dhow_model::network::{self, PublishedPort};
use dhow_model::port_list;
use dhow_runtime::remove::{is_abandoned, remove_abandoned};
use dhow_runtime::state::ContainerState;
use dhow_sandbox::identity::HostIdentity;
use dhow_store::{ContainerDir, ScannedContainer, Store};

#[derive(Clone, Debug, Default)]
pub struct ContainerQuery {
    /// Also those that do not run.
    pub all: bool,
    /// Only this many, the newest, in any state.
    pub last: Option<usize>,
    /// Values of one key are alternatives; all keys must match.
    pub filters: Vec<ListFilter>,
}

/// A container with its current state.
#[derive(Clone, Debug)]
pub struct ContainerSummary {
    pub dir: ContainerDir,
    pub state: ContainerState,
    /// Whether its lock is held: it runs or is about to.
    pub running: bool,
}

impl ContainerSummary {
    /// docker's word for the state. A container whose supervisor was killed counts as exited.
    pub fn status(&self) -> &'static str {
        match self.running {
            true if self.state.paused => "paused",
            true if self.state.restarting => "restarting",
            true if self.state.pid != 0 => "running",
            // A first start that failed does not count as a start.
            _ if self.state.started.is_empty() => "created",
            _ => "exited",
        }
    }

    /// Whether it runs, is paused, or waits to be restarted.
    pub fn is_up(&self) -> bool {
        matches!(self.status(), "running" | "paused" | "restarting")
    }

    /// The result of its health checks; `none` if it has no checks.
    pub fn health(&self) -> &str {
        self.state.health.as_ref().map_or("none", |health| &health.status)
    }

    /// Exit code of the last run; 255 if the supervisor was killed before it could record one.
    pub fn exit_code(&self) -> i32 {
        if self.state.pid != 0 { 255 } else { self.state.exit_code }
    }

    /// When it exited, or, if nobody recorded that, when it started.
    pub fn finished(&self) -> &str {
        if self.state.pid != 0 { &self.state.started } else { &self.state.finished }
    }

    /// Bytes in its writable layer.
    pub fn written(&self) -> u64 {
        size_below(&self.dir.upper())
    }

    /// Bytes of its image's layers; `None` if it has no image or that is gone.
    pub fn image_size(&self, store: &Store) -> Option<u64> {
        let image = self.spec().image.as_ref()?;
        store.image(&image.id).ok().flatten().map(|image| image.record.size)
    }

    /// Its published and exposed ports on one line; empty unless it runs.
    pub fn ports(&self) -> String {
        match self.is_up() {
            true => port_list::format_ports(&self.state.published, &self.spec().exposed_ports),
            false => String::new(),
        }
    }

    fn spec(&self) -> &ContainerSpec {
        self.dir.spec()
    }
}

/// The containers that `query` selects, newest first. Removes `--rm` containers whose supervisor was killed
/// before it could; that needs `identity`, and the process must be single-threaded.
pub fn list(
    store: &Store,
    query: &ContainerQuery,
    identity: impl FnOnce() -> HostIdentity,
) -> Result<Vec<ContainerSummary>> {
    let filters = ContainerFilters::new(store, &query.filters)?;
    // These select by state themselves, so stopped containers are looked at too.
    let all = query.all || query.last.is_some() || filters.ask_for_state();
    let mut scanned = store.scan_containers(all, ContainerState::may_run)?;
    let before = scanned.len();
    scanned.retain(|one| one.locked || !is_abandoned(one.dir.spec(), one.state.as_ref()));
    if scanned.len() < before {
        // A container that cannot be removed must not keep the others from being listed.
        let _ = remove_abandoned(store, &identity());
    }
    let listed = |one: ScannedContainer<ContainerState>| ContainerSummary {
        dir: one.dir,
        state: one.state.unwrap_or_default(),
        running: one.locked,
    };
    let mut found: Vec<ContainerSummary> = scanned.into_iter().map(listed).collect();
    found.retain(|container| (all || container.is_up()) && filters.accept(container));
    found.sort_by(|a, b| b.spec().created.cmp(&a.spec().created));
    found.truncate(query.last.unwrap_or(usize::MAX));
    Ok(found)
}

/// The container with its current state.
pub(crate) fn summarize(dir: ContainerDir) -> Result<ContainerSummary> {
    let running = dir.is_locked()?;
    Ok(ContainerSummary { state: dir.read_state()?.unwrap_or_default(), running, dir })
}

/// The ports that the container `text` publishes now, sorted by container port.
pub fn published(store: &Store, text: &str) -> Result<Vec<PublishedPort>> {
    let container = summarize(store.find_container(text)?)?;
    if !container.is_up() {
        return Ok(Vec::new());
    }
    let mut published = container.state.published;
    published.sort();
    Ok(published)
}

/// The name of the container's (first) network for listings.
pub(crate) fn network_name(spec: &ContainerSpec) -> String {
    match &spec.namespaces.network {
        Some(NetworkMode::Networks) => {
            spec.networks.first().map_or(network::DEFAULT, |first| first.name.as_str()).into()
        }
        Some(NetworkMode::Host) => "host".into(),
        Some(NetworkMode::Container(id)) => format!("container:{id}"),
        Some(NetworkMode::None) | None => "none".into(),
    }
}

/// The names of all its networks.
pub fn network_names(spec: &ContainerSpec) -> String {
    match &spec.namespaces.network {
        Some(NetworkMode::Networks) => {
            let names: Vec<&str> = spec.networks.iter().map(|one| one.name.as_str()).collect();
            names.join(",")
        }
        _ => network_name(spec),
    }
}

/// A volume's name, a host path, or an empty string for a tmpfs.
pub fn mount_name(source: &MountSource) -> String {
    match source {
        MountSource::Volume { name, .. } => name.clone().unwrap_or_default(),
        MountSource::Bind { path, .. } => path.display().to_string(),
        MountSource::Tmpfs { .. } => String::new(),
    }
}
