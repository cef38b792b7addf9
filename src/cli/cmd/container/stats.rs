//! `stats`: show the resource usage of containers, continuously.

use std::thread::sleep;
use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::listing::{Listing, Row};
use crate::cli::{environment, human, output, settings};
use crate::engine::stats::{Meter, Stats};
use crate::model::bytes;
use crate::store::Store;

pub(crate) const ENTRY: Entry = Entry::new::<ContainerStats>(
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
const FIRST: Duration = Duration::from_millis(500);
/// Between two screens.
const NEXT: Duration = Duration::from_secs(1);

/// Arguments of `stats`.
#[derive(Args)]
pub(crate) struct ContainerStats {
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

impl Verb for ContainerStats {
    fn run(self, context: &Context) -> Outcome {
        let store = Store::open(environment::data_root()?)?;
        let format = self.format.clone().filter(|format| !format.is_empty());
        let format = format.or_else(|| settings::read(context).stats_format);
        let mut meter = Meter::new(&store, self.containers.clone(), self.all)?;
        meter.measure()?;
        sleep(FIRST);
        while let Some(stats) = meter.measure()? {
            let text = self.picture(format.as_deref(), &stats)?;
            if self.no_stream {
                output::print(&text)?;
                break;
            }
            output::print(&on_screen(&text))?;
            sleep(NEXT);
        }
        Ok(0)
    }
}

impl ContainerStats {
    fn picture(&self, format: Option<&str>, stats: &[Stats]) -> anyhow::Result<String> {
        let listing = Listing { table: TABLE, quiet: None, raw: None, headers: HEADINGS };
        listing.render(format, stats.iter().map(|stats| row(stats, self.no_trunc)))
    }
}

/// Overwrites the last screen line by line, so that nothing flickers.
fn on_screen(text: &str) -> String {
    let lines: String = text.lines().map(|line| format!("{line}\x1b[K\n")).collect();
    format!("\x1b[H{lines}\x1b[J")
}

fn row(stats: &Stats, whole: bool) -> Row {
    let id = if whole { stats.id.as_str() } else { stats.id.get(..12).unwrap_or(&stats.id) };
    let name = if stats.name.is_empty() { "--" } else { stats.name.as_str() };
    let shown = |text: String, nothing: &str| if stats.valid { text } else { nothing.to_owned() };
    let pair = |one: u64, other: u64| format!("{} / {}", human::size(one), human::size(other));
    let memory = format!("{} / {}", bytes::binary(stats.memory), bytes::binary(stats.memory_limit));
    let fields = json!({
        "Container": stats.container, "ID": id, "Name": name,
        "CPUPerc": shown(format!("{:.2}%", stats.cpu), "--"),
        "MemUsage": shown(memory, "-- / --"),
        "MemPerc": shown(format!("{:.2}%", stats.memory_share()), "--"),
        "NetIO": shown(pair(stats.received, stats.sent), "--"),
        "BlockIO": shown(pair(stats.read, stats.written), "--"),
        "PIDs": shown(stats.pids.to_string(), "--"),
    });
    match fields {
        Value::Object(fields) => Row { fields, labels: Map::new() },
        _ => Row::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_docker_does() {
        let stats = Stats {
            container: "web".into(),
            id: "a".repeat(64),
            name: "web".into(),
            valid: true,
            cpu: 12.345,
            memory: 3 << 19,
            memory_limit: 64 << 20,
            received: 1234,
            pids: 3,
            ..Stats::default()
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
        let row = row(&Stats { container: "web".into(), ..Stats::default() }, false);
        let field = |name: &str| row.fields[name].as_str().unwrap().to_owned();
        assert_eq!(
            (field("Name").as_str(), field("MemUsage").as_str(), field("PIDs").as_str()),
            ("--", "-- / --", "--")
        );
    }

    #[test]
    fn a_picture_replaces_the_one_before() {
        assert_eq!(on_screen("a\nb\n"), "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
    }
}
