//! A container with its current state, as listings and `inspect` show it.

use anyhow::Result;

use crate::tree_size::size_below;
use dhow_model::container::{ContainerSpec, NetworkMode};
use dhow_model::digest::Digest;
use dhow_model::mount::MountSource;
use dhow_model::network;
use dhow_model::port_list;
use dhow_runtime::state::{ContainerState, HealthState};
use dhow_store::{ContainerDir, Store};

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

    /// The status of its health; `none` if it has no checks.
    pub fn health(&self) -> String {
        self.health_state().map_or_else(|| "none".into(), |health| health.status)
    }

    /// The results of its health checks, if it has any.
    pub(crate) fn health_state(&self) -> Option<HealthState> {
        let recorded = self.state.health.as_ref()?;
        // What was recorded last says nothing any more when nobody checks, as after a killed supervisor.
        Some(if self.status() == "running" { recorded.clone() } else { recorded.of_stopped() })
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

    /// docker makes up an ID for each endpoint at each start; this one is derived from what identifies the start.
    pub(crate) fn endpoint_id(&self, network: &str) -> String {
        let seed = format!("{}\n{network}\n{}", self.spec().id, self.state.started);
        Digest::of(seed.as_bytes()).hex().to_owned()
    }

    pub(crate) fn spec(&self) -> &ContainerSpec {
        self.dir.spec()
    }
}

/// The container with its current state.
pub(crate) fn summarize(dir: ContainerDir) -> Result<ContainerSummary> {
    let running = dir.is_locked()?;
    Ok(ContainerSummary { state: dir.read_state()?.unwrap_or_default(), running, dir })
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
            let names: Vec<&str> = spec.networks.iter().map(|attachment| attachment.name.as_str()).collect();
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
