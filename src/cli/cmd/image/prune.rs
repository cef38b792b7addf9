//! `image prune`: remove unused images.

use clap::Args;

use crate::cmd::prune_report::{deleted_list, reclaimed_line};
use crate::flags::prune::PruneFlags;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use crate::output;
use dhow_engine::image::prune::{ImagePruneRequest, prune_images};
use dhow_engine::image::rm::{ImageRemoval, RemovedItem};
use dhow_error::Failure;
use dhow_runtime::userns;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ImagePruneArgs>(
    &["image prune"],
    "[OPTIONS]",
    "Remove images that have no tag, or that nothing uses",
);

/// Arguments of `image prune`.
#[derive(Args)]
struct ImagePruneArgs {
    /// Remove all that no container uses, not only those without a tag
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    flags: PruneFlags,
}

impl CommandArgs for ImagePruneArgs {
    fn run(self, _context: &CommandContext) -> CommandResult {
        let request = self.request()?;
        if !self.flags.confirmed(warning(request.all))? {
            return Ok(0);
        }
        // Layers hold files of any owner.
        userns::enter(&environment::all())?;
        let store = Store::open(environment::data_root()?)?;
        store.sweep()?;
        let removal = prune_images(&store, &request)?;
        output::print(&(deleted_lines(&removal) + &reclaimed_line(removal.reclaimed)))?;
        Ok(0)
    }
}

impl ImagePruneArgs {
    fn request(&self) -> Result<ImagePruneRequest, Failure> {
        let mut request = ImagePruneRequest { all: self.all, ..ImagePruneRequest::default() };
        for filter in &self.flags.filter {
            match filter.key.as_str() {
                // docker's other way to say --all.
                "dangling" => request.all = !filter.boolean()?,
                _ if request.conditions.parse_filter(filter)? => {}
                _ => return Err(filter.unknown("until, label, label!, dangling")),
            }
        }
        Ok(request)
    }
}

fn warning(all: bool) -> &'static str {
    match all {
        true => "This will remove all images without at least one container associated to them.",
        false => "This will remove all dangling images.",
    }
}

/// The list of removed images.
pub(crate) fn deleted_lines(removal: &ImageRemoval) -> String {
    let lines = removal.lines.iter().map(|line| match line {
        RemovedItem::Untagged(name) => format!("untagged: {name}"),
        RemovedItem::Deleted(digest) => format!("deleted: {digest}"),
    });
    deleted_list("Images", lines)
}
