//! `system df`: show disk usage.

use clap::Args;
use serde_json::{Value, json};

use crate::cmd::container::ls::container_row;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use crate::output::listing::{Listing, ListingRow};
use crate::output::template::{FieldSet, Template};
use crate::output::{self, humanize};
use dhow_builder::prune::{CacheEntry, list_cache};
use dhow_engine::container::ls::ImageNames;
use dhow_engine::system::df::{DiskUsage, ImageUsage, VolumeUsage, disk_usage};
use dhow_model::bytes;
use dhow_model::volume::DRIVER;
use dhow_runtime::userns;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry =
    CommandEntry::new::<SystemDfArgs>(&["system df"], "[OPTIONS]", "Show what takes up room");

/// Arguments of `system df`.
#[derive(Args)]
struct SystemDfArgs {
    /// Print with a Go template, `table TEMPLATE`, or `json`
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Each image, container and volume
    #[arg(short, long)]
    verbose: bool,
}

impl CommandArgs for SystemDfArgs {
    fn run(self, _context: &CommandContext) -> CommandResult {
        // Sizes are counted in files of any owner.
        let identity = userns::enter_as_root(&environment::all())?;
        let store = Store::open(environment::data_root()?)?;
        let usage = disk_usage(&store, &identity)?;
        let format = self.format.as_deref().filter(|format| !format.is_empty());
        let cache = list_cache(&store)?;
        output::print(&match (self.verbose, format) {
            (false, format) => usage_summary(&usage, &cache).render(format)?,
            (true, None | Some("table")) => DiskUsageDetails::of(&store, &usage, &cache).tables()?,
            (true, Some(format)) => DiskUsageDetails::of(&store, &usage, &cache).formatted(format)?,
        })?;
        Ok(0)
    }
}

/// A row for each kind of object.
struct DiskUsageSummary(Vec<ListingRow>);

impl DiskUsageSummary {
    fn render(self, format: Option<&str>) -> anyhow::Result<String> {
        let listing = Listing {
            table: "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}",
            quiet: None,
            raw: None,
            headers: &[
                ("Type", "TYPE"),
                ("TotalCount", "TOTAL"),
                ("Active", "ACTIVE"),
                ("Size", "SIZE"),
                ("Reclaimable", "RECLAIMABLE"),
            ],
        };
        listing.render(format, self.0)
    }
}

fn usage_summary(usage: &DiskUsage, cache: &[CacheEntry]) -> DiskUsageSummary {
    let active_images = usage.images.iter().filter(|image| image.containers > 0).count();
    let active_containers = usage.containers.iter().filter(|container| container.listed.is_up()).count();
    let active_volumes = usage.volumes.iter().filter(|volume| volume.links > 0).count();
    let in_containers = |up: bool| {
        let containers = usage.containers.iter().filter(|container| container.listed.is_up() == up);
        containers.map(|container| container.written).fold(0, u64::saturating_add)
    };
    let in_volumes = |used: bool| {
        let volumes = usage.volumes.iter().filter(|volume| (volume.links > 0) == used);
        volumes.map(|volume| volume.size).fold(0, u64::saturating_add)
    };
    // The cache that images share is counted with the images.
    let in_cache = |in_use: bool| {
        let own = cache.iter().filter(|entry| !entry.shared && entry.in_use == in_use);
        own.map(|entry| entry.size).fold(0, u64::saturating_add)
    };
    let active_cache = cache.iter().filter(|entry| entry.in_use).count();
    // By layer, because images share them.
    let images = (usage.active_layers, usage.layers_size.saturating_sub(usage.active_layers));
    DiskUsageSummary(vec![
        summary_row("Images", usage.images.len(), active_images, images),
        summary_row(
            "Containers",
            usage.containers.len(),
            active_containers,
            (in_containers(true), in_containers(false)),
        ),
        summary_row(
            "Local Volumes",
            usage.volumes.len(),
            active_volumes,
            (in_volumes(true), in_volumes(false)),
        ),
        summary_row("Build Cache", cache.len(), active_cache, (in_cache(true), in_cache(false))),
    ])
}

