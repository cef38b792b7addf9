//! `system prune`: remove what nothing uses.

use clap::Args;

use crate::cli::cmd::{container, image, network, volume};
use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::{environment, output, prompt};
use crate::engine::container_prune::{self, prune_containers};
use crate::engine::image_prune::{self, prune_images};
use crate::engine::{moment, namespace, networks, volumes};
use crate::error::{Failure, invalid};
use crate::model::bytes;
use crate::model::filter::{Filter, LabelFilter};
use crate::store::Store;

pub(crate) const ENTRY: Entry = Entry::new::<Prune>(
    &["system prune"],
    "[OPTIONS]",
    "Remove containers, networks, images and volumes that nothing uses",
);

/// Arguments of `system prune`.
#[derive(Args)]
pub(crate) struct Prune {
    /// All images that no container uses, not only those without a tag
    #[arg(short, long)]
    all: bool,
    /// Only those that match: until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE]
    #[arg(long, value_name = "FILTER")]
    filter: Vec<Filter>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Anonymous volumes that no container uses too
    #[arg(long)]
    volumes: bool,
}

impl Verb for Prune {
    fn run(self, _context: &Context) -> Outcome {
        let conditions = self.conditions()?;
        if !self.force && !prompt::agrees(&self.warning())? {
            return Ok(0);
        }
        let identity = namespace::enter(&environment::all())?;
        let store = Store::open(environment::data_root()?)?;
        store.sweep()?;
        let Conditions { until, labels } = conditions;
        let request = container_prune::PruneRequest { until, labels: labels.clone() };
        let containers = prune_containers(&store, &request, &identity)?;
        let mut text = container::prune::lines(&containers);
        let mut reclaimed = containers.reclaimed;
        let request = networks::PruneRequest { until, labels: labels.clone() };
        text += &network::prune::lines(&networks::prune(&store, &request)?);
        if self.volumes {
            let request = volumes::PruneRequest { all: false, labels: labels.clone() };
            let pruned = volumes::prune(&store, &request)?;
            text += &volume::prune::lines(&pruned);
            reclaimed = reclaimed.saturating_add(pruned.reclaimed);
        }
        let images = prune_images(&store, &image_prune::PruneRequest { all: self.all, until, labels })?;
        text += &image::prune::lines(&images);
        reclaimed = reclaimed.saturating_add(images.reclaimed);
        output::print(&format!("{text}Total reclaimed space: {}\n", bytes::human(reclaimed)))?;
        Ok(0)
    }
}

struct Conditions {
    until: Option<jiff::Timestamp>,
    labels: Vec<LabelFilter>,
}

impl Prune {
    fn conditions(&self) -> Result<Conditions, Failure> {
        let mut conditions = Conditions { until: None, labels: Vec::new() };
        for filter in &self.filter {
            match filter.key.as_str() {
                "until" if self.volumes => {
                    return Err(invalid("The \"until\" filter is not supported with \"--volumes\""));
                }
                "until" => conditions.until = Some(moment::parse(&filter.value, jiff::Timestamp::now())?),
                "label" => conditions.labels.push(LabelFilter::new(&filter.value, true)),
                "label!" => conditions.labels.push(LabelFilter::new(&filter.value, false)),
                _ => return Err(filter.unknown("until, label, label!")),
            }
        }
        Ok(conditions)
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
        if !self.filter.is_empty() {
            text += "\n  Items to be pruned will be filtered with:\n";
            for filter in &self.filter {
                text += &format!("  - {}={}\n", filter.key, filter.value);
            }
        }
        text
    }
}
