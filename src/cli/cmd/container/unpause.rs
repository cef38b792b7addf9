//! `unpause`: unpause all processes in containers.

use clap::Args;

use crate::cli::each::each;
use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::environment;
use crate::engine::pause::unpause;
use crate::store::Store;

pub(crate) const ENTRY: Entry = Entry::new::<Unpause>(
    &["container unpause", "unpause"],
    "CONTAINER [CONTAINER...]",
    "Let the processes of containers go on",
);

/// Arguments of `unpause`.
#[derive(Args)]
pub(crate) struct Unpause {
    /// Names or IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Verb for Unpause {
    fn run(self, context: &Context) -> Outcome {
        let store = Store::open(environment::data_root()?)?;
        each(context, &self.containers, |name| unpause(&store, name).map(|()| name.to_owned()))
    }
}
