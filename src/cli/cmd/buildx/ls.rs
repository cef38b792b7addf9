//! `buildx ls`: list builders.

use clap::Args;
use serde_json::{Value, json};

use super::builders::{NamedBuilder, list_builders};
use super::inspect::BUILDKIT_VERSION;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use crate::output;
use crate::output::listing::ListingRow;
use crate::output::table;
use crate::output::template::Template;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry =
    CommandEntry::new::<BuildxLsArgs>(&["buildx ls"], "[OPTIONS]", "List builders");

/// Arguments of `buildx ls`.
#[derive(Args)]
struct BuildxLsArgs {
    /// Show platforms in full
    #[arg(long)]
    no_trunc: bool,
    /// Print with a Go template, `table TEMPLATE`, or `json`
    #[arg(long, value_name = "TEMPLATE", default_value = "table", hide_default_value = true)]
    format: String,
}

const HEADERS: [(&str, &str); 5] = [
    ("Name", "NAME/NODE"),
    ("DriverEndpoint", "DRIVER/ENDPOINT"),
    ("Status", "STATUS"),
    ("Buildkit", "BUILDKIT"),
    ("Platforms", "PLATFORMS"),
];

impl CommandArgs for BuildxLsArgs {
    fn run(self, _context: &CommandContext) -> CommandResult {
        let store = Store::open(environment::data_root()?)?;
        let builders = list_builders(&store.builders()?);
        // In JSON, the node is part of its builder and has no line of its own.
        if self.format == "json" {
            let lines = builders.iter().map(|builder| builder_json(builder).to_string() + "\n");
            output::print(&lines.collect::<String>())?;
            return Ok(0);
        }
        let columns = "{{.Name}}\\t{{.DriverEndpoint}}\\t{{.Status}}\\t{{.Buildkit}}\\t{{.Platforms}}";
        let (template, with_heading) = match self.format.strip_prefix("table") {
            Some(rest) if rest.trim().is_empty() => (columns, true),
            Some(rest) => (rest.trim(), true),
            None => (self.format.as_str(), false),
        };
        let template = Template::parse(&template.replace("\\t", "\t").replace("\\n", "\n"))?;
        let rows = builders.iter().flat_map(|builder| self.rows(builder, with_heading));
        let mut text = String::new();
        if with_heading {
            let headings = HEADERS.iter().map(|(field, text)| ((*field).to_owned(), Value::from(*text)));
            text = template.render_header(&Value::Object(headings.collect()))? + "\n";
        }
        for row in rows {
            text += &template.render_row(&Value::Object(row.fields), &row.labels)?;
            text.push('\n');
        }
        output::print(&if with_heading { table::align_columns(&text) } else { text })?;
        Ok(0)
    }
}

impl BuildxLsArgs {
    /// A row for the builder and one for its node.
    fn rows(&self, builder: &NamedBuilder, with_heading: bool) -> [ListingRow; 2] {
        let platforms = builder.platforms();
        let platforms = match platforms.as_slice() {
            [first, second, third, fourth, _, ..] if !self.no_trunc => {
                format!("{first}, {second}, {third}, {fourth}, ({} more)", platforms.len() - 4)
            }
            _ => platforms.join(", "),
        };
        // Only a table draws nodes as branches of their builder.
        let branch = if with_heading { " \\_ " } else { "" };
        let mark = if builder.current { "*" } else { "" };
        [
            ListingRow::new(json!({
                "Name": format!("{}{mark}", builder.name), "DriverEndpoint": builder.record.driver,
                "LastActivity": "", "Status": "", "Buildkit": "", "Platforms": "", "Error": "",
            })),
            ListingRow::new(json!({
                "Name": format!("{branch}{}", builder.node_name()),
                "DriverEndpoint": format!("{branch}{}", builder.record.endpoint),
                "LastActivity": "", "Status": "running", "Buildkit": BUILDKIT_VERSION, "Platforms": platforms, "Error": "",
            })),
        ]
    }
}

/// A builder for `--format json`.
fn builder_json(builder: &NamedBuilder) -> Value {
    let node = json!({
        "Name": builder.node_name(), "Endpoint": builder.record.endpoint, "Platforms": builder.platforms(),
        "Flags": builder.record.daemon_flags, "DriverOpts": driver_options(&builder.record.options),
        "Status": "running", "Version": BUILDKIT_VERSION, "IDs": [], "Labels": {},
    });
    json!({
        "Name": builder.name, "Driver": builder.record.driver, "Current": builder.current, "Dynamic": false,
        "LastActivity": builder.record.created, "Nodes": [node],
    })
}

/// The options of a driver as an object.
fn driver_options(texts: &[String]) -> Value {
    let pairs = texts.iter().flat_map(|text| text.split(','));
    let pair = |text: &str| {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        (key.to_owned(), Value::from(value.trim_matches('"')))
    };
    Value::Object(pairs.map(pair).collect())
}
