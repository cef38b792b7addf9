//! `rmi`: remove images, or some of their names.

use clap::Args;

use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::{environment, output, report};
use crate::engine::images::find;
use crate::engine::namespace;
use crate::engine::remove::reap;
use crate::engine::rmi::{Removed, remove_image};
use crate::error::{Kind, kind_of};
use crate::model::platform::Platform;
use crate::store::Store;

pub(crate) const ENTRY: Entry =
    Entry::new::<Rmi>(&["image rm", "rmi", "image remove"], "[OPTIONS] IMAGE [IMAGE...]", "Remove images");

/// Arguments of `rmi`.
#[derive(Args)]
pub(crate) struct Rmi {
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

impl Verb for Rmi {
    fn run(self, context: &Context) -> Outcome {
        let environment = environment::all();
        let store = Store::open(environment::data_root()?)?;
        // Containers with --rm whose supervisor was killed would keep their images in use.
        reap(&store, &namespace::identity(&environment))?;
        namespace::enter(&environment)?;
        store.sweep()?;
        let mut code = 0;
        for image in &self.images {
            if let Err(error) = self.remove(&store, image) {
                if output::is_closed(&error) {
                    return Err(error);
                }
                report::complain(context, &error);
                // With --force, an image that is gone already is no failure.
                let gone = self.force && kind_of(&error) == Kind::NotFound;
                code = if gone { code } else { 1 };
            }
        }
        Ok(code)
    }
}

impl Rmi {
    fn remove(&self, store: &Store, image: &str) -> anyhow::Result<()> {
        if !self.platform.is_empty() {
            find(store, image, &self.platform)?;
        }
        let removal = remove_image(store, image, self.force)?;
        let lines: Vec<String> = removal
            .lines
            .iter()
            .map(|line| match line {
                Removed::Untagged(name) => format!("Untagged: {name}\n"),
                Removed::Deleted(digest) => format!("Deleted: {digest}\n"),
            })
            .collect();
        output::print(&lines.concat())
    }
}