/// A row of the summary; `sizes` are the bytes in use and the bytes that can be reclaimed.
fn summary_row(kind: &str, total: usize, active: usize, sizes: (u64, u64)) -> ListingRow {
    let size = sizes.0.saturating_add(sizes.1);
    let mut reclaimable = bytes::human(sizes.1);
    if size > 0 {
        // A hundred times the size may not fit into 64 bits.
        reclaimable += &format!(" ({}%)", u128::from(sizes.1) * 100 / u128::from(size));
    }
    ListingRow::new(json!({
        "Type": kind, "TotalCount": total.to_string(), "Active": active.to_string(),
        "Size": bytes::human(size), "Reclaimable": reclaimable,
    }))
}

/// A row for each object.
struct DiskUsageDetails {
    images: Vec<ListingRow>,
    containers: Vec<ListingRow>,
    volumes: Vec<ListingRow>,
    cache: Vec<ListingRow>,
    /// The bytes of the cache that no image shares.
    cached: u64,
}

const IMAGES: Listing<'static> = Listing {
    table: "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{if .CreatedSince}}{{.CreatedSince}}{{else}}N/A{{end}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}",
    quiet: None,
    raw: None,
    headers: &[
        ("Repository", "REPOSITORY"),
        ("Tag", "TAG"),
        ("ID", "IMAGE ID"),
        ("CreatedSince", "CREATED"),
        ("Size", "SIZE"),
        ("SharedSize", "SHARED SIZE"),
        ("UniqueSize", "UNIQUE SIZE"),
        ("Containers", "CONTAINERS"),
    ],
};
const CONTAINERS: Listing<'static> = Listing {
    table: "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}",
    quiet: None,
    raw: None,
    headers: &[
        ("ID", "CONTAINER ID"),
        ("Image", "IMAGE"),
        ("Command", "COMMAND"),
        ("LocalVolumes", "LOCAL VOLUMES"),
        ("Size", "SIZE"),
        ("RunningFor", "CREATED"),
        ("Status", "STATUS"),
        ("Names", "NAMES"),
    ],
};
const VOLUMES: Listing<'static> = Listing {
    table: "{{.Name}}\t{{.Links}}\t{{.Size}}",
    quiet: None,
    raw: None,
    headers: &[("Name", "VOLUME NAME"), ("Links", "LINKS"), ("Size", "SIZE")],
};
const CACHE: Listing<'static> = Listing {
    table: "{{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t{{.UsageCount}}\t{{.Shared}}",
    quiet: None,
    raw: None,
    headers: &[
        ("ID", "CACHE ID"),
        ("CacheType", "CACHE TYPE"),
        ("Size", "SIZE"),
        ("CreatedSince", "CREATED"),
        ("LastUsedSince", "LAST USED"),
        ("UsageCount", "USAGE"),
        ("Shared", "SHARED"),
    ],
};

impl DiskUsageDetails {
    fn of(store: &Store, usage: &DiskUsage, cache: &[CacheEntry]) -> Self {
        let mut names = ImageNames::new(store);
        let mut container = |container: &dhow_engine::system::df::ContainerUsage| {
            let image = || names.shown(container.listed.dir.spec(), false);
            let mut row = container_row(&container.listed, image, false, None, &FieldSet::all());
            // Measured for this listing, which has no virtual size in docker.
            row.fields.insert("Size".into(), humanize::size(container.written).into());
            row
        };
        Self {
            images: usage.images.iter().flat_map(image_rows).collect(),
            containers: usage.containers.iter().map(&mut container).collect(),
            volumes: usage.volumes.iter().map(volume_row).collect(),
            cache: cache.iter().map(cache_row).collect(),
            cached: cache
                .iter()
                .filter(|entry| !entry.shared)
                .map(|entry| entry.size)
                .fold(0, u64::saturating_add),
        }
    }

