//! `container inspect`: a container as docker's API describes one; `host_config`, `networks` and `resources` are its
//! largest parts.

pub(crate) mod host_config;
pub(crate) mod networks;
pub(crate) mod resources;
use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use super::inspect::host_config::{HostConfig, host_config};
use super::inspect::networks::{NetworkSettings, default_network_links, network_settings};
use crate::container_summary::{ContainerSummary, mount_name, network_name, summarize};
use crate::image::inspect::{ConfigInspect, GraphDriver, NO_TIME, layer_trees};
use dhow_model::container::ContainerSpec;
use dhow_model::mount::{MountSource, MountSpec};
use dhow_runtime::state::HealthState;
use dhow_store::Store;

/// docker's `container.InspectResponse`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerInspect {
    id: String,
    created: String,
    path: String,
    args: Vec<String>,
    state: StateInspect,
    image: String,
    log_path: String,
    name: String,
    restart_count: u32,
    driver: &'static str,
    platform: &'static str,
    host_config: HostConfig,
    graph_driver: GraphDriver,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_rw: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_root_fs: Option<u64>,
    mounts: Vec<MountInspect>,
    config: ConfigInspect,
    network_settings: NetworkSettings,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct StateInspect {
    status: &'static str,
    running: bool,
    paused: bool,
    restarting: bool,
    #[serde(rename = "OOMKilled")]
    oom_killed: bool,
    dead: bool,
    pid: i32,
    exit_code: i32,
    error: String,
    started_at: String,
    finished_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<HealthState>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct MountInspect {
    #[serde(rename = "Type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    source: String,
    destination: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    driver: &'static str,
    mode: String,
    #[serde(rename = "RW")]
    rw: bool,
    propagation: String,
}

/// The container `text`; with `size` its written bytes are counted.
pub(crate) fn inspect(store: &Store, text: &str, size: bool) -> Result<Box<ContainerInspect>> {
    let container = summarize(store.find_container(text)?)?;
    let spec = container.dir.spec();
    let process = &spec.process;
    let mut words = process.entrypoint.iter().chain(&process.command).flatten().cloned();
    let written = size.then(|| container.written());
    Ok(Box::new(ContainerInspect {
        id: spec.id.clone(),
        created: spec.created.clone(),
        path: words.next().unwrap_or_default(),
        args: words.collect(),
        state: state(&container),
        image: spec.image.as_ref().map(|image| image.id.to_string()).unwrap_or_default(),
        log_path: log_path(&container),
        name: format!("/{}", spec.name),
        restart_count: container.state.restarts,
        driver: "overlay",
        platform: "linux",
        host_config: host_config(spec, network_name(spec), default_network_links(store, spec)?),
        graph_driver: graph_driver(store, &container)?,
        size_rw: written,
        size_root_fs: written
            .map(|written| written.saturating_add(container.image_size(store).unwrap_or_default())),
        mounts: spec.mounts.iter().map(|mount| mount_inspect(store, mount)).collect::<Result<_>>()?,
        config: config(spec),
        network_settings: network_settings(store, &container)?,
    }))
}

fn state(container: &ContainerSummary) -> StateInspect {
    let time = |text: &str| if text.is_empty() { NO_TIME.into() } else { text.to_owned() };
    let status = container.status();
    // docker shows a container as running while it is paused or waits to be restarted.
    let alive = matches!(status, "running" | "paused" | "restarting");
    StateInspect {
        status,
        running: alive,
        paused: status == "paused",
        restarting: status == "restarting",
        oom_killed: container.state.oom_killed,
        // For docker: a container whose removal failed. Here it is gone by then, and its files are in the trash.
        dead: false,
        pid: if alive { container.state.pid } else { 0 },
        exit_code: if status == "restarting" || !alive { container.exit_code() } else { 0 },
        error: container.state.error.clone(),
        started_at: time(&container.state.started),
        finished_at: time(if alive { &container.state.finished } else { container.finished() }),
        health: container.health_state(),
    }
}

/// Empty if there is no log, or it is not in a file.
fn log_path(container: &ContainerSummary) -> String {
    let path = container.dir.log_path();
    if path.exists() { path.display().to_string() } else { String::new() }
}

fn graph_driver(store: &Store, container: &ContainerSummary) -> Result<GraphDriver> {
    let mut data = BTreeMap::from([
        ("UpperDir", container.dir.upper().display().to_string()),
        ("WorkDir", container.dir.work().display().to_string()),
    ]);
    let image = container.dir.spec().image.as_ref().map(|used| store.image(&used.id)).transpose()?;
    if let Some(image) = image.flatten() {
        data.insert("LowerDir", layer_trees(store, &image.config.rootfs.diff_ids).join(":"));
    }
    Ok(GraphDriver { data, name: "overlay" })
}

fn mount_inspect(store: &Store, mount: &MountSpec) -> Result<MountInspect> {
    let (kind, driver, propagation) = match &mount.source {
        MountSource::Bind { propagation, .. } if propagation.is_empty() => ("bind", "", "rprivate"),
        MountSource::Bind { propagation, .. } => ("bind", "", propagation.as_str()),
        MountSource::Volume { .. } => ("volume", "local", ""),
        MountSource::Tmpfs { .. } => ("tmpfs", "", ""),
    };
    let (name, source) = match &mount.source {
        MountSource::Volume { name: Some(name), .. } => {
            (name.clone(), store.volume_data(name)?.display().to_string())
        }
        source => (String::new(), mount_name(source)),
    };
    Ok(MountInspect {
        kind,
        name,
        source,
        destination: mount.target.clone(),
        driver,
        mode: if mount.read_only { "ro".into() } else { String::new() },
        rw: !mount.read_only,
        propagation: propagation.into(),
    })
}

fn config(spec: &ContainerSpec) -> ConfigInspect {
    let process = &spec.process;
    let attached =
        |stream: &str| process.attach.is_empty() || process.attach.iter().any(|name| name == stream);
    ConfigInspect {
        hostname: spec.hostname.clone().unwrap_or_default(),
        domainname: spec.domainname.clone().unwrap_or_default(),
        user: process.user.clone().unwrap_or_default(),
        attach_stdin: process.interactive && attached("stdin"),
        attach_stdout: attached("stdout"),
        attach_stderr: attached("stderr"),
        exposed_ports: spec.exposed_ports.iter().map(|port| (port.clone(), serde_json::json!({}))).collect(),
        tty: process.tty,
        open_stdin: process.interactive,
        stdin_once: process.stdin_once,
        env: process.env.clone(),
        cmd: process.command.clone(),
        image: spec.image.as_ref().map(|image| image.name.clone()).unwrap_or_default(),
        working_dir: process.workdir.clone().unwrap_or_default(),
        entrypoint: process.entrypoint.clone(),
        labels: Some(spec.labels.clone()),
        stop_signal: spec.stop_signal.clone().unwrap_or_default(),
        stop_timeout: spec.stop_timeout,
        healthcheck: Some(&spec.health)
            .filter(|health| !health.is_empty())
            .and_then(|health| serde_json::to_value(health).ok()),
        shell: spec.shell.clone(),
        ..ConfigInspect::default()
    }
}
