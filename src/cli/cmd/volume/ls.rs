//! `volume ls`: list volumes.

use clap::Args;
use serde_json::json;

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use crate::output;
use crate::output::listing::{Listing, ListingRow};
use dhow_engine::volume::ls::{VolumeSummary, list};
use dhow_error::unsupported;
use dhow_model::filter::ListFilter;
use dhow_model::volume::DRIVER;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry =
    CommandEntry::new::<VolumeLsArgs>(&["volume ls", "volume list"], "[OPTIONS]", "List volumes");

/// Arguments of `volume ls`.
#[derive(Args)]
struct VolumeLsArgs {
    /// Volumes of a swarm: there are none
    #[arg(long, hide = true)]
    cluster: bool,
    /// Only those that match: dangling, driver, label, name
    #[arg(short, long, value_name = "FILTER")]
    filter: Vec<ListFilter>,
    /// Print with a Go template, `table TEMPLATE`, or `json`
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Only the names
    #[arg(short, long)]
    quiet: bool,
}

impl CommandArgs for VolumeLsArgs {
    fn run(self, _context: &CommandContext) -> CommandResult {
        if self.cluster {
            return Err(unsupported("--cluster is for volumes of a swarm, and dhow is none").into());
        }
        let store = Store::open(environment::data_root()?)?;
        let volumes = list(&store, &self.filter)?;
        let rows = volumes.iter().map(row);
        let quiet = self.quiet.then_some("{{.Name}}");
        let listing = Listing { table: "{{.Driver}}\t{{.Name}}", quiet, raw: None, headers: HEADINGS };
        output::print(&listing.render(self.format.as_deref(), rows)?)?;
        Ok(0)
    }
}

/// Column headings by field.
pub(crate) const HEADINGS: &[(&str, &str)] = &[
    ("Availability", "AVAILABILITY"),
    ("Driver", "DRIVER"),
    ("Group", "GROUP"),
    ("Labels", "LABELS"),
    ("Links", "LINKS"),
    ("Mountpoint", "MOUNTPOINT"),
    ("Name", "VOLUME NAME"),
    ("Scope", "SCOPE"),
    ("Size", "SIZE"),
    ("Status", "STATUS"),
];

fn row(volume: &VolumeSummary) -> ListingRow {
    let record = &volume.record;
    let row = ListingRow::new(json!({
        "Availability": "N/A", "Driver": DRIVER, "Group": "N/A", "Links": "N/A",
        "Mountpoint": volume.mountpoint.display().to_string(), "Name": record.name, "Scope": "local",
        "Size": "N/A", "Status": "N/A",
    }));
    row.with_labels(&record.labels)
}
