//! `image prune`: remove unused images.

use clap::Args;

use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::flags::prune::PruneFlags;
use crate::cli::{environment, output};
use crate::engine::image_prune::{PruneRequest, prune_images};
use crate::engine::namespace;
use crate::engine::rmi::{Removal, Removed};
use crate::error::Failure;
use crate::model::bytes;
use crate::store::Store;

pub(crate) const ENTRY: Entry = Entry::new::<Prune>(
    &["image prune"],
    "[OPTIONS]",
    "Remove images that have no tag, or that nothing uses",
);

/// Arguments of `image prune`.
#[derive(Args)]
pub(crate) struct Prune {
    /// Remove all that no container uses, not only those without a tag
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    flags: PruneFlags,
}

impl Verb for Prune {
    fn run(self, _context: &Context) -> Outcome {
        let request = self.request()?;
        if !self.flags.agreed(warning(request.all))? {
            return Ok(0);
        }
        namespace::enter(&environment::all())?;
        let store = Store::open(environment::data_root()?)?;
        store.sweep()?;
        let removal = prune_images(&store, &request)?;
        let reclaimed = bytes::human(removal.reclaimed);
        output::print(&format!("{}Total reclaimed space: {reclaimed}\n", lines(&removal)))?;
        Ok(0)
    }
}

impl Prune {
    fn request(&self) -> Result<PruneRequest, Failure> {
        let mut request = PruneRequest { all: self.all, ..PruneRequest::default() };
        for filter in &self.flags.filter {
            match filter.key.as_str() {
                "dangling" => request.all = !filter.boolean()?,
                _ if request.conditions.read(filter)? => {}
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

/// The removed images with a heading and an empty line after them; empty if there are none.
pub(crate) fn lines(removal: &Removal) -> String {
    let mut text = String::new();
    for line in &removal.lines {
        text += if text.is_empty() { "Deleted Images:\n" } else { "" };
        text += &match line {
            Removed::Untagged(name) => format!("untagged: {name}\n"),
            Removed::Deleted(digest) => format!("deleted: {digest}\n"),
        };
    }
    text += if text.is_empty() { "" } else { "\n" };
    text
}
