//! `commit`: create an image from a container.

use clap::Args;

use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::{environment, output};
use crate::engine::commit::{CommitRequest, commit};
use crate::engine::namespace;
use crate::model::reference::Reference;
use crate::store::Store;

pub(crate) const ENTRY: Entry = Entry::new::<Commit>(
    &["container commit", "commit"],
    "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    "Make an image of a container's changes on top of its image",
);

/// Arguments of `commit`.
#[derive(Args)]
pub(crate) struct Commit {
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
    name: Option<Reference>,
}

impl Verb for Commit {
    fn run(self, _context: &Context) -> Outcome {
        let request = CommitRequest {
            container: self.container,
            reference: self.name,
            author: self.author,
            message: self.message,
            changes: self.change,
            pause: self.pause && !self.no_pause,
        };
        let store = Store::open(environment::data_root()?)?;
        let id = commit(&store, &request, &namespace::identity(&environment::all()))?;
        output::print_line(id.as_str())?;
        Ok(0)
    }
}
