//! `tag`: give an image another name.

use clap::Args;

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use dhow_engine::image::tag::tag;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ImageTagArgs>(
    &["image tag", "tag"],
    "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    "Give an image another name",
);

/// Arguments of `tag`.
#[derive(Args)]
struct ImageTagArgs {
    /// The image
    #[arg(required = true, value_name = "SOURCE_IMAGE")]
    source: String,
    /// Its new name
    #[arg(required = true, value_name = "TARGET_IMAGE")]
    target: String,
}

impl CommandArgs for ImageTagArgs {
    fn run(self, _context: &CommandContext) -> CommandResult {
        let store = Store::open(environment::data_root()?)?;
        tag(&store, &self.source, &self.target)?;
        Ok(0)
    }
}
