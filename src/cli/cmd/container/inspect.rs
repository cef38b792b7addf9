//! `container inspect`: show details of containers.

use clap::Args;

use crate::cmd::inspect::inspect_objects;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use dhow_engine::system::inspect::{InspectRequest, ObjectKind};

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ContainerInspectArgs>(
    &["container inspect"],
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Show everything about containers",
);

/// Arguments of `container inspect`.
#[derive(Args)]
struct ContainerInspectArgs {
    /// `json`, or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Count what they wrote
    #[arg(short, long)]
    size: bool,
    /// Names or IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl CommandArgs for ContainerInspectArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let request = InspectRequest {
            kind: Some(ObjectKind::Container),
            size: self.size,
            ..InspectRequest::default()
        };
        inspect_objects(context, &self.containers, self.format.as_deref(), &request)
    }
}
