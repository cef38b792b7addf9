//! `manifest push`: upload a list to a registry.

use clap::Args;

use super::parse_name;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use crate::output;
use dhow_engine::manifest::push::{prepare_push, push};
use dhow_engine::manifest::rm::remove;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ManifestPushArgs>(
    &["manifest push"],
    "[OPTIONS] MANIFEST_LIST",
    "Upload a manifest list, with the images in it that its repository does not have",
);

/// Arguments of `manifest push`.
#[derive(Args)]
struct ManifestPushArgs {
    /// Talk to the registry without encryption if it must be
    #[arg(long)]
    insecure: bool,
    /// Forget the list here afterwards
    #[arg(short, long)]
    purge: bool,
    /// The list's name
    #[arg(required = true, value_name = "MANIFEST_LIST")]
    list: String,
}

impl CommandArgs for ManifestPushArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let list = parse_name(&self.list)?;
        let store = Store::open(environment::data_root()?)?;
        let prepared = prepare_push(&store, &environment::with_flags(context), &list, self.insecure)?;
        let digest = push(&prepared, &mut |line| output::print_line(line))?;
        output::print_line(&digest)?;
        // Only after the upload succeeded.
        if self.purge {
            remove(&store, &list)?;
        }
        Ok(0)
    }
}
