//! `volume inspect`: show details of volumes.

use clap::Args;

use crate::cmd::inspect::inspect_objects;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use dhow_engine::system::inspect::{InspectRequest, ObjectKind};

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<VolumeInspectArgs>(
    &["volume inspect"],
    "[OPTIONS] VOLUME [VOLUME...]",
    "Show everything about volumes",
);

/// Arguments of `volume inspect`.
#[derive(Args)]
struct VolumeInspectArgs {
    /// `json`, or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Names
    #[arg(required = true, value_name = "VOLUME")]
    volumes: Vec<String>,
}

impl CommandArgs for VolumeInspectArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let request = InspectRequest { kind: Some(ObjectKind::Volume), ..InspectRequest::default() };
        inspect_objects(context, &self.volumes, self.format.as_deref(), &request)
    }
}
