//! `stats`: show the resource usage of containers, continuously.

use std::thread::sleep;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::{docker_config, environment};
use crate::output::listing::{Listing, ListingRow};
use crate::output::{self, humanize};
use dhow_engine::container::stats::{StatsSample, StatsSampler};
use dhow_model::bytes;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ContainerStatsArgs>(
    &["container stats", "stats"],
    "[OPTIONS] [CONTAINER...]",
    "Show what containers use of the machine",
);

const TABLE: &str =
    "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}";
const HEADINGS: &[(&str, &str)] = &[
    ("Container", "CONTAINER"),
    ("ID", "CONTAINER ID"),
    ("Name", "NAME"),
    ("CPUPerc", "CPU %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("MemPerc", "MEM %"),
    ("NetIO", "NET I/O"),
    ("BlockIO", "BLOCK I/O"),
    ("PIDs", "PIDS"),
];

/// Before the first screen: rates need two measurements.
const FIRST_INTERVAL: Duration = Duration::from_millis(500);
/// Between two screens.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// Arguments of `stats`.
#[derive(Args)]
struct ContainerStatsArgs {
    /// Those that do not run too
    #[arg(short, long)]
    all: bool,
    /// Print with a Go template, `table TEMPLATE`, or `json`
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Show once and end
    #[arg(long)]
    no_stream: bool,
    /// Do not shorten
    #[arg(long)]
    no_trunc: bool,
    /// Names or IDs; all that run by default
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl CommandArgs for ContainerStatsArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let store = Store::open(environment::data_root()?)?;
        let format = self.format.clone().filter(|format| !format.is_empty());
        let format = format.or_else(|| docker_config::read_client_config(context).stats_format);
        let mut sampler = StatsSampler::new(&store, self.containers.clone(), self.all)?;
        sampler.start()?;
        sleep(FIRST_INTERVAL);
        while let Some(stats) = sampler.measure()? {
            let text = self.render(format.as_deref(), &stats)?;
            if self.no_stream {
                output::print(&text)?;
                break;
            }
            output::print(&redraw(&text))?;
            sleep(REFRESH_INTERVAL);
        }
        Ok(0)
    }
}

impl ContainerStatsArgs {
    fn render(&self, format: Option<&str>, stats: &[StatsSample]) -> anyhow::Result<String> {
        let listing = Listing { table: TABLE, quiet: None, raw: None, headers: HEADINGS };
        listing.render(format, stats.iter().map(|stats| row(stats, self.no_trunc)))
    }
}

/// Overwrites the last screen line by line, so that nothing flickers.
fn redraw(text: &str) -> String {
    let lines: String = text.lines().map(|line| format!("{line}\x1b[K\n")).collect();
    format!("\x1b[H{lines}\x1b[J")
}

fn row(stats: &StatsSample, no_trunc: bool) -> ListingRow {
    // A container that is gone has an empty ID.
    let id = if no_trunc { stats.id.as_str() } else { stats.id.get(..12).unwrap_or(&stats.id) };
    let name = if stats.name.is_empty() { "--" } else { stats.name.as_str() };
    let shown = |text: String, nothing: &str| if stats.valid { text } else { nothing.to_owned() };
    let pair = |one: u64, other: u64| format!("{} / {}", humanize::size(one), humanize::size(other));
    let memory = format!("{} / {}", bytes::binary(stats.memory), bytes::binary(stats.memory_limit));
    ListingRow::new(json!({
        "Container": stats.container, "ID": id, "Name": name,
        "CPUPerc": shown(format!("{:.2}%", stats.cpu), "--"),
        "MemUsage": shown(memory, "-- / --"),
        "MemPerc": shown(format!("{:.2}%", stats.memory_share()), "--"),
        "NetIO": shown(pair(stats.received, stats.sent), "--"),
        "BlockIO": shown(pair(stats.read, stats.written), "--"),
        "PIDs": shown(stats.pids.to_string(), "--"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_docker_does() {
        let stats = StatsSample {
            container: "web".into(),
            id: "a".repeat(64),
            name: "web".into(),
            valid: true,
            cpu: 12.345,
            memory: 3 << 19,
            memory_limit: 64 << 20,
            received: 1234,
            pids: 3,
            ..StatsSample::default()
        };
        let row = row(&stats, false);
        let field = |name: &str| row.fields[name].as_str().unwrap().to_owned();
        assert_eq!(field("ID"), "a".repeat(12));
        assert_eq!((field("CPUPerc").as_str(), field("MemPerc").as_str()), ("12.35%", "2.34%"));
        assert_eq!(field("MemUsage"), "1.5MiB / 64MiB");
        assert_eq!((field("NetIO").as_str(), field("BlockIO").as_str()), ("1.23kB / 0B", "0B / 0B"));
    }

    #[test]
    fn what_is_gone_has_no_numbers() {
        let row = row(&StatsSample { container: "web".into(), ..StatsSample::default() }, false);
        let field = |name: &str| row.fields[name].as_str().unwrap().to_owned();
        assert_eq!(
            (field("Name").as_str(), field("MemUsage").as_str(), field("PIDs").as_str()),
            ("--", "-- / --", "--")
        );
    }

    #[test]
    fn a_picture_replaces_the_one_before() {
        assert_eq!(redraw("a\nb\n"), "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
    }
}
