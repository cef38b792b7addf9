//! docker's `NetworkSettings` of a container: its endpoints and ports.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use crate::container_summary::{ContainerSummary, network_name};
use crate::network::lookup::find_network;
use dhow_model::container::{ContainerSpec, NetworkMode};
use dhow_model::digest::Digest;
use dhow_model::network::{NetworkAttachment, NetworkEndpoint, NetworkSpec, PortSpec};
use dhow_store::Store;

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NetworkSettings {
    bridge: &'static str,
    #[serde(rename = "SandboxID")]
    sandbox_id: String,
    sandbox_key: String,
    ports: BTreeMap<String, Option<Vec<PortBinding>>>,
    hairpin_mode: bool,
    #[serde(rename = "LinkLocalIPv6Address")]
    link_local: &'static str,
    #[serde(rename = "LinkLocalIPv6PrefixLen")]
    link_local_length: u8,
    #[serde(rename = "SecondaryIPAddresses")]
    secondary: Option<()>,
    #[serde(rename = "SecondaryIPv6Addresses")]
    secondary_v6: Option<()>,
    #[serde(rename = "EndpointID")]
    endpoint: String,
    gateway: String,
    #[serde(rename = "GlobalIPv6Address")]
    v6: String,
    #[serde(rename = "GlobalIPv6PrefixLen")]
    v6_length: u8,
    #[serde(rename = "IPAddress")]
    v4: String,
    #[serde(rename = "IPPrefixLen")]
    v4_length: u8,
    #[serde(rename = "IPv6Gateway")]
    v6_gateway: String,
    mac_address: String,
    networks: BTreeMap<String, EndpointSettings>,
}

/// A port on the host.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PortBinding {
    host_ip: String,
    host_port: String,
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct EndpointSettings {
    #[serde(rename = "IPAMConfig")]
    asked: Option<EndpointIpamConfig>,
    links: Option<Vec<String>>,
    aliases: Option<Vec<String>>,
    mac_address: String,
    driver_opts: Option<BTreeMap<String, String>>,
    gw_priority: i32,
    #[serde(rename = "NetworkID")]
    network: String,
    #[serde(rename = "EndpointID")]
    endpoint: String,
    gateway: String,
    #[serde(rename = "IPAddress")]
    v4: String,
    #[serde(rename = "IPPrefixLen")]
    v4_length: u8,
    #[serde(rename = "IPv6Gateway")]
    v6_gateway: String,
    #[serde(rename = "GlobalIPv6Address")]
    v6: String,
    #[serde(rename = "GlobalIPv6PrefixLen")]
    v6_length: u8,
    #[serde(rename = "DNSNames")]
    names: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, Serialize)]
struct EndpointIpamConfig {
    #[serde(rename = "IPv4Address", skip_serializing_if = "String::is_empty")]
    v4: String,
    #[serde(rename = "IPv6Address", skip_serializing_if = "String::is_empty")]
    v6: String,
    #[serde(rename = "LinkLocalIPs", skip_serializing_if = "Vec::is_empty")]
    link_local: Vec<String>,
}

pub(crate) fn network_settings(store: &Store, container: &ContainerSummary) -> Result<NetworkSettings> {
    let spec = container.dir.spec();
    let mut settings = NetworkSettings::default();
    match spec.namespaces.network {
        Some(NetworkMode::Networks) => {
            for attachment in &spec.networks {
                settings
                    .networks
                    .insert(attachment.name.clone(), endpoint_settings(store, container, attachment)?);
            }
        }
        // The endpoints are the other container's.
        Some(NetworkMode::Container(_)) => return Ok(settings),
        _ => {
            let network = find_network(store, &network_name(spec))?;
            let endpoint =
                if container.is_up() { container.endpoint_id(network.id()) } else { String::new() };
            let entry = EndpointSettings {
                network: network.id().to_owned(),
                endpoint,
                ..EndpointSettings::default()
            };
            settings.networks.insert(network.name().to_owned(), entry);
        }
    }
    if container.is_up() {
        settings.sandbox_id =
            Digest::of(format!("{}\n{}", spec.id, container.state.started).as_bytes()).hex().to_owned();
        settings.sandbox_key = format!("/proc/{}/ns/net", container.state.pid);
        settings.ports = ports(container);
    }
    // docker repeats the endpoint of the default network at the top level, from the time when it was the only
    // one.
    if let Some(entry) = settings.networks.get(dhow_model::network::DEFAULT).cloned() {
        settings.endpoint = entry.endpoint;
        settings.gateway = entry.gateway;
        settings.v4 = entry.v4;
        settings.v4_length = entry.v4_length;
        settings.v6 = entry.v6;
        settings.v6_length = entry.v6_length;
        settings.v6_gateway = entry.v6_gateway;
        settings.mac_address = entry.mac_address;
    }
    Ok(settings)
}

