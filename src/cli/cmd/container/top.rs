//! `top`: list the processes of a container.

use clap::Args;

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use crate::output::{self, table};
use dhow_engine::container::top::top;
use dhow_store::Store;

/// docker's columns are at least this wide here.
const MIN_COLUMN_WIDTH: usize = 20;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ContainerTopArgs>(
    &["container top", "top"],
    "CONTAINER [ps OPTIONS]",
    "Show the processes of a running container",
);

/// Arguments of `top`.
#[derive(Args)]
struct ContainerTopArgs {
    /// Name or ID
    #[arg(required = true, value_name = "CONTAINER")]
    container: String,
    /// Options of the host's ps
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ps OPTIONS")]
    options: Vec<String>,
}

impl CommandArgs for ContainerTopArgs {
    fn run(self, _: &CommandContext) -> CommandResult {
        let store = Store::open(environment::data_root()?)?;
        let environment = environment::all();
        // It is the ps of the host that runs.
        let path = environment.text("PATH").unwrap_or_default();
        let listing = top(&store, &self.container, &self.options, path)?;
        let mut text = listing.titles.join("\t");
        for row in &listing.rows {
            text.push('\n');
            text.push_str(&row.join("\t"));
        }
        output::print_line(&table::align_with_min_width(&text, MIN_COLUMN_WIDTH))?;
        Ok(0)
    }
}
