//! `logs`: show what a container has written.

use std::io::Write as _;

use clap::Args;

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use crate::output;
use dhow_engine::container::logs::{LogQuery, logs};
use dhow_model::log::OutputStream;
use dhow_store::{LogEntry, Store};

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ContainerLogsArgs>(
    &["container logs", "logs"],
    "[OPTIONS] CONTAINER",
    "Show what a container has written",
);

/// Arguments of `logs`.
#[derive(Args)]
struct ContainerLogsArgs {
    /// Show the labels and variables that the log was told to keep too
    #[arg(long)]
    details: bool,
    /// Go on until the container ends
    #[arg(short, long)]
    follow: bool,
    /// Only from this time on, or from so long ago
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only so many lines from the end
    #[arg(short = 'n', long, value_name = "LINES", default_value = "all", allow_hyphen_values = true)]
    tail: String,
    /// Show the time of each line
    #[arg(short, long)]
    timestamps: bool,
    /// Only up to this time, or to so long ago
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Name or ID
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl CommandArgs for ContainerLogsArgs {
    fn run(self, _context: &CommandContext) -> CommandResult {
        let query = LogQuery::new(self.since.as_deref(), self.until.as_deref(), &self.tail, self.follow)?;
        let store = Store::open(environment::data_root()?)?;
        let (mut out, mut err) = (output::stdout(), output::stderr());
        logs(&store, &self.container, &query, &mut |line| {
            let text = self.prefix(&line) + &line.text;
            match line.stream {
                // Flushed for each line, because a pipe's reader may follow the log.
                OutputStream::Stdout => out.write_all(text.as_bytes()).and_then(|()| out.flush())?,
                // Standard error has no buffer.
                OutputStream::Stderr => err.write_all(text.as_bytes())?,
            }
            Ok(())
        })?;
        Ok(0)
    }
}

impl ContainerLogsArgs {
    /// The time, then the details, in docker's order.
    fn prefix(&self, line: &LogEntry) -> String {
        let mut prefix = String::new();
        if self.timestamps {
            prefix += &nanosecond_time(&line.time);
            prefix.push(' ');
        }
        if self.details {
            let pairs: Vec<String> =
                line.extras.iter().map(|(name, value)| format!("{name}={value}")).collect();
            prefix += &pairs.join(",");
            prefix.push(' ');
        }
        prefix
    }
}

/// Nine digits after the decimal point, so that lines are aligned.
fn nanosecond_time(time: &str) -> String {
    time.parse::<jiff::Timestamp>().map_or_else(|_| time.to_owned(), |time| format!("{time:.9}"))
}