fn endpoint_settings(
    store: &Store,
    container: &ContainerSummary,
    attachment: &NetworkAttachment,
) -> Result<EndpointSettings> {
    let spec = container.dir.spec();
    let texts = |list: Vec<String>| Some(list).filter(|list| !list.is_empty());
    // docker shows links on the default network in `HostConfig`, and has no DNS names there.
    let is_own = attachment.name != dhow_model::network::DEFAULT;
    let mut entry = EndpointSettings {
        asked: ipam_config(attachment),
        links: texts(attachment.links.iter().filter(|_| is_own).map(|(a, b)| format!("{a}:{b}")).collect()),
        aliases: texts(attachment.aliases.clone()),
        mac_address: attachment.mac.map(|mac| mac.to_string()).unwrap_or_default(),
        driver_opts: Some(attachment.driver_options.clone()).filter(|options| !options.is_empty()),
        gw_priority: attachment.gateway_priority,
        network: attachment.network.clone(),
        names: is_own.then(|| dns_names(spec, attachment)),
        ..EndpointSettings::default()
    };
    let endpoint = container.state.endpoints.iter().find(|endpoint| endpoint.network == attachment.network);
    let network = store.network(&attachment.network)?;
    if let (Some(endpoint), Some(network), true) = (endpoint, network, container.is_up()) {
        entry.endpoint = container.endpoint_id(&network.id);
        entry.fill(endpoint, &network);
    }
    Ok(entry)
}

impl EndpointSettings {
    fn fill(&mut self, endpoint: &NetworkEndpoint, network: &NetworkSpec) {
        self.mac_address = endpoint.mac.to_string();
        if let (Some(address), Some(subnet)) = (endpoint.v4, &network.v4) {
            self.v4 = address.addr().to_string();
            self.v4_length = address.prefix_len();
            self.gateway = subnet.gateway.to_string();
        }
        if let (Some(address), Some(subnet)) = (endpoint.v6, &network.v6) {
            self.v6 = address.addr().to_string();
            self.v6_length = address.prefix_len();
            self.v6_gateway = subnet.gateway.to_string();
        }
    }
}

fn ipam_config(attachment: &NetworkAttachment) -> Option<EndpointIpamConfig> {
    let text = |address: Option<String>| address.unwrap_or_default();
    let config = EndpointIpamConfig {
        v4: text(attachment.ip.map(|ip| ip.to_string())),
        v6: text(attachment.ip6.map(|ip| ip.to_string())),
        link_local: attachment.link_local.iter().map(ToString::to_string).collect(),
    };
    Some(config)
        .filter(|config| !config.v4.is_empty() || !config.v6.is_empty() || !config.link_local.is_empty())
}

