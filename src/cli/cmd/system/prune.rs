//! `system prune`: remove unused objects.

use clap::Args;

use crate::cli::cmd::{buildx, container, image, network, volume};
use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::flags::prune::PruneFlags;
use crate::cli::{environment, output};
use crate::engine::container_prune::prune_containers;
use crate::engine::image_prune::{self, prune_images};
use crate::engine::prune::Conditions;
use crate::engine::{build, namespace, networks, volumes};
use crate::error::{Failure, invalid};
use crate::model::bytes;
use crate::store::Store;

pub(crate) const ENTRY: Entry = Entry::new::<Prune>(
    &["system prune"],
    "[OPTIONS]",
    "Remove containers, networks, images, volumes and build cache that nothing uses",
);

/// Arguments of `system prune`.
#[derive(Args)]
pub(crate) struct Prune {
    /// All images that no container uses, not only those without a tag
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    flags: PruneFlags,
    /// Anonymous volumes that no container uses too
    #[arg(long)]
    volumes: bool,
}

impl Verb for Prune {
    fn run(self, _context: &Context) -> Outcome {
        let conditions = self.conditions()?;
        if !self.flags.agreed(&self.warning())? {
            return Ok(0);
        }
        let identity = namespace::enter(&environment::all())?;
        let store = Store::open(environment::data_root()?)?;
        store.sweep()?;
        // Containers first: their removal may leave more networks, volumes and images unused.
        let containers = prune_containers(&store, &conditions, &identity)?;
        let mut text = container::prune::lines(&containers);
        let mut reclaimed = containers.reclaimed;
        text += &network::prune::lines(&networks::prune(&store, &conditions)?);
        if self.volumes {
            let request = volumes::PruneRequest { all: false, conditions: conditions.clone() };
            let pruned = volumes::prune(&store, &request)?;
            text += &volume::prune::lines(&pruned);
            reclaimed = reclaimed.saturating_add(pruned.reclaimed);
        }
        let images = prune_images(&store, &image_prune::PruneRequest { all: self.all, conditions })?;
        text += &image::prune::lines(&images);
        reclaimed = reclaimed.saturating_add(images.reclaimed);
        if let Some(request) = self.cache() {
            let gone = build::prune::prune(&store, &request)?;
            text += &buildx::prune::lines(&gone);
            reclaimed = reclaimed.saturating_add(buildx::prune::sum(&gone));
        }
        output::print(&format!("{text}Total reclaimed space: {}\n", bytes::human(reclaimed)))?;
        Ok(0)
    }
}

impl Prune {
    fn conditions(&self) -> Result<Conditions, Failure> {
        if self.volumes && self.flags.filter.iter().any(|filter| filter.key == "until") {
            return Err(invalid("The \"until\" filter is not supported with \"--volumes\""));
        }
        Conditions::of(&self.flags.filter)
    }

    /// What to prune of the build cache. None with filters other than `until`: cache entries have no labels.
    fn cache(&self) -> Option<build::prune::PruneRequest> {
        let filters = self.flags.filter.clone();
        let known = filters.iter().all(|filter| filter.key == "until");
        known.then_some(build::prune::PruneRequest { all: self.all, filters, keep: None, dry_run: false })
    }

    fn warning(&self) -> String {
        let mut text = String::from(
            "This will remove:\n  - all stopped containers\n  - all networks not used by at least one container\n",
        );
        if self.volumes {
            text += "  - all anonymous volumes not used by at least one container\n";
        }
        text += match self.all {
            true => "  - all images without at least one container associated to them\n",
            false => "  - all dangling images\n",
        };
        if self.cache().is_some() {
            text += if self.all { "  - all build cache\n" } else { "  - unused build cache\n" };
        }
        if !self.flags.filter.is_empty() {
            text += "\n  Items to be pruned will be filtered with:\n";
            for filter in &self.flags.filter {
                text += &format!("  - {}={}\n", filter.key, filter.value);
            }
        }
        text
    }
}
