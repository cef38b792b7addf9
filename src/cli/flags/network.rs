//! Flags for networks, ports, DNS and /etc/hosts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use clap::Args;

use crate::frame::command::CommandContext;
use crate::frame::{environment, report};
use dhow_error::invalid;
use dhow_model::container::{ContainerSpec, IpcMode, NetworkMode};
use dhow_model::flags::{self, hosts, publish, sysctl};
use dhow_model::network::MacAddress;
use dhow_model::port_range;

/// Networks, ports, resolver and hosts file.
#[derive(Args)]
pub(crate) struct ContainerNetworkFlags {
    /// Network: a name, none, host or container:NAME; or name=NAME,alias=…,ip=…,ip6=…,mac-address=…,gw-priority=…
    #[arg(long, visible_alias = "net", value_name = "NETWORK")]
    network: Vec<String>,
    /// Further name of the container on its network
    #[arg(long, alias = "net-alias", value_name = "NAME")]
    network_alias: Vec<String>,
    /// IPv4 address on its network
    #[arg(long, value_name = "ADDRESS", value_parser = flags::network::parse_v4)]
    ip: Option<Ipv4Addr>,
    /// IPv6 address on its network
    #[arg(long, value_name = "ADDRESS", value_parser = flags::network::parse_v6)]
    ip6: Option<Ipv6Addr>,
    /// Address of the link-local range, beside its own
    #[arg(long, value_name = "ADDRESS", value_parser = flags::network::parse_link_local)]
    link_local_ip: Vec<IpAddr>,
    /// Hardware address, 02:42:…
    #[arg(long, value_name = "ADDRESS")]
    mac_address: Option<MacAddress>,
    /// Another container, under a name that only this one knows, CONTAINER[:NAME]
    #[arg(long, value_name = "LINK", value_parser = flags::network::parse_link)]
    link: Vec<(String, String)>,
    /// Publish a port, [[IP:][HOST[-HOST]]:]PORT[-PORT][/PROTOCOL]
    #[arg(short, long, value_name = "PORT")]
    publish: Vec<String>,
    /// Publish all exposed ports, to any that are free
    #[arg(short = 'P', long)]
    publish_all: bool,
    /// Write down what the container asks for and reaches, appended to this file
    #[arg(long, value_name = "FILE")]
    egress_log: Option<PathBuf>,
    /// A port that the container says it listens on, PORT[-PORT][/PROTOCOL]
    #[arg(long, value_name = "PORT")]
    expose: Vec<String>,
    /// Add NAME:ADDRESS to /etc/hosts
    #[arg(long, value_name = "HOST", value_parser = hosts::parse_entry)]
    add_host: Vec<(String, String)>,
    /// Name server
    #[arg(long, value_name = "ADDRESS", value_parser = hosts::check_server)]
    dns: Vec<String>,
    /// Option of the resolver
    #[arg(long, alias = "dns-opt", value_name = "OPTION")]
    dns_option: Vec<String>,
    /// Domain in which names are searched
    #[arg(long, value_name = "DOMAIN", value_parser = hosts::check_search)]
    dns_search: Vec<String>,
}

impl ContainerNetworkFlags {
    pub(super) fn fill(self, spec: &mut ContainerSpec, context: &CommandContext) -> anyhow::Result<()> {
        let flags = flags::network::RawNetworkFlags {
            networks: self.network,
            aliases: self.network_alias,
            ip: self.ip,
            ip6: self.ip6,
            mac: self.mac_address,
            links: self.link,
            link_local: self.link_local_ip,
        };
        (spec.namespaces.network, spec.networks) = flags.resolve()?;
        for network in &spec.networks {
            let warnings = flags::network::check_driver_options(&network.driver_options)?;
            warnings.iter().for_each(|warning| report::warn(context, warning));
        }
        for text in &self.publish {
            spec.ports.extend(publish::parse(text)?);
        }
        spec.publish_all = self.publish_all;
        // In resolv.conf, white space separates options.
        if let Some(bad) = self.dns_option.iter().find(|option| option.contains(char::is_whitespace)) {
            return Err(invalid(format!("--dns-option `{}` contains white space", bad.escape_debug())).into());
        }
        for text in &self.expose {
            let ports = port_range::parse(text).map_err(|why| {
                invalid(format!("invalid range format for --expose: {}: {why}", text.escape_debug()))
            })?;
            spec.exposed_ports.extend(ports);
        }
        // Made absolute, since a later start opens the file from another directory.
        spec.egress_log = self
            .egress_log
            .map(|file| Ok::<_, anyhow::Error>(environment::working_dir()?.join(file)))
            .transpose()?;
        spec.extra_hosts = self.add_host;
        spec.dns.servers = self.dns;
        spec.dns.search = self.dns_search;
        spec.dns.options = self.dns_option;
        // Before published ports count as exposed, which is an error with another container's network.
        check_ports(spec, context)?;
        // docker counts published ports as exposed.
        let published = spec.ports.iter().map(|port| format!("{}/{}", port.container, port.protocol));
        spec.exposed_ports.extend(published);
        if matches!(spec.namespaces.network, Some(NetworkMode::Container(_))) {
            refuse_name_flags(spec)?;
        }
        refuse_host_sysctls(spec)
    }
}

/// Ports are published on networks only. With the host's network that is a warning, as in docker.
fn check_ports(spec: &ContainerSpec, context: &CommandContext) -> anyhow::Result<()> {
    let mode = match &spec.namespaces.network {
        None | Some(NetworkMode::Networks) => return Ok(()),
        Some(mode) => mode,
    };
    if spec.egress_log.is_some() {
        return Err(invalid("conflicting options: --egress-log and the network mode").into());
    }
    let publishing = !spec.ports.is_empty() || spec.publish_all;
    match mode {
        NetworkMode::Container(_) if publishing => {
            let message = "conflicting options: port publishing and the container type network mode";
            Err(invalid(message).into())
        }
        NetworkMode::Container(_) if !spec.exposed_ports.is_empty() => {
            let message = "conflicting options: port exposing and the container type network mode";
            Err(invalid(message).into())
        }
        NetworkMode::Host if publishing => {
            report::warn(context, "Published ports are discarded when using host network mode");
            Ok(())
        }
        NetworkMode::None if publishing => {
            report::warn(context, "Published ports are discarded without a network");
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Refuses names with another container's network, since host name and resolver come with the network.
fn refuse_name_flags(spec: &ContainerSpec) -> anyhow::Result<()> {
    let conflicts = [
        (spec.hostname.is_some(), "hostname"),
        (!spec.dns.servers.is_empty(), "dns"),
        (!spec.extra_hosts.is_empty(), "custom host-to-IP mapping"),
    ];
    match conflicts.iter().find(|(given, _)| *given) {
        Some((_, option)) => {
            Err(invalid(format!("conflicting options: {option} and the network mode")).into())
        }
        None => Ok(()),
    }
}

/// Refuses kernel settings that would reach a namespace that is not the container's own.
fn refuse_host_sysctls(spec: &ContainerSpec) -> anyhow::Result<()> {
    let network = matches!(spec.namespaces.network, Some(NetworkMode::Host | NetworkMode::Container(_)));
    let ipc = matches!(spec.namespaces.ipc, IpcMode::Host | IpcMode::Container(_));
    for name in spec.sysctls.keys() {
        if network && sysctl::is_network(name) {
            return Err(invalid(format!("sysctl '{name}' not allowed in host network namespace")).into());
        }
        if ipc && sysctl::is_ipc(name) {
            return Err(invalid(format!("sysctl '{name}' not allowed in host IPC namespace")).into());
        }
    }
    Ok(())
}
