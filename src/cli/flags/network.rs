//! Flags about the network and about names.

use clap::Args;

use crate::error::invalid;
use crate::model::container::{ContainerSpec, IpcMode, NetworkMode};
use crate::model::{hosts, namespace, port, sysctl};

/// Network, resolver and hosts file.
#[derive(Args)]
pub(crate) struct NetworkFlags {
    /// Network: none, host or container:NAME
    #[arg(long, visible_alias = "net", value_name = "NETWORK")]
    network: Vec<String>,
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

impl NetworkFlags {
    pub(super) fn fill(self, spec: &mut ContainerSpec) -> anyhow::Result<()> {
        if self.network.len() > 1 {
            return Err(invalid("--network: only one network can be given in this version").into());
        }
        if let Some(text) = self.network.first() {
            spec.namespaces.network = namespace::parse_network(text)?;
        }
        if let Some(bad) = self.dns_option.iter().find(|option| option.contains(char::is_whitespace)) {
            return Err(invalid(format!("--dns-option `{}` contains white space", bad.escape_debug())).into());
        }
        for text in &self.expose {
            let ports = port::parse(text).map_err(|why| {
                invalid(format!("invalid range format for --expose: {}: {why}", text.escape_debug()))
            })?;
            spec.exposed_ports.extend(ports);
        }
        spec.extra_hosts = self.add_host;
        spec.dns.servers = self.dns;
        spec.dns.search = self.dns_search;
        spec.dns.options = self.dns_option;
        if matches!(spec.namespaces.network, Some(NetworkMode::Container(_))) {
            refuse_own_names(spec)?;
        }
        refuse_settings_of_the_host(spec)
    }
}

/// Names come with the network, so another container's has its own.
fn refuse_own_names(spec: &ContainerSpec) -> anyhow::Result<()> {
    let conflicts = [
        (spec.hostname.is_some(), "hostname"),
        (!spec.dns.servers.is_empty(), "dns"),
        (!spec.extra_hosts.is_empty(), "custom host-to-IP mapping"),
    ];
    match conflicts.iter().find(|(given, _)| *given) {
        Some((_, what)) => Err(invalid(format!("conflicting options: {what} and the network mode")).into()),
        None => Ok(()),
    }
}

/// A kernel setting must not reach a namespace that is the host's.
fn refuse_settings_of_the_host(spec: &ContainerSpec) -> anyhow::Result<()> {
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
