//! `network inspect`: a network as docker's API describes one.

use std::collections::BTreeMap;
use std::fmt::Display;

use anyhow::Result;
use serde::Serialize;

use super::lookup::{self, ResolvedNetwork};
use crate::container_summary::ContainerSummary;
use crate::image::inspect::NO_TIME;
use dhow_model::container::NetworkMode;
use dhow_model::network::{NetworkSpec, SubnetSpec};
use dhow_model::new_network::{ICC, MTU};
use dhow_runtime::state::ContainerState;
use dhow_store::{ScannedContainer, Store};

/// docker's `network.Inspect`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(clippy::struct_excessive_bools, reason = "docker's fields")]
pub struct NetworkInspect {
    name: String,
    id: String,
    created: String,
    scope: &'static str,
    driver: &'static str,
    #[serde(rename = "EnableIPv4")]
    enable_v4: bool,
    #[serde(rename = "EnableIPv6")]
    enable_v6: bool,
    #[serde(rename = "IPAM")]
    ipam: IpamInspect,
    internal: bool,
    attachable: bool,
    ingress: bool,
    config_from: ConfigFrom,
    config_only: bool,
    containers: BTreeMap<String, EndpointResource>,
    options: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    egress_allow: Option<Vec<String>>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct IpamInspect {
    driver: &'static str,
    options: Option<BTreeMap<String, String>>,
    config: Option<Vec<IpamConfig>>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct IpamConfig {
    subnet: String,
    #[serde(rename = "IPRange", skip_serializing_if = "Option::is_none")]
    range: Option<String>,
    gateway: String,
    #[serde(rename = "AuxiliaryAddresses", skip_serializing_if = "BTreeMap::is_empty")]
    reserved: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ConfigFrom {
    network: &'static str,
}

/// A container on the network.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct EndpointResource {
    name: String,
    #[serde(rename = "EndpointID")]
    endpoint: String,
    mac_address: String,
    #[serde(rename = "IPv4Address")]
    v4: String,
    #[serde(rename = "IPv6Address")]
    v6: String,
}

pub(crate) fn inspect(store: &Store, text: &str) -> Result<Box<NetworkInspect>> {
    let network = lookup::find_network(store, text)?;
    let spec = network.spec();
    let ipam_options = spec.map(|spec| spec.ipam_options.clone()).unwrap_or_default();
    Ok(Box::new(NetworkInspect {
        name: network.name().to_owned(),
        id: network.id().to_owned(),
        created: spec.map_or_else(|| NO_TIME.to_owned(), |spec| spec.created.clone()),
        scope: "local",
        driver: network.driver(),
        // docker shows true for `host` and `none`, too.
        enable_v4: spec.is_none_or(|spec| spec.v4.is_some()),
        enable_v6: spec.is_some_and(|spec| spec.v6.is_some()),
        ipam: IpamInspect {
            driver: "default",
            // docker shows null for the default network, an object for those that users created.
            options: spec.filter(|spec| !spec.is_default()).map(|_| ipam_options),
            config: spec.map(ipam_configs),
        },
        internal: spec.is_some_and(|spec| spec.internal),
        attachable: spec.is_some_and(|spec| spec.attachable),
        ingress: false,
        config_from: ConfigFrom { network: "" },
        config_only: false,
        containers: containers(store, &network)?,
        options: spec.map(options).unwrap_or_default(),
        labels: network.labels().clone(),
        egress_allow: spec.and_then(|spec| {
            let allowed = spec.egress.as_ref()?;
            Some(allowed.iter().map(ToString::to_string).collect())
        }),
    }))
}

fn ipam_configs(spec: &NetworkSpec) -> Vec<IpamConfig> {
    fn pool<N: Display, A: Display>(subnet: &SubnetSpec<N, A>) -> IpamConfig {
        IpamConfig {
            subnet: subnet.net.to_string(),
            range: subnet.range.as_ref().map(ToString::to_string),
            gateway: subnet.gateway.to_string(),
            reserved: subnet
                .reserved
                .iter()
                .map(|(name, address)| (name.clone(), address.to_string()))
                .collect(),
        }
    }
    spec.v4.iter().map(pool).chain(spec.v6.iter().map(pool)).collect()
}

/// docker shows explicit options on the default network.
fn options(spec: &NetworkSpec) -> BTreeMap<String, String> {
    if !spec.is_default() {
        return spec.options.clone();
    }
    let defaults = [
        ("com.docker.network.bridge.default_bridge", "true"),
        (ICC, "true"),
        ("com.docker.network.bridge.enable_ip_masquerade", "true"),
        (MTU, "1500"),
    ];
    defaults.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The running containers on the network.
fn containers(store: &Store, network: &ResolvedNetwork) -> Result<BTreeMap<String, EndpointResource>> {
    let mut resources = BTreeMap::new();
    for scanned in store.scan_containers(false, ContainerState::may_run)? {
        let ScannedContainer { dir, locked, state } = scanned;
        let summary = ContainerSummary { dir, running: locked, state: state.unwrap_or_default() };
        if summary.is_up()
            && let Some(resource) = endpoint_resource(&summary, network)
        {
            resources.insert(summary.dir.spec().id.clone(), resource);
        }
    }
    Ok(resources)
}

fn endpoint_resource(container: &ContainerSummary, network: &ResolvedNetwork) -> Option<EndpointResource> {
    let spec = container.dir.spec();
    let endpoint = container.state.endpoints.iter().find(|endpoint| endpoint.network == network.id());
    let on_built_in = match network {
        ResolvedNetwork::Bridge(_) => false,
        ResolvedNetwork::Predefined { name: "host", .. } => {
            spec.namespaces.network == Some(NetworkMode::Host)
        }
        ResolvedNetwork::Predefined { .. } => {
            matches!(spec.namespaces.network, None | Some(NetworkMode::None))
        }
    };
    if endpoint.is_none() && !on_built_in {
        return None;
    }
    let v4 = endpoint.and_then(|endpoint| endpoint.v4);
    let v6 = endpoint.and_then(|endpoint| endpoint.v6);
    Some(EndpointResource {
        name: spec.name.clone(),
        endpoint: container.endpoint_id(network.id()),
        mac_address: endpoint.map(|endpoint| endpoint.mac.to_string()).unwrap_or_default(),
        v4: v4.map(|net| net.to_string()).unwrap_or_default(),
        v6: v6.map(|net| net.to_string()).unwrap_or_default(),
    })
}
