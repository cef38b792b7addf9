//! `rmi`: remove images, or some of their names.

use clap::Args;

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::{environment, report};
use crate::output;
use dhow_engine::image::lookup::find;
use dhow_engine::image::rm::{RemovedItem, remove_image};
use dhow_error::{FailureKind, kind_of};
use dhow_model::platform::Platform;
use dhow_runtime::remove::remove_abandoned;
use dhow_runtime::userns;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ImageRmArgs>(
    &["image rm", "rmi", "image remove"],
    "[OPTIONS] IMAGE [IMAGE...]",
    "Remove images",
);

/// Arguments of `rmi`.
#[derive(Args)]
struct ImageRmArgs {
    /// Remove an image with all its names, and names that stopped containers use
    #[arg(short, long)]
    force: bool,
    /// Keep parents without a name; images have none here, so nothing changes
    #[arg(long)]
    no_prune: bool,
    /// Only if the image is for this platform, os/architecture[/variant]
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    platform: Vec<Platform>,
    /// Names or IDs
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

impl CommandArgs for ImageRmArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let environment = environment::all();
        let store = Store::open(environment::data_root()?)?;
        // Containers with --rm whose supervisor was killed would keep their images in use.
        remove_abandoned(&store, &userns::probe_identity(&environment))?;
        userns::enter(&environment)?;
        store.sweep()?;
        let mut code = 0;
        for image in &self.images {
            if let Err(error) = self.remove(&store, image) {
                // Nobody is left to see what else is removed.
                if output::is_closed_error(&error) {
                    return Err(error);
                }
                report::print_error(context, &error);
                // With --force, an image that is gone already is no failure.
                let gone = self.force && kind_of(&error) == FailureKind::NotFound;
                code = if gone { code } else { 1 };
            }
        }
        Ok(code)
    }
}

impl ImageRmArgs {
    fn remove(&self, store: &Store, image: &str) -> anyhow::Result<()> {
        if !self.platform.is_empty() {
            find(store, image, &self.platform)?;
        }
        let removal = remove_image(store, image, self.force)?;
        let lines: Vec<String> = removal
            .lines
            .iter()
            .map(|line| match line {
                RemovedItem::Untagged(name) => format!("Untagged: {name}\n"),
                RemovedItem::Deleted(digest) => format!("Deleted: {digest}\n"),
            })
            .collect();
        output::print(&lines.concat())
    }
}
