//! `network connect`: connect a container to a network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use clap::Args;

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::{environment, report};
use dhow_engine::network::connect::connect;
use dhow_error::invalid;
use dhow_model::flags;
use dhow_model::flags::network::is_user_defined;
use dhow_model::network::NetworkAttachment;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<NetworkConnectArgs>(
    &["network connect"],
    "[OPTIONS] NETWORK CONTAINER",
    "Put a container on a network, whether it runs or not",
);

/// Arguments of `network connect`.
#[derive(Args)]
struct NetworkConnectArgs {
    /// Further name of the container on the network
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    alias: Vec<String>,
    /// Option for the driver, NAME=VALUE
    #[arg(long, value_name = "OPTION", value_delimiter = ',', value_parser = flags::network::parse_driver_option)]
    driver_opt: Vec<(String, String)>,
    /// The network with the highest gives the default route
    #[arg(long, value_name = "NUMBER", default_value = "0", hide_default_value = true)]
    gw_priority: i32,
    /// IPv4 address
    #[arg(long, value_name = "ADDRESS", value_parser = flags::network::parse_v4)]
    ip: Option<Ipv4Addr>,
    /// IPv6 address
    #[arg(long, value_name = "ADDRESS", value_parser = flags::network::parse_v6)]
    ip6: Option<Ipv6Addr>,
    /// Another container, under a name that only this one knows, CONTAINER[:NAME]
    #[arg(long, value_name = "LINK", value_parser = flags::network::parse_link)]
    link: Vec<(String, String)>,
    /// Address of the link-local range, beside its own
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', value_parser = flags::network::parse_link_local)]
    link_local_ip: Vec<IpAddr>,
    /// Name or ID of the network
    #[arg(required = true, value_name = "NETWORK")]
    network: String,
    /// Name or ID of the container
    #[arg(required = true, value_name = "CONTAINER")]
    container: String,
}

impl CommandArgs for NetworkConnectArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        if !self.alias.is_empty() && !is_user_defined(&self.network) {
            return Err(invalid("network-scoped aliases are only supported for user-defined networks").into());
        }
        let attachment = NetworkAttachment {
            network: self.network,
            name: String::new(),
            ip: self.ip,
            ip6: self.ip6,
            mac: None,
            aliases: self.alias,
            links: self.link,
            link_local: self.link_local_ip,
            driver_options: self.driver_opt.into_iter().collect(),
            gateway_priority: self.gw_priority,
        };
        let warnings = flags::network::check_driver_options(&attachment.driver_options)?;
        warnings.iter().for_each(|warning| report::warn(context, warning));
        let store = Store::open(environment::data_root()?)?;
        connect(&store, &self.container, attachment)?;
        Ok(0)
    }
}
