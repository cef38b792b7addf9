//! `history`: show how the layers of an image were made.

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use crate::output::listing::{Listing, ListingRow};
use crate::output::{self, humanize};
use dhow_engine::image::history::{HistoryStep, history};
use dhow_engine::image::lookup::find;
use dhow_model::platform::Platform;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ImageHistoryArgs>(
    &["image history", "history"],
    "[OPTIONS] IMAGE",
    "Show how the layers of an image came to be",
);

/// How many characters of an instruction a table shows.
const INSTRUCTION_WIDTH: usize = 45;

/// Arguments of `history`.
#[derive(Args)]
struct ImageHistoryArgs {
    /// `table`, `json`, or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Print sizes with units and times as spans; exact ones with --human=false
    #[arg(short = 'H', long, default_value = "true")]
    human: bool,
    /// Show whole IDs and instructions
    #[arg(long)]
    no_trunc: bool,
    /// Only if the image is for this platform, os/architecture[/variant]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// Only show IDs
    #[arg(short, long)]
    quiet: bool,
    /// Name or ID
    #[arg(required = true, value_name = "IMAGE")]
    image: String,
}

impl CommandArgs for ImageHistoryArgs {
    fn run(mut self, _context: &CommandContext) -> CommandResult {
        let store = Store::open(environment::data_root()?)?;
        let platforms: Vec<Platform> = self.platform.take().into_iter().collect();
        let image = find(&store, &self.image, &platforms)?;
        let steps = history(&store, &image)?;
        let rows = steps.iter().map(|step| self.row(step));
        let quiet = self.quiet.then_some("{{.ID}}");
        let table = if self.human { TABLE } else { EXACT_TABLE };
        let listing = Listing { table, quiet, raw: None, headers: HEADERS };
        output::print(&listing.render(self.format.as_deref(), rows)?)?;
        Ok(0)
    }
}

impl ImageHistoryArgs {
    fn row(&self, step: &HistoryStep) -> ListingRow {
        let created = step.history.created.as_deref().unwrap_or_default();
        // Tabs and newlines would break the table.
        let instruction = step.history.created_by.replace(['\t', '\n', '\r'], " ");
        let id = step.id.as_ref().map(|id| if self.no_trunc { id.as_str() } else { id.short() });
        ListingRow::new(json!({
            "Comment": step.history.comment,
            "CreatedAt": rfc3339_local(created),
            "CreatedBy": if self.no_trunc { instruction } else { humanize::ellipsis(&instruction, INSTRUCTION_WIDTH) },
            "CreatedSince": if self.human { humanize::ago(created) } else { rfc3339_local(created) },
            // docker's word for a step whose image is not in the store.
            "ID": id.unwrap_or("<missing>"),
            "Size": if self.human { humanize::size(step.size) } else { step.size.to_string() },
        }))
    }
}

/// RFC 3339 in the local time zone, to the second; empty if invalid.
fn rfc3339_local(time: &str) -> String {
    let Ok(time) = time.parse::<Timestamp>() else { return String::new() };
    let zoned = time.to_zoned(TimeZone::system());
    let format = if zoned.offset().is_zero() { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S%:z" };
    zoned.strftime(format).to_string()
}

const TABLE: &str = "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";
const EXACT_TABLE: &str = "{{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";

const HEADERS: &[(&str, &str)] = &[
    ("Comment", "COMMENT"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedBy", "CREATED BY"),
    ("CreatedSince", "CREATED"),
    ("ID", "IMAGE"),
    ("Size", "SIZE"),
];
