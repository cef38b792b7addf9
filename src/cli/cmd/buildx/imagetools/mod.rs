//! `buildx imagetools`: image indexes on registries.

mod create;
mod inspect;

use clap::{Args, Subcommand};

use self::create::ImagetoolsCreateArgs;
use self::inspect::ImagetoolsInspectArgs;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ImagetoolsArgs>(
    &["buildx imagetools"],
    "COMMAND",
    "Work on images that are on registries, without fetching them",
);

/// Arguments of `buildx imagetools`.
#[derive(Args)]
struct ImagetoolsArgs {
    #[command(subcommand)]
    action: ImagetoolsCommand,
}

#[derive(Subcommand)]
enum ImagetoolsCommand {
    /// Make an index of images on registries
    Create(ImagetoolsCreateArgs),
    /// Show what is under a name
    Inspect(ImagetoolsInspectArgs),
}

impl CommandArgs for ImagetoolsArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        match self.action {
            ImagetoolsCommand::Create(create) => create.run(context),
            ImagetoolsCommand::Inspect(inspect) => inspect.run(context),
        }
    }
}
