//! docker's `HostConfig` of a container: what was asked of the host.

use std::collections::BTreeMap;

use serde::Serialize;

use super::networks::{PortBinding, port_bindings};
use super::resources::HostResources;
use dhow_model::container::{ContainerSpec, IpcMode, SeccompMode, SecuritySpec, UlimitSpec, UsernsMode};
use dhow_model::mount::{MountSource, MountSpec};

/// docker's default size of /dev/shm, in bytes.
const SHM_SIZE: u64 = 64 << 20;

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct HostConfig {
    binds: Option<Vec<String>>,
    network_mode: String,
    port_bindings: BTreeMap<String, Vec<PortBinding>>,
    volumes_from: Option<Vec<String>>,
    restart_policy: RestartPolicyInspect,
    log_config: LogConfig,
    auto_remove: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    cap_add: Option<Vec<String>>,
    cap_drop: Option<Vec<String>>,
    cgroupns_mode: &'static str,
    dns: Vec<String>,
    dns_options: Vec<String>,
    dns_search: Vec<String>,
    extra_hosts: Option<Vec<String>>,
    group_add: Option<Vec<String>>,
    ipc_mode: String,
    links: Option<Vec<String>>,
    oom_score_adj: i32,
    pid_mode: String,
    privileged: bool,
    publish_all_ports: bool,
    readonly_rootfs: bool,
    security_opt: Option<Vec<String>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tmpfs: BTreeMap<String, String>,
    #[serde(rename = "UTSMode")]
    uts_mode: &'static str,
    userns_mode: String,
    shm_size: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    sysctls: BTreeMap<String, String>,
    #[serde(flatten)]
    resources: HostResources,
    ulimits: Vec<UlimitInspect>,
    init: bool,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct RestartPolicyInspect {
    name: &'static str,
    maximum_retry_count: u32,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct LogConfig {
    #[serde(rename = "Type")]
    kind: String,
    config: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct UlimitInspect {
    name: String,
    hard: i64,
    soft: i64,
}

/// `network` is the name of the container's network, `links` are its links on the default network.
pub(crate) fn host_config(spec: &ContainerSpec, network: String, links: Option<Vec<String>>) -> HostConfig {
    let namespaces = &spec.namespaces;
    let host = |shared: bool| if shared { "host" } else { "" };
    HostConfig {
        binds: unless_empty(spec.mounts.iter().filter_map(bind).collect()),
        network_mode: network,
        port_bindings: port_bindings(&spec.ports),
        volumes_from: unless_empty(spec.volumes_from.clone()),
        restart_policy: RestartPolicyInspect {
            name: spec.restart.name(),
            maximum_retry_count: spec.restart.max(),
        },
        log_config: LogConfig {
            kind: if spec.log.driver.is_empty() { "json-file".into() } else { spec.log.driver.clone() },
            config: spec.log.options.clone(),
        },
        auto_remove: spec.auto_remove,
        annotations: spec.annotations.clone(),
        cap_add: unless_empty(spec.security.cap_add.clone()),
        cap_drop: unless_empty(spec.security.cap_drop.clone()),
        cgroupns_mode: if namespaces.cgroup_host { "host" } else { "private" },
        dns: spec.dns.servers.clone(),
        dns_options: spec.dns.options.clone(),
        dns_search: spec.dns.search.clone(),
        extra_hosts: unless_empty(
            spec.extra_hosts.iter().map(|(name, address)| format!("{name}:{address}")).collect(),
        ),
        group_add: unless_empty(spec.process.groups.clone()),
        ipc_mode: match &namespaces.ipc {
            IpcMode::Private => "private".into(),
            IpcMode::None => "none".into(),
            IpcMode::Host => "host".into(),
            IpcMode::Shareable => "shareable".into(),
            IpcMode::Container(id) => format!("container:{id}"),
        },
        links,
        oom_score_adj: spec.oom_score_adj.unwrap_or_default(),
        pid_mode: match &namespaces.pid_container {
            Some(id) => format!("container:{id}"),
            None => host(namespaces.pid_host).into(),
        },
        privileged: spec.security.privileged,
        publish_all_ports: spec.publish_all,
        readonly_rootfs: spec.read_only,
        security_opt: unless_empty(security(&spec.security)),
        tmpfs: spec.mounts.iter().filter_map(tmpfs).collect(),
        uts_mode: host(namespaces.uts_host),
        userns_mode: userns(&namespaces.userns),
        shm_size: spec.shm_size.unwrap_or(SHM_SIZE),
        sysctls: spec.sysctls.clone(),
        resources: HostResources::of(spec),
        ulimits: spec.ulimits.iter().map(limit).collect(),
        init: spec.init,
    }
}

/// Lists that docker shows as `null` when empty.
fn unless_empty(list: Vec<String>) -> Option<Vec<String>> {
    Some(list).filter(|list| !list.is_empty())
}

fn bind(mount: &MountSpec) -> Option<String> {
    let source = match &mount.source {
        MountSource::Bind { path, .. } => path.display().to_string(),
        // docker lists an anonymous volume under `Mounts` only.
        MountSource::Volume { name: Some(name), anonymous: false, .. } => name.clone(),
        MountSource::Volume { .. } | MountSource::Tmpfs { .. } => return None,
    };
    let suffix = if mount.read_only { ":ro" } else { "" };
    Some(format!("{source}:{}{suffix}", mount.target))
}

fn tmpfs(mount: &MountSpec) -> Option<(String, String)> {
    let MountSource::Tmpfs { size, mode, options } = &mount.source else { return None };
    let mut options = options.clone();
    options.extend(size.map(|size| format!("size={size}")));
    options.extend(mode.map(|mode| format!("mode={mode:o}")));
    Some((mount.target.clone(), options.join(",")))
}

fn security(security: &SecuritySpec) -> Vec<String> {
    let mut options: Vec<String> = security.labels.iter().map(|label| format!("label={label}")).collect();
    options.extend(security.no_new_privileges.then(|| "no-new-privileges".to_owned()));
    options.extend(security.unmasked.then(|| "systempaths=unconfined".to_owned()));
    options.extend(security.writable_cgroups.then(|| "writable-cgroups=true".to_owned()));
    options.extend(security.apparmor.as_ref().map(|profile| format!("apparmor={profile}")));
    match &security.seccomp {
        SeccompMode::Default => {}
        SeccompMode::Unconfined => options.push("seccomp=unconfined".into()),
        SeccompMode::Profile(profile) => options.push(format!("seccomp={profile}")),
    }
    options
}

fn userns(mode: &UsernsMode) -> String {
    match mode {
        UsernsMode::Default => String::new(),
        UsernsMode::KeepId { .. } => "keep-id".into(),
        UsernsMode::Host => "host".into(),
        UsernsMode::Auto => "auto".into(),
        UsernsMode::NoMap => "nomap".into(),
    }
}

fn limit(limit: &UlimitSpec) -> UlimitInspect {
    UlimitInspect { name: limit.name.clone(), hard: limit.hard, soft: limit.soft }
}
