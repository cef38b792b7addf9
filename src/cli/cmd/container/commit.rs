//! `commit`: create an image from a container.

use clap::Args;

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use crate::output;
use dhow_engine::container::commit::{CommitRequest, commit};
use dhow_model::reference::ImageReference;
use dhow_runtime::userns;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ContainerCommitArgs>(
    &["container commit", "commit"],
    "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    "Make an image of a container's changes on top of its image",
);

/// Arguments of `commit`.
#[derive(Args)]
struct ContainerCommitArgs {
    /// Remember who made it
    #[arg(short, long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    author: String,
    /// Apply this Dockerfile instruction to the image's configuration
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// Remember this text as the image's comment
    #[arg(short, long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    message: String,
    /// Stop the container's processes meanwhile
    #[arg(short, long, default_value = "true")]
    pause: bool,
    /// Let the container's processes go on meanwhile
    #[arg(long)]
    no_pause: bool,
    /// Name or ID
    #[arg(required = true, value_name = "CONTAINER")]
    container: String,
    /// The image's name
    #[arg(value_name = "REPOSITORY[:TAG]")]
    name: Option<ImageReference>,
}

impl CommandArgs for ContainerCommitArgs {
    fn run(self, _context: &CommandContext) -> CommandResult {
        let request = CommitRequest {
            container: self.container,
            reference: self.name,
            author: self.author,
            message: self.message,
            changes: self.change,
            pause: self.pause && !self.no_pause,
        };
        let store = Store::open(environment::data_root()?)?;
        // Not entered here: pausing happens outside the user namespace, and reading files in a child inside.
        let id = commit(&store, &request, &userns::probe_identity(&environment::all()))?;
        output::print_line(id.as_str())?;
        Ok(0)
    }
}
