//! `inspect`: show details of objects of any kind.

use std::str::FromStr;

use clap::Args;

use crate::cmd::inspect::inspect_objects;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use dhow_engine::system::inspect::{InspectRequest, ObjectKind};
use dhow_error::{Failure, invalid, unsupported};

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<InspectArgs>(
    &["inspect"],
    "[OPTIONS] NAME|ID [NAME|ID...]",
    "Show everything about containers, images, networks and volumes",
);

/// Arguments of `inspect`.
#[derive(Args)]
struct InspectArgs {
    /// `json`, or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Count what containers wrote
    #[arg(short, long)]
    size: bool,
    /// Only objects of this kind: container, image, network or volume
    #[arg(long, value_name = "KIND")]
    r#type: Option<String>,
    /// Names or IDs
    #[arg(required = true, value_name = "NAME|ID")]
    objects: Vec<String>,
}

impl CommandArgs for InspectArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let kind = self.r#type.as_deref().filter(|kind| !kind.is_empty());
        let kind = kind.map(InspectType::from_str).transpose()?.map(|kind| kind.0);
        let request = InspectRequest { kind, size: self.size, ..InspectRequest::default() };
        inspect_objects(context, &self.objects, self.format.as_deref(), &request)
    }
}

/// The value of `--type`.
struct InspectType(ObjectKind);

impl FromStr for InspectType {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        match text {
            "container" => Ok(Self(ObjectKind::Container)),
            "image" => Ok(Self(ObjectKind::Image)),
            "volume" => Ok(Self(ObjectKind::Volume)),
            "network" => Ok(Self(ObjectKind::Network)),
            "config" | "node" | "plugin" | "secret" | "service" | "task" => {
                Err(unsupported(format!("this version of dhow has no objects of type {text}")))
            }
            _ => Err(invalid(format!("unknown type: \"{}\"", text.escape_debug()))
                .hint("container, image, network or volume")),
        }
    }
}
