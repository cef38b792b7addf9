//! `images`: list images.

use std::collections::BTreeSet;

use clap::Args;
use serde_json::{Map, Value};

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::usage::UsageError;
use crate::frame::{docker_config, environment};
use crate::output::listing::{Listing, ListingRow};
use crate::output::template::FieldSet;
use crate::output::{self, humanize};
use dhow_engine::image::lookup::ImageSummary;
use dhow_engine::image::ls::list;
use dhow_model::filter::ListFilter;
use dhow_model::reference::ImageReference;
use dhow_store::{Store, StoredImage};

use super::tree;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ImageLsArgs>(
    &["image ls", "images", "image list"],
    "[OPTIONS] [REPOSITORY[:TAG]]",
    "List images",
);

/// Arguments of `images`.
#[derive(Args)]
struct ImageLsArgs {
    /// Show all; images here have no hidden intermediate ones, so nothing changes
    #[arg(short, long)]
    all: bool,
    /// Show the digests that names were pulled by
    #[arg(long)]
    digests: bool,
    /// Only those that match: before, dangling, label, reference, since, until
    #[arg(short, long, value_name = "FILTER")]
    filter: Vec<ListFilter>,
    /// `table`, `json`, or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Show whole IDs
    #[arg(long)]
    no_trunc: bool,
    /// Only show IDs
    #[arg(short, long)]
    quiet: bool,
    /// Show images with their platforms and sizes as a tree
    #[arg(long)]
    tree: bool,
    /// Only images of this name; may have wildcards
    #[arg(value_name = "REPOSITORY[:TAG]")]
    name: Option<String>,
}

impl CommandArgs for ImageLsArgs {
    fn run(mut self, context: &CommandContext) -> CommandResult {
        self.check_tree()?;
        // Flags that choose the form of the list win over the configured format.
        if self.format.is_none() && !self.quiet && !self.tree {
            self.format = docker_config::read_client_config(context).images_format;
        }
        if let Some(name) = self.name.take() {
            // docker treats the argument as a filter, too.
            self.filter.push(ListFilter { key: "reference".into(), value: name });
        }
        let store = Store::open(environment::data_root()?)?;
        let images = list(&store, &self.filter)?;
        if self.tree {
            output::print(&tree::render(&store, &images)?)?;
            return Ok(0);
        }
        let args = &self;
        let text = args.listing().render_wanted(args.format.as_deref(), |wanted| {
            images.iter().flat_map(move |image| args.rows(image, &wanted))
        })?;
        output::print(&text)?;
        Ok(0)
    }
}

impl ImageLsArgs {
    fn check_tree(&self) -> Result<(), UsageError> {
        let others = [
            (self.quiet, "--quiet"),
            (self.no_trunc, "--no-trunc"),
            (self.digests, "--digests"),
            (self.format.is_some(), "--format"),
        ];
        match others.iter().find(|(given, _)| *given && self.tree) {
            Some((_, flag)) => Err(UsageError::flag(format!("{flag} cannot be used with --tree"))),
            None => Ok(()),
        }
    }

    fn listing(&self) -> Listing<'static> {
        Listing {
            table: if self.digests { TABLE_DIGESTS } else { TABLE },
            quiet: self.quiet.then_some("{{.ID}}"),
            raw: Some(match (self.quiet, self.digests) {
                (true, _) => "image_id: {{.ID}}",
                (false, true) => RAW_DIGESTS,
                (false, false) => RAW,
            }),
            headers: HEADERS,
        }
    }

    /// A row for each tag; with digests, one for each pair of tag and digest in a repository.
    fn rows(&self, item: &ImageSummary, wanted: &FieldSet) -> Vec<ListingRow> {
        let with_digests =
            self.digests || self.format.as_deref().is_some_and(|text| text.contains(".Digest"));
        let cells = self.image_cells(&item.image, wanted);
        let row = |repository: &str, tag: &str, digest: &str| {
            let row = ListingRow { fields: cells.clone(), ..ListingRow::default() };
            row.field(wanted, "Digest", || digest).field(wanted, "Repository", || repository).field(
                wanted,
                "Tag",
                || tag,
            )
        };
        let mut rows = Vec::new();
        let mut shown_repositories = BTreeSet::new();
        for tag in &item.tags {
            let repository = tag.familiar_name();
            let of_repository = |name: &&ImageReference| with_digests && name.familiar_name() == repository;
            let digests = item.digests.iter().filter(of_repository);
            let mut digests: Vec<&str> = digests.filter_map(|name| Some(name.digest()?.as_str())).collect();
            if digests.is_empty() {
                digests.push(NONE);
            }
            let name = tag.tag().unwrap_or(NONE);
            rows.extend(digests.into_iter().map(|digest| row(&repository, name, digest)));
            shown_repositories.insert(repository);
        }
        // Names with a digest and no tag have rows of their own.
        for name in &item.digests {
            let repository = name.familiar_name();
            if !shown_repositories.contains(&repository) {
                let digest = name.digest().map_or(NONE, |digest| digest.as_str());
                rows.push(row(&repository, NONE, if with_digests { digest } else { NONE }));
                if !with_digests {
                    shown_repositories.insert(repository);
                }
            }
        }
        if rows.is_empty() {
            // An image without any name is listed all the same, to be found and removed.
            rows.push(row(NONE, NONE, NONE));
        }
        rows
    }

    /// The fields that all rows of an image have in common.
    fn image_cells(&self, image: &StoredImage, wanted: &FieldSet) -> Map<String, Value> {
        let created = image.config.created.as_deref().unwrap_or_default();
        let size = humanize::size(image.record.size);
        ListingRow::default()
            .field(wanted, "Containers", || "N/A")
            .field(wanted, "CreatedAt", || humanize::local_time(created))
            .field(wanted, "CreatedSince", || humanize::ago(created))
            .field(wanted, "ID", || if self.no_trunc { image.id.as_str() } else { image.id.short() })
            .field(wanted, "SharedSize", || "N/A")
            .field(wanted, "Size", || size.as_str())
            .field(wanted, "UniqueSize", || "N/A")
            .field(wanted, "VirtualSize", || size.as_str())
            .fields
    }
}

const NONE: &str = "<none>";

const TABLE: &str =
    "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{if .CreatedSince}}{{.CreatedSince}}{{else}}N/A{{end}}\t{{.Size}}";
const TABLE_DIGESTS: &str = "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{if .CreatedSince}}{{.CreatedSince}}{{else}}N/A{{end}}\t{{.Size}}";
const RAW: &str = "repository: {{.Repository}}\ntag: {{.Tag}}\nimage_id: {{.ID}}\ncreated_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n";
const RAW_DIGESTS: &str = "repository: {{.Repository}}\ntag: {{.Tag}}\ndigest: {{.Digest}}\nimage_id: {{.ID}}\ncreated_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n";

const HEADERS: &[(&str, &str)] = &[
    ("Containers", "CONTAINERS"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedSince", "CREATED"),
    ("Digest", "DIGEST"),
    ("ID", "IMAGE ID"),
    ("Repository", "REPOSITORY"),
    ("SharedSize", "SHARED SIZE"),
    ("Size", "SIZE"),
    ("Tag", "TAG"),
    ("UniqueSize", "UNIQUE SIZE"),
    ("VirtualSize", "SIZE"),
];
