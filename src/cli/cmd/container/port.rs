//! `port`: list the published ports of a container.

use clap::Args;

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use crate::output;
use dhow_engine::container::port::published;
use dhow_error::{invalid, not_found};
use dhow_model::network::PublishedPort;
use dhow_model::port_list::join_host_port;
use dhow_model::port_range;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ContainerPortArgs>(
    &["container port", "port"],
    "CONTAINER [PRIVATE_PORT[/PROTO]]",
    "Show which ports of a container are published",
);

/// Arguments of `port`.
#[derive(Args)]
struct ContainerPortArgs {
    /// Name or ID
    #[arg(required = true, value_name = "CONTAINER")]
    container: String,
    /// Only this port of the container
    #[arg(value_name = "PRIVATE_PORT[/PROTO]")]
    port: Option<String>,
}

impl CommandArgs for ContainerPortArgs {
    fn run(self, _context: &CommandContext) -> CommandResult {
        let store = Store::open(environment::data_root()?)?;
        let published = published(&store, &self.container)?;
        let address = |one: &PublishedPort| join_host_port(one.ip, &one.host.to_string());
        let container_port = |one: &PublishedPort| format!("{}/{}", one.container, one.protocol);
        let Some(text) = self.port else {
            let lines = published.iter().map(|one| format!("{} -> {}\n", container_port(one), address(one)));
            output::print(&lines.collect::<String>())?;
            return Ok(0);
        };
        let ports = port_range::parse(&text)?;
        // Flags take ranges in this notation, but docker looks up one port.
        let [port] = ports.as_slice() else {
            return Err(invalid(format!("`{}` is more than one port", text.escape_debug())).into());
        };
        let lines: Vec<String> = published
            .iter()
            .filter(|one| container_port(one) == *port)
            .map(|one| address(one) + "\n")
            .collect();
        if lines.is_empty() {
            let message = format!("No public port '{port}' published for {}", self.container);
            return Err(not_found(message).into());
        }
        output::print(&lines.concat())?;
        Ok(0)
    }
}