/// The DNS names of the container on this network, without duplicates.
fn dns_names(spec: &ContainerSpec, attachment: &NetworkAttachment) -> Vec<String> {
    let short = spec.short_id().to_owned();
    let candidates = [spec.name.clone()].into_iter().chain(attachment.aliases.clone()).chain([short]);
    let mut names: Vec<String> = Vec::new();
    for name in candidates.chain(spec.hostname.clone()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Published ports with their bindings, and ports that are only exposed.
fn ports(container: &ContainerSummary) -> BTreeMap<String, Option<Vec<PortBinding>>> {
    let exposed = &container.dir.spec().exposed_ports;
    let mut ports: BTreeMap<String, Option<Vec<PortBinding>>> =
        exposed.iter().map(|port| (port.clone(), None)).collect();
    for port in &container.state.published {
        let bindings = ports.entry(format!("{}/{}", port.container, port.protocol)).or_default();
        let binding = PortBinding { host_ip: port.ip.to_string(), host_port: port.host.to_string() };
        bindings.get_or_insert_default().push(binding);
    }
    ports
}

/// The ports that were requested with `-p`.
pub(crate) fn port_bindings(ports: &[PortSpec]) -> BTreeMap<String, Vec<PortBinding>> {
    let mut bindings: BTreeMap<String, Vec<PortBinding>> = BTreeMap::new();
    for port in ports {
        let host_port = match port.host {
            None => String::new(),
            Some((first, last)) if first == last => first.to_string(),
            Some((first, last)) => format!("{first}-{last}"),
        };
        let host_ip = port.ip.map(|ip| ip.to_string()).unwrap_or_default();
        let of_port = bindings.entry(format!("{}/{}", port.container, port.protocol)).or_default();
        of_port.push(PortBinding { host_ip, host_port });
    }
    bindings
}

/// Links on the default network, as `/db:/web/alias`, with the containers' current names.
pub(crate) fn default_network_links(store: &Store, spec: &ContainerSpec) -> Result<Option<Vec<String>>> {
    let mut links = Vec::new();
    let on_default =
        spec.networks.iter().filter(|attachment| attachment.name == dhow_model::network::DEFAULT);
    for (id, alias) in on_default.flat_map(|attachment| &attachment.links) {
        if let Some(other) = store.container(id)? {
            links.push(format!("/{}:/{}/{alias}", other.spec().name, spec.name));
        }
    }
    Ok(Some(links).filter(|links| !links.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_model::network::{PortProtocol, PublishedPort};
    use dhow_runtime::state::ContainerState;
    use dhow_store::new_container_id;

    #[test]
    fn what_runs_shows_its_addresses_and_ports() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let bridge = store.default_network().unwrap();
        let spec = ContainerSpec {
            id: new_container_id().unwrap(),
            name: "web".into(),
            networks: vec![NetworkAttachment {
                network: bridge.id.clone(),
                name: bridge.name.clone(),
                ..Default::default()
            }],
            exposed_ports: ["80/tcp", "443/tcp"].map(str::to_owned).into(),
            ports: dhow_model::flags::publish::parse("127.0.0.1:8080:80").unwrap(),
            namespaces: dhow_model::container::NamespaceSpec {
                network: Some(NetworkMode::Networks),
                ..Default::default()
            },
            ..ContainerSpec::default()
        };
        let container = store.create_container(&spec).unwrap();
        let joined = store.join_networks(&spec, &[]).unwrap();
        let published = PublishedPort {
            container: 80,
            protocol: PortProtocol::Tcp,
            ip: [127, 0, 0, 1].into(),
            host: 8080,
        };
        let state = ContainerState {
            pid: 1,
            started: "2026-01-01T00:00:00Z".into(),
            endpoints: joined.into_iter().map(|(_, endpoint)| endpoint).collect(),
            published: vec![published],
            ..ContainerState::default()
        };
        let look = |running| ContainerSummary { dir: (*container).clone(), state: state.clone(), running };
        let shown = serde_json::to_value(network_settings(&store, &look(true)).unwrap()).unwrap();
        let subnet = bridge.v4.unwrap();
        assert_eq!(shown["Gateway"], subnet.gateway.to_string());
        assert_eq!(shown["IPAddress"], shown["Networks"]["bridge"]["IPAddress"]);
        assert_eq!(shown["Networks"]["bridge"]["NetworkID"], bridge.id);
        assert_eq!(shown["IPPrefixLen"], subnet.net.prefix_len());
        assert!(shown["MacAddress"].as_str().unwrap().starts_with("02:42:"));
        let ports =
            serde_json::json!({"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}], "443/tcp": null});
        assert_eq!(shown["Ports"], ports);
        let ended = serde_json::to_value(network_settings(&store, &look(false)).unwrap()).unwrap();
        assert_eq!((&ended["IPAddress"], &ended["Ports"]), (&"".into(), &serde_json::json!({})));
        assert_eq!(ended["Networks"]["bridge"]["NetworkID"], bridge.id);
        let asked = serde_json::to_value(port_bindings(&spec.ports)).unwrap();
        assert_eq!(asked, serde_json::json!({"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}));
    }
}
