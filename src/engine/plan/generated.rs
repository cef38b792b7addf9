//! The files that are generated for a container: its names and addresses, and its DNS configuration.

use anyhow::Result;

use super::files::{self, Place};
use super::resolv_conf::resolv_conf;
use crate::engine::networking::Wanted;
use crate::model::container::{ContainerSpec, NetworkMode};
use crate::sandbox::plan::{Mount, MountKind, Plan};
use crate::store::Store;

const HOSTS: &str = "/etc/hosts";
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Limit on a chain of containers that share each other's network.
const DEEPEST: usize = 16;

/// The texts of /etc/hosts and /etc/resolv.conf.
pub(in crate::engine) struct Texts {
    hosts: String,
    pub(in crate::engine) resolv_conf: String,
}

pub(in crate::engine) fn texts(spec: &ContainerSpec, networks: Option<&Wanted>) -> Result<Texts> {
    let endpoints = networks.map(Wanted::endpoints).unwrap_or_default();
    let gateways = networks.map(Wanted::gateways).unwrap_or_default();
    let place = Place {
        endpoints: &endpoints,
        default_network: networks.is_some_and(Wanted::is_default_only),
        gateways: &gateways,
        links: networks.map_or(&[], |networks| networks.links.as_slice()),
    };
    Ok(Texts { hosts: files::hosts(spec, &place)?, resolv_conf: resolv_conf(spec, &place) })
}

/// The mounts of all generated files.
pub(super) fn mounts(store: &Store, spec: &ContainerSpec, networks: Option<&Wanted>) -> Result<Vec<Mount>> {
    let texts = match shared(store, spec)? {
        Some((owner, networks)) => texts(&owner, networks.as_ref())?,
        None => texts(spec, networks)?,
    };
    let file = |target: &str, text: String| Mount {
        target: target.into(),
        kind: MountKind::File {
            content: text.into_bytes(),
            mode: 0o644,
            read_only: spec.read_only,
            owner: (0, 0),
        },
    };
    Ok(vec![
        // Programs detect docker containers by this file.
        Mount { target: "/.dockerenv".into(), kind: MountKind::Marker },
        Mount { target: "/etc/mtab".into(), kind: MountKind::Symlink("/proc/mounts".into()) },
        file(HOSTS, texts.hosts),
        file("/etc/hostname", files::hostname(spec)),
        file(RESOLV_CONF, texts.resolv_conf),
    ])
}

/// The container whose network this one shares, and that one's networks: both containers have the same files.
fn shared(store: &Store, spec: &ContainerSpec) -> Result<Option<(ContainerSpec, Option<Wanted>)>> {
    let mut mode = spec.namespaces.network.clone();
    let mut owner = None;
    for _ in 0..DEEPEST {
        let Some(NetworkMode::Container(id)) = &mode else { break };
        let Some(next) = store.container(id)? else { break };
        mode = next.spec().namespaces.network.clone();
        owner = Some(next);
    }
    let Some(owner) = owner else { return Ok(None) };
    let networks = Wanted::of_running(store, &owner)?;
    Ok(Some((owner.spec().clone(), networks)))
}

/// Updates the files of a plan, for the container's next start.
pub(in crate::engine) fn renew(plan: &mut Plan, texts: Texts) {
    for (target, text) in [(HOSTS, texts.hosts), (RESOLV_CONF, texts.resolv_conf)] {
        let mount = plan.mounts.iter_mut().find(|mount| mount.target == target);
        if let Some(Mount { kind: MountKind::File { content, .. }, .. }) = mount {
            *content = text.into_bytes();
        }
    }
}
