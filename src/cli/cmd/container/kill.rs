//! `kill`: send a signal to containers.

use clap::Args;

use crate::cli::each::each;
use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::environment;
use crate::engine::kill::kill;
use crate::model::signal;
use crate::store::Store;

pub(crate) const ENTRY: Entry = Entry::new::<Kill>(
    &["container kill", "kill"],
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Kill containers, or send them another signal",
);

/// Arguments of `kill`.
#[derive(Args)]
pub(crate) struct Kill {
    /// Signal to send
    #[arg(short, long, value_name = "SIGNAL", default_value = "KILL")]
    signal: String,
    /// Names or IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Verb for Kill {
    fn run(self, context: &Context) -> Outcome {
        let signal = signal::parse(&self.signal)?;
        let store = Store::open(environment::data_root()?)?;
        each(context, &self.containers, |name| kill(&store, name, signal).map(|()| name.to_owned()))
    }
}