    fn tables(self) -> anyhow::Result<String> {
        let mut text = String::from("Images space usage:\n\n");
        text += &IMAGES.render(None, self.images)?;
        text += "\nContainers space usage:\n\n";
        text += &CONTAINERS.render(None, self.containers)?;
        text += "\nLocal Volumes space usage:\n\n";
        text += &VOLUMES.render(None, self.volumes)?;
        text += &format!("\nBuild cache usage: {}\n\n", bytes::human(self.cached));
        text += &CACHE.render(None, self.cache)?;
        Ok(text)
    }

    /// One object that holds all lists.
    fn formatted(self, format: &str) -> anyhow::Result<String> {
        let list =
            |rows: Vec<ListingRow>| Value::from_iter(rows.into_iter().map(|row| Value::Object(row.fields)));
        let data = json!({
            "Images": list(self.images), "Containers": list(self.containers), "Volumes": list(self.volumes),
            "BuildCache": list(self.cache),
        });
        Ok(match format {
            "json" => data.to_string() + "\n",
            template => Template::parse(template)?.render(&data)? + "\n",
        })
    }
}

/// A row for each tag.
fn image_rows(usage: &ImageUsage) -> Vec<ListingRow> {
    let (image, tags) = (&usage.listed.image, &usage.listed.tags);
    let none = || "<none>".to_owned();
    let mut names: Vec<(String, String)> =
        tags.iter().map(|name| (name.familiar_name(), name.tag().map_or_else(none, str::to_owned))).collect();
    if names.is_empty() {
        let repository = usage.listed.digests.first().map_or_else(none, |name| name.familiar_name());
        names.push((repository, none()));
    }
    let created = image.config.created.as_deref().unwrap_or_default();
    let row = |(repository, tag): (String, String)| {
        ListingRow::new(json!({
            "Repository": repository, "Tag": tag, "ID": image.id.short(), "Digest": "<none>",
            "CreatedSince": humanize::ago(created), "CreatedAt": humanize::local_time(created),
            "Size": humanize::size(image.record.size), "VirtualSize": humanize::size(image.record.size),
            "SharedSize": humanize::size(usage.shared),
            "UniqueSize": humanize::size(image.record.size.saturating_sub(usage.shared)),
            "Containers": usage.containers.to_string(),
        }))
    };
    names.into_iter().map(row).collect()
}

fn cache_row(entry: &CacheEntry) -> ListingRow {
    ListingRow::new(json!({
        "ID": entry.id, "Parent": entry.parents.join(","), "CacheType": entry.kind,
        "Description": entry.description, "Size": humanize::size(entry.size),
        "CreatedAt": humanize::local_time(&entry.created), "CreatedSince": humanize::ago(&entry.created),
        "LastUsedAt": entry.last_used.as_deref().map(humanize::local_time).unwrap_or_default(),
        "LastUsedSince": entry.last_used.as_deref().map(humanize::ago).unwrap_or_default(),
        "UsageCount": entry.uses.to_string(), "InUse": entry.in_use.to_string(),
        "Shared": entry.shared.to_string(),
    }))
}

fn volume_row(usage: &VolumeUsage) -> ListingRow {
    let record = &usage.listed.record;
    let row = ListingRow::new(json!({
        "Name": record.name, "Driver": DRIVER, "Scope": "local",
        "Mountpoint": usage.listed.mountpoint.display().to_string(), "Links": usage.links.to_string(),
        "Size": humanize::size(usage.size), "Status": "N/A", "Availability": "N/A", "Group": "N/A",
    }));
    row.with_labels(&record.labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_the_whole() {
        let shown = |sizes| {
            summary_row("Images", 2, 1, sizes).fields["Reclaimable"].as_str().map(str::to_owned).unwrap()
        };
        assert_eq!(shown((1000, 3000)), "3kB (75%)");
        assert_eq!(shown((0, 0)), "0B");
        assert_eq!(shown((u64::MAX, 1)), "1B (0%)");
    }
}
