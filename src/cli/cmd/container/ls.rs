//! `ps`: list containers.

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::{docker_config, environment, report};
use crate::output::listing::{Listing, ListingRow};
use crate::output::template::FieldSet;
use crate::output::{self, humanize};
use clap::Args;
use dhow_engine::container::ls::{ContainerQuery, ImageNames, list};
use dhow_engine::container_summary::{ContainerSummary, mount_name, network_names};
use dhow_model::container::ContainerSpec;
use dhow_model::filter::ListFilter;
use dhow_runtime::userns;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ContainerLsArgs>(
    &["container ls", "ps", "container list", "container ps"],
    "[OPTIONS]",
    "List containers, by default those that run",
);

const TABLE: &str = "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}";
const HEADINGS: &[(&str, &str)] = &[
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("Status", "STATUS"),
    ("State", "STATE"),
    ("Ports", "PORTS"),
    ("Names", "NAMES"),
    ("Size", "SIZE"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Networks", "NETWORKS"),
    ("Platform", "PLATFORM"),
];

/// Arguments of `ps`.
#[derive(Args)]
struct ContainerLsArgs {
    /// Those that do not run too
    #[arg(short, long)]
    all: bool,
    /// Only those for which KEY=VALUE holds: ancestor, before, exited, expose, health, id, is-task, label, name, network, publish, since, status, volume
    #[arg(short, long, value_name = "FILTER")]
    filter: Vec<ListFilter>,
    /// Print with a Go template, `table TEMPLATE`, or `json`
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// The last so many, whatever their state
    #[arg(short = 'n', long, value_name = "NUMBER", default_value = "-1", hide_default_value = true)]
    last: i64,
    /// The newest, whatever its state
    #[arg(short, long)]
    latest: bool,
    /// Do not shorten
    #[arg(long)]
    no_trunc: bool,
    /// Only the IDs
    #[arg(short, long)]
    quiet: bool,
    /// Sizes of what containers wrote
    #[arg(short, long)]
    size: bool,
}

impl CommandArgs for ContainerLsArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let store = Store::open(environment::data_root()?)?;
        let format = self.chosen_format(context);
        // docker counts sizes also for a template that shows them.
        let with_size = self.size || format.contains(".Size");
        // Counting sizes reads files of every owner and mode.
        if with_size {
            userns::enter_as_root(&environment::all())?;
        }
        // As in docker, -1 and 0 set no limit.
        let last = usize::try_from(self.last).ok().filter(|last| *last > 0);
        let last = if self.latest { Some(1) } else { last };
        let query = ContainerQuery { all: self.all, last, filters: self.filter };
        let mut images = ImageNames::new(&store);
        let containers = list(&store, &query, || userns::probe_identity(&environment::all()))?;
        let (no_trunc, sizes) = (self.no_trunc, with_size.then_some(&store));
        let table = if self.size { format!("{TABLE}\t{{{{.Size}}}}") } else { TABLE.to_owned() };
        let quiet = self.quiet.then_some("{{.ID}}");
        let listing = Listing { table: &table, quiet, raw: None, headers: HEADINGS };
        output::print(&listing.render_wanted(Some(&format), |wanted| {
            containers.into_iter().map(move |container| {
                let image = || images.shown(container.dir.spec(), no_trunc);
                container_row(&container, image, no_trunc, sizes, &wanted)
            })
        })?)?;
        Ok(0)
    }
}

impl ContainerLsArgs {
    fn chosen_format(&self, context: &CommandContext) -> String {
        // As in docker, -q ignores the configured format.
        let configured =
            || if self.quiet { None } else { docker_config::read_client_config(context).ps_format };
        let format = self.format.clone().or_else(configured).unwrap_or_default();
        if self.quiet && !format.is_empty() && format != "table" {
            report::warn(context, "Ignoring custom format, because both --format and --quiet are set.");
            return String::new();
        }
        format
    }
}

/// A row of a container with the `wanted` fields. `sizes` is the store that knows the sizes of images; None to leave
/// sizes out.
pub(crate) fn container_row(
    container: &ContainerSummary,
    image: impl FnOnce() -> String,
    no_trunc: bool,
    sizes: Option<&Store>,
    wanted: &FieldSet,
) -> ListingRow {
    let spec = container.dir.spec();
    let short =
        |text: &str, length: usize| if no_trunc { text.to_owned() } else { humanize::ellipsis(text, length) };
    let id = if no_trunc { spec.id.as_str() } else { spec.id.get(..12).unwrap_or(&spec.id) };
    let size = || sizes.map_or_else(|| "0B".to_owned(), |store| size_text(container, store));
    let row = ListingRow::default()
        .field(wanted, "ID", || id)
        .field(wanted, "Image", image)
        .field(wanted, "Command", || humanize::quote(&short(&command_text(spec), 20)))
        .field(wanted, "CreatedAt", || humanize::local_time(&spec.created))
        .field(wanted, "RunningFor", || humanize::ago(&spec.created))
        .field(wanted, "Status", || status_text(container))
        .field(wanted, "State", || container.status())
        .field(wanted, "Ports", || container.ports())
        .field(wanted, "Names", || spec.name.as_str())
        .field(wanted, "Size", size)
        .field(wanted, "Mounts", || {
            mount_names(spec).map(|name| short(&name, 15)).collect::<Vec<_>>().join(",")
        })
        // Binds are listed by their absolute path, volumes by name.
        .field(wanted, "LocalVolumes", || {
            mount_names(spec).filter(|name| !name.starts_with('/')).count().to_string()
        })
        .field(wanted, "Networks", || network_names(spec))
        .field(wanted, "Platform", || spec.platform.clone());
    if wanted.contains("Labels") || wanted.contains("Label") { row.with_labels(&spec.labels) } else { row }
}

fn mount_names(spec: &ContainerSpec) -> impl Iterator<Item = String> {
    spec.mounts.iter().map(|mount| mount_name(&mount.source)).filter(|name| !name.is_empty())
}

fn command_text(spec: &ContainerSpec) -> String {
    let words = [&spec.process.entrypoint, &spec.process.command];
    let mut text = String::new();
    for word in words.into_iter().flatten().flatten() {
        // docker quotes arguments with spaces, but never the program.
        match (text.is_empty(), word.contains(' ')) {
            (true, _) => text.push_str(word),
            (false, true) => text += &format!(" '{word}'"),
            (false, false) => text += &format!(" {word}"),
        }
    }
    text
}

/// In docker's words: `Up 5 minutes (healthy)`, `Exited (0) 2 hours ago`, `Created`.
fn status_text(container: &ContainerSummary) -> String {
    match container.status() {
        "running" => match container.health().as_str() {
            "none" => format!("Up {}", humanize::span_since(&container.state.started)),
            "starting" => format!("Up {} (health: starting)", humanize::span_since(&container.state.started)),
            health => format!("Up {} ({health})", humanize::span_since(&container.state.started)),
        },
        "paused" => format!("Up {} (Paused)", humanize::span_since(&container.state.started)),
        "restarting" => {
            format!("Restarting ({}) {}", container.exit_code(), humanize::ago(container.finished()))
        }
        "exited" => format!("Exited ({}) {}", container.exit_code(), humanize::ago(container.finished())),
        _ => "Created".to_owned(),
    }
}

/// Written bytes, and together with those of the image as virtual size, if the image still exists.
fn size_text(container: &ContainerSummary, store: &Store) -> String {
    let written = container.written();
    match container.image_size(store) {
        Some(image) => {
            format!("{} (virtual {})", humanize::size(written), humanize::size(image.saturating_add(written)))
        }
        None => humanize::size(written),
    }
}
