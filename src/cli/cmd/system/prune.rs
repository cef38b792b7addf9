//! `system prune`: remove unused objects.

use clap::Args;

use crate::cmd::buildx::cache;
use crate::cmd::prune_report::reclaimed_line;
use crate::cmd::{container, image, network, volume};
use crate::flags::prune::PruneFlags;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use crate::output;
use dhow_engine::container::prune::prune_containers;
use dhow_engine::image::prune::{self, prune_images};
use dhow_engine::network::prune as network_prune;
use dhow_engine::prune_conditions::PruneConditions;
use dhow_engine::volume::prune as volume_prune;
use dhow_error::{Failure, invalid};
use dhow_runtime::userns;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<SystemPruneArgs>(
    &["system prune"],
    "[OPTIONS]",
    "Remove containers, networks, images, volumes and build cache that nothing uses",
);

/// Arguments of `system prune`.
#[derive(Args)]
struct SystemPruneArgs {
    /// All images that no container uses, not only those without a tag
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    flags: PruneFlags,
    /// Anonymous volumes that no container uses too
    #[arg(long)]
    volumes: bool,
}

impl CommandArgs for SystemPruneArgs {
    fn run(self, _context: &CommandContext) -> CommandResult {
        let conditions = self.conditions()?;
        if !self.flags.confirmed(&self.warning())? {
            return Ok(0);
        }
        let identity = userns::enter(&environment::all())?;
        let store = Store::open(environment::data_root()?)?;
        store.sweep()?;
        // Containers first: their removal may leave more networks, volumes and images unused.
        let containers = prune_containers(&store, &conditions, &identity)?;
        let mut text = container::prune::deleted_lines(&containers);
        let mut reclaimed = containers.reclaimed;
        text += &network::prune::deleted_lines(&network_prune::prune(&store, &conditions)?);
        if self.volumes {
            // Named volumes stay, as in docker since version 23.
            let request = volume_prune::VolumePruneRequest { all: false, conditions: conditions.clone() };
            let pruned = volume_prune::prune(&store, &request)?;
            text += &volume::prune::deleted_lines(&pruned);
            reclaimed = reclaimed.saturating_add(pruned.reclaimed);
        }
        let images = prune_images(&store, &prune::ImagePruneRequest { all: self.all, conditions })?;
        text += &image::prune::deleted_lines(&images);
        reclaimed = reclaimed.saturating_add(images.reclaimed);
        if let Some(request) = self.cache() {
            let removed = dhow_builder::prune::prune_cache(&store, &request)?;
            text += &cache::deleted_lines(&removed);
            reclaimed = reclaimed.saturating_add(cache::total_size(&removed));
        }
        output::print(&(text + &reclaimed_line(reclaimed)))?;
        Ok(0)
    }
}

impl SystemPruneArgs {
    fn conditions(&self) -> Result<PruneConditions, Failure> {
        if self.volumes && self.flags.filter.iter().any(|filter| filter.key == "until") {
            return Err(invalid("The \"until\" filter is not supported with \"--volumes\""));
        }
        PruneConditions::parse(&self.flags.filter)
    }

    /// What to prune of the build cache. None with filters other than `until`: cache entries have no labels.
    fn cache(&self) -> Option<dhow_builder::prune::CachePruneRequest> {
        let filters = self.flags.filter.clone();
        let only_until = filters.iter().all(|filter| filter.key == "until");
        only_until.then_some(dhow_builder::prune::CachePruneRequest {
            all: self.all,
            filters,
            keep: None,
            dry_run: false,
        })
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
