//! The files that are generated for a container: its names and addresses, and its DNS configuration.

use anyhow::Result;

use super::hosts::{self, NetworkFileContext};
use super::resolv_conf::resolv_conf_text;
use crate::network::NetworkPlan;
use dhow_model::container::{ContainerSpec, NetworkMode};
use dhow_sandbox::plan::{MountKind, PlannedMount, SandboxPlan};
use dhow_store::Store;

const HOSTS: &str = "/etc/hosts";
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Limit on a chain of containers that share each other's network.
const MAX_DEPTH: usize = 16;

/// The texts of /etc/hosts and /etc/resolv.conf.
pub(crate) struct NetworkFiles {
    hosts: String,
    pub resolv_conf: String,
}

pub(crate) fn network_files(spec: &ContainerSpec, networks: Option<&NetworkPlan>) -> Result<NetworkFiles> {
    let endpoints = networks.map(NetworkPlan::endpoints).unwrap_or_default();
    let gateways = networks.map(NetworkPlan::gateways).unwrap_or_default();
    let context = NetworkFileContext {
        endpoints: &endpoints,
        default_network: networks.is_some_and(NetworkPlan::is_default_only),
        gateways: &gateways,
        links: networks.map_or(&[], |networks| networks.links.as_slice()),
    };
    Ok(NetworkFiles {
        hosts: hosts::hosts_text(spec, &context)?,
        resolv_conf: resolv_conf_text(spec, &context),
    })
}

/// The mounts of all generated files.
pub(crate) fn generated_mounts(
    store: &Store,
    spec: &ContainerSpec,
    networks: Option<&NetworkPlan>,
) -> Result<Vec<PlannedMount>> {
    let texts = match network_owner(store, spec)? {
        Some((owner, networks)) => network_files(&owner, networks.as_ref())?,
        None => network_files(spec, networks)?,
    };
    let file = |target: &str, text: String| PlannedMount {
        target: target.into(),
        kind: MountKind::File {
            content: text.into_bytes(),
            mode: 0o644,
            // As docker: --read-only covers these files too.
            read_only: spec.read_only,
            owner: (0, 0),
        },
    };
    Ok(vec![
        // Programs detect docker containers by this file.
        PlannedMount { target: "/.dockerenv".into(), kind: MountKind::Marker },
        PlannedMount { target: "/etc/mtab".into(), kind: MountKind::Symlink("/proc/mounts".into()) },
        file(HOSTS, texts.hosts),
        file("/etc/hostname", hosts::hostname_text(spec)),
        file(RESOLV_CONF, texts.resolv_conf),
    ])
}

/// The container whose network this one shares, and that one's networks: both containers have the same files.
fn network_owner(
    store: &Store,
    spec: &ContainerSpec,
) -> Result<Option<(ContainerSpec, Option<NetworkPlan>)>> {
    let mut mode = spec.namespaces.network.clone();
    let mut owner = None;
    for _ in 0..MAX_DEPTH {
        let Some(NetworkMode::Container(id)) = &mode else { break };
        let Some(next) = store.container(id)? else { break };
        mode = next.spec().namespaces.network.clone();
        owner = Some(next);
    }
    let Some(owner) = owner else { return Ok(None) };
    let networks = NetworkPlan::of_running(store, &owner)?;
    Ok(Some((owner.spec().clone(), networks)))
}

/// Updates the files of a plan, for the container's next start.
pub(crate) fn update_network_files(plan: &mut SandboxPlan, texts: NetworkFiles) {
    for (target, text) in [(HOSTS, texts.hosts), (RESOLV_CONF, texts.resolv_conf)] {
        let mount = plan.mounts.iter_mut().find(|mount| mount.target == target);
        if let Some(PlannedMount { kind: MountKind::File { content, .. }, .. }) = mount {
            *content = text.into_bytes();
        }
    }
}
