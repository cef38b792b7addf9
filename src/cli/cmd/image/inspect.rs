//! `image inspect`: show details of images.

use clap::Args;

use crate::cmd::inspect::inspect_objects;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use dhow_engine::system::inspect::{InspectRequest, ObjectKind};
use dhow_model::platform::Platform;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ImageInspectArgs>(
    &["image inspect"],
    "[OPTIONS] IMAGE [IMAGE...]",
    "Show everything about images",
);

/// Arguments of `image inspect`.
#[derive(Args)]
struct ImageInspectArgs {
    /// `json`, or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Only if the image is for this platform, os/architecture[/variant]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// Names or IDs
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

impl CommandArgs for ImageInspectArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let platforms = self.platform.into_iter().collect();
        let request = InspectRequest { kind: Some(ObjectKind::Image), platforms, size: false };
        inspect_objects(context, &self.images, self.format.as_deref(), &request)
    }
}
