//! `images`: list images.

use clap::Args;
use serde_json::json;

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::usage::UsageError;
use crate::frame::{docker_config, environment};
use crate::output::listing::{Listing, ListingRow};
use crate::output::{self, humanize};
use dhow_engine::image::lookup::ImageSummary;
use dhow_engine::image::ls::list;
use dhow_model::filter::ListFilter;
use dhow_store::Store;

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
        let rows = images.iter().flat_map(|image| self.rows(image));
        output::print(&self.listing().render(self.format.as_deref(), rows)?)?;
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
    fn rows(&self, item: &ImageSummary) -> Vec<ListingRow> {
        let with_digests =
            self.digests || self.format.as_deref().is_some_and(|text| text.contains(".Digest"));
        let mut rows = Vec::new();
        for tag in &item.tags {
            let repository = tag.familiar_name();
            let digests =
                item.digests.iter().filter(|name| name.familiar_name() == repository && with_digests);
            let mut digests: Vec<&str> = digests.filter_map(|name| Some(name.digest()?.as_str())).collect();
            if digests.is_empty() {
                digests.push(NONE);
            }
            let name = tag.tag().unwrap_or(NONE);
            rows.extend(digests.into_iter().map(|digest| self.row(item, &repository, name, digest)));
        }
        let mut shown_repositories: Vec<String> = item.tags.iter().map(|tag| tag.familiar_name()).collect();
        // Names with a digest and no tag have rows of their own.
        for name in &item.digests {
            let repository = name.familiar_name();
            if !shown_repositories.contains(&repository) {
                let digest = name.digest().map_or(NONE, |digest| digest.as_str());
                rows.push(self.row(item, &repository, NONE, if with_digests { digest } else { NONE }));
                if !with_digests {
                    shown_repositories.push(repository);
                }
            }
        }
        if rows.is_empty() {
            // An image without any name is listed all the same, to be found and removed.
            rows.push(self.row(item, NONE, NONE, NONE));
        }
        rows
    }

    fn row(&self, item: &ImageSummary, repository: &str, tag: &str, digest: &str) -> ListingRow {
        let image = &item.image;
        let created = image.config.created.as_deref().unwrap_or_default();
        let size = humanize::size(image.record.size);
        ListingRow::new(json!({
            "Containers": "N/A",
            "CreatedAt": humanize::local_time(created),
            "CreatedSince": humanize::ago(created),
            "Digest": digest,
            "ID": if self.no_trunc { image.id.as_str() } else { image.id.short() },
            "Repository": repository,
            "SharedSize": "N/A",
            "Size": size,
            "Tag": tag,
            "UniqueSize": "N/A",
            "VirtualSize": size,
        }))
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
