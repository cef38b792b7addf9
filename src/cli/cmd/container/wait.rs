//! `wait`: wait until containers stop.

use clap::Args;

use crate::cli::each::each;
use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::environment;
use crate::engine::wait::wait;
use crate::store::Store;

pub(crate) const ENTRY: Entry = Entry::new::<Wait>(
    &["container wait", "wait"],
    "CONTAINER [CONTAINER...]",
    "Wait until containers end, and print their exit codes",
);

/// Arguments of `wait`.
#[derive(Args)]
pub(crate) struct Wait {
    /// Names or IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Verb for Wait {
    fn run(self, context: &Context) -> Outcome {
        let store = Store::open(environment::data_root()?)?;
        each(context, &self.containers, |name| wait(&store, name).map(|code| code.to_string()))
    }
}
