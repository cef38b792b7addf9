//! `network rm`: remove networks.

use clap::Args;

use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::{environment, output, report};
use crate::engine::networks::rm;
use crate::store::Store;

pub(crate) const ENTRY: Entry =
    Entry::new::<Rm>(&["network rm", "network remove"], "NETWORK [NETWORK...]", "Remove networks");

/// Arguments of `network rm`.
#[derive(Args)]
pub(crate) struct Rm {
    /// Do not mind networks that are not there
    #[arg(short, long)]
    force: bool,
    /// Names or IDs
    #[arg(required = true, value_name = "NETWORK")]
    networks: Vec<String>,
}

impl Verb for Rm {
    fn run(self, context: &Context) -> Outcome {
        let store = Store::open(environment::data_root()?)?;
        let mut code = 0;
        for name in &self.networks {
            match rm(&store, name, self.force) {
                Ok(true) => output::print_line(name)?,
                Ok(false) => {}
                Err(error) => {
                    report::complain(context, &error);
                    code = 1;
                }
            }
        }
        Ok(code)
    }
}
