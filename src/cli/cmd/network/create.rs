//! `network create`: create a network.

use clap::Args;

use crate::flags::pairs::{label_map, parse_pairs};
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::{environment, report};
use crate::output;
use dhow_engine::network::create::create;
use dhow_error::{Failure, invalid, not_found, unsupported};
use dhow_model::flags::key_value::{self, KeyValue};
use dhow_model::new_network::NewNetwork;
use dhow_model::{egress, ipam};
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry =
    CommandEntry::new::<NetworkCreateArgs>(&["network create"], "[OPTIONS] NETWORK", "Make a network");

/// Arguments of `network create`.
#[derive(Args)]
struct NetworkCreateArgs {
    /// Containers may be put on it by hand, which they always may
    #[arg(long, hide = true)]
    attachable: bool,
    /// Address that no container gets, NAME=ADDRESS
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    aux_address: Vec<String>,
    /// Network of a swarm to take the configuration from: there are none
    #[arg(long, value_name = "NETWORK", hide = true)]
    config_from: Option<String>,
    /// Configuration of networks of a swarm: there are none
    #[arg(long, hide = true)]
    config_only: bool,
    /// The driver: bridge
    #[arg(short, long, value_name = "DRIVER", default_value = "bridge", hide_default_value = true)]
    driver: String,
    /// Where its containers may go, HOST[:PORT] with a name, *.NAME or a subnet; nowhere else then
    #[arg(long, value_name = "HOST")]
    egress_allow: Vec<String>,
    /// Address of the gateway, in the subnet
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    gateway: Vec<String>,
    /// Network for published ports of a swarm: there are none
    #[arg(long, hide = true)]
    ingress: bool,
    /// No way out, and no published ports
    #[arg(long)]
    internal: bool,
    /// Where in the subnet addresses are taken from
    #[arg(long, value_name = "SUBNET", value_delimiter = ',')]
    ip_range: Vec<String>,
    /// Driver of address management: default
    #[arg(long, value_name = "DRIVER", default_value = "default", hide = true)]
    ipam_driver: String,
    /// Option of address management, NAME=VALUE
    #[arg(long, value_name = "OPTION")]
    ipam_opt: Vec<String>,
    /// IPv4 addresses
    #[arg(long, default_value = "true")]
    ipv4: bool,
    /// IPv6 addresses
    #[arg(long)]
    ipv6: bool,
    /// Label, KEY=VALUE
    #[arg(long, value_name = "LABEL", value_parser = key_value::parse_label)]
    label: Vec<KeyValue>,
    /// Option of the driver, as com.docker.network.driver.mtu=1400
    #[arg(short, long, value_name = "OPTION")]
    opt: Vec<String>,
    /// Scope: local
    #[arg(long, value_name = "SCOPE", hide = true)]
    scope: Option<String>,
    /// Subnet, 192.0.2.0/24; one of IPv6 brings IPv6 along
    #[arg(long, value_name = "SUBNET", value_delimiter = ',')]
    subnet: Vec<String>,
    /// Its name
    #[arg(required = true, value_name = "NETWORK")]
    name: String,
}

impl CommandArgs for NetworkCreateArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        self.refuse_swarm()?;
        let reserved: Vec<(String, String)> =
            parse_pairs(&self.aux_address, "aux-address")?.into_iter().collect();
        let pools = ipam::consolidate(&self.subnet, &self.ip_range, &self.gateway, &reserved)?;
        // In docker, too, a subnet of IPv6 turns IPv6 on.
        let has_v6 = pools.iter().any(|pool| pool.subnet.is_some_and(|net| net.addr().is_ipv6()));
        let allowed =
            self.egress_allow.iter().map(|text| egress::parse(text)).collect::<Result<Vec<_>, _>>()?;
        let network = NewNetwork {
            name: self.name,
            internal: self.internal,
            attachable: self.attachable,
            without_v4: !self.ipv4,
            v6: self.ipv6 || has_v6,
            pools,
            options: parse_pairs(&self.opt, "option")?,
            ipam_options: parse_pairs(&self.ipam_opt, "option")?,
            labels: label_map(self.label),
            // An empty list would allow nothing, where no flag allows everything.
            egress: Some(allowed).filter(|allowed| !allowed.is_empty()),
        };
        let store = Store::open(environment::data_root()?)?;
        let (id, warnings) = create(&store, &self.driver, &network)?;
        warnings.iter().for_each(|warning| report::warn(context, warning));
        output::print_line(&id)?;
        Ok(0)
    }
}

impl NetworkCreateArgs {
    fn refuse_swarm(&self) -> Result<(), Failure> {
        let swarm_flags = [
            (self.config_from.is_some(), "--config-from"),
            (self.config_only, "--config-only"),
            (self.ingress, "--ingress"),
            (self.scope.as_deref().is_some_and(|scope| !matches!(scope, "" | "local")), "--scope"),
        ];
        if let Some((_, flag)) = swarm_flags.iter().find(|(given, _)| *given) {
            return Err(unsupported(format!("{flag} is for networks of a swarm, and dhow is none")));
        }
        if !matches!(self.ipam_driver.as_str(), "" | "default") {
            let driver = self.ipam_driver.escape_debug();
            // docker's error: it takes an unknown name for that of a plugin.
            return Err(not_found(format!(
                "could not find plugin {driver} in v1 plugin registry: plugin not found"
            )));
        }
        if !self.ipv4 && !self.ipv6 {
            return Err(invalid("IPv4 or IPv6 must be enabled"));
        }
        Ok(())
    }
}
