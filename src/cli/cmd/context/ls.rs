//! `context ls`: list the contexts of docker's configuration.

use clap::Args;
use serde_json::json;

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::contexts::{self, EngineContext};
use crate::frame::engine_choice::EngineChoice;
use crate::frame::environment;
use crate::output;
use crate::output::listing::{Listing, ListingRow};

pub(crate) const ENTRY: CommandEntry =
    CommandEntry::new::<ContextLsArgs>(&["context ls", "context list"], "[OPTIONS]", "List contexts")
        .without_engine();

const TABLE: &str = "{{.Name}}{{if .Current}} *{{end}}\t{{.Description}}\t{{.DockerEndpoint}}\t{{.Error}}";
const HEADINGS: &[(&str, &str)] = &[
    ("Name", "NAME"),
    ("Description", "DESCRIPTION"),
    ("DockerEndpoint", "DOCKER ENDPOINT"),
    ("Error", "ERROR"),
    ("ContextType", "TYPE"),
];

/// Arguments of `context ls`.
#[derive(Args)]
struct ContextLsArgs {
    /// Print with a Go template, `table TEMPLATE`, or `json`
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Only the names
    #[arg(short, long)]
    quiet: bool,
}

impl CommandArgs for ContextLsArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let environment = environment::with_flags(context);
        let choice = EngineChoice::new(&context.globals, &environment)?;
        let current = choice.context_name();
        let found = contexts::list(&environment)?;
        let mut rows: Vec<_> =
            found.iter().map(|context| row(context, context.name == current, "")).collect();
        if !found.iter().any(|context| context.name == current) {
            let missing = EngineContext { name: current.to_owned(), ..EngineContext::default() };
            let error = format!("context \"{}\": context not found", current.escape_debug());
            rows.push(row(&missing, true, &error));
        }
        let quiet = self.quiet.then_some("{{.Name}}");
        let listing = Listing { table: TABLE, quiet, raw: None, headers: HEADINGS };
        output::print(&listing.render(self.format.as_deref(), rows)?)?;
        Ok(0)
    }
}

fn row(context: &EngineContext, current: bool, error: &str) -> ListingRow {
    let description = match context.name == contexts::DEFAULT {
        true => "Current DOCKER_HOST based configuration",
        false => context.description(),
    };
    ListingRow::new(json!({
        "Name": context.name, "Description": description, "DockerEndpoint": context.address(), "Current": current,
        "Error": error, "ContextType": "moby",
    }))
}
