//! `network inspect`: show details of networks.

use clap::Args;

use crate::cmd::inspect::inspect_objects;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use dhow_engine::system::inspect::{InspectRequest, ObjectKind};

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<NetworkInspectArgs>(
    &["network inspect"],
    "[OPTIONS] NETWORK [NETWORK...]",
    "Show everything about networks",
);

/// Arguments of `network inspect`.
#[derive(Args)]
struct NetworkInspectArgs {
    /// `json`, or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// More about networks of a swarm, which there are none of
    #[arg(short, long, hide = true)]
    verbose: bool,
    /// Names or IDs
    #[arg(required = true, value_name = "NETWORK")]
    networks: Vec<String>,
}

impl CommandArgs for NetworkInspectArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let request = InspectRequest { kind: Some(ObjectKind::Network), ..InspectRequest::default() };
        inspect_objects(context, &self.networks, self.format.as_deref(), &request)
    }
}
