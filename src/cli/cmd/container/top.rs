//! `top`: list the processes of a container.

use clap::Args;

use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::{environment, output, table};
use crate::engine::top::top;
use crate::store::Store;

/// docker's columns are at least this wide here.
const NARROWEST: usize = 20;

pub(crate) const ENTRY: Entry = Entry::new::<Top>(
    &["container top", "top"],
    "CONTAINER [ps OPTIONS]",
    "Show the processes of a running container",
);

/// Arguments of `top`.
#[derive(Args)]
pub(crate) struct Top {
    /// Name or ID
    #[arg(required = true, value_name = "CONTAINER")]
    container: String,
    /// Options of the host's ps
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ps OPTIONS")]
    options: Vec<String>,
}

impl Verb for Top {
    fn run(self, _: &Context) -> Outcome {
        let store = Store::open(environment::data_root()?)?;
        let environment = environment::all();
        let path = environment.text("PATH").unwrap_or_default();
        let found = top(&store, &self.container, &self.options, path)?;
        let mut text = found.titles.join("\t");
        for row in &found.rows {
            text.push('\n');
            text.push_str(&row.join("\t"));
        }
        output::print_line(&table::align_from(&text, NARROWEST))?;
        Ok(0)
    }
}
