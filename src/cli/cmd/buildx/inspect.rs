//! `buildx inspect`: show a builder.

use clap::Args;

use super::builders::{NamedBuilder, find_builder, requested_builder};
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use crate::output::{self, humanize};
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry =
    CommandEntry::new::<BuildxInspectArgs>(&["buildx inspect"], "[OPTIONS] [NAME]", "Show what a builder is");

/// The version of BuildKit whose Dockerfile frontend dhow follows; scripts compare it with what they need.
pub(crate) const BUILDKIT_VERSION: &str = "v0.21.0";

/// Arguments of `buildx inspect`.
#[derive(Args)]
struct BuildxInspectArgs {
    /// Builder, where the argument names none
    #[arg(long, value_name = "NAME")]
    builder: Option<String>,
    /// See that it runs: there is nothing that would have to
    #[arg(long)]
    bootstrap: bool,
    /// The builder
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

impl CommandArgs for BuildxInspectArgs {
    fn run(self, _context: &CommandContext) -> CommandResult {
        let store = Store::open(environment::data_root()?)?;
        let name = self.name.or_else(|| requested_builder(self.builder.as_deref()));
        let builder = find_builder(&store.builders()?, name.as_deref())?;
        output::print(&describe(&builder))?;
        // There is no daemon to start, and the status is `running` anyway.
        let _ = self.bootstrap;
        Ok(0)
    }
}

/// In docker's format, which scripts parse.
fn describe(builder: &NamedBuilder) -> String {
    let record = &builder.record;
    let mut lines = vec![("Name", builder.name.clone()), ("Driver", record.driver.clone())];
    if !record.created.is_empty() {
        lines.push(("Last Activity", humanize::local_time(&record.created)));
    }
    let mut text = columns(&lines);
    text += "\nNodes:\n";
    let mut node = vec![("Name", builder.node_name()), ("Endpoint", record.endpoint.clone())];
    if !record.options.is_empty() {
        let quoted = record.options.iter().map(|option| match option.split_once('=') {
            Some((key, value)) => format!("{key}={}", humanize::quote(value.trim_matches('"'))),
            None => option.clone(),
        });
        node.push(("Driver Options", quoted.collect::<Vec<_>>().join(" ")));
    }
    node.push(("Status", "running".into()));
    if !record.daemon_flags.is_empty() {
        node.push(("BuildKit daemon flags", record.daemon_flags.join(" ")));
    }
    node.push(("BuildKit version", BUILDKIT_VERSION.into()));
    node.push(("Platforms", builder.platforms().join(", ")));
    text + &columns(&node)
}

fn columns(lines: &[(&str, String)]) -> String {
    let width = lines.iter().map(|(name, _)| name.len() + 2).max().unwrap_or(0);
    lines.iter().map(|(name, value)| format!("{:width$}{value}\n", format!("{name}:"))).collect()
}
