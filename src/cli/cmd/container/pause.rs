//! `pause`: pause all processes in containers.

use clap::Args;

use crate::cli::each::each;
use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::environment;
use crate::engine::pause::pause;
use crate::store::Store;

pub(crate) const ENTRY: Entry = Entry::new::<Pause>(
    &["container pause", "pause"],
    "CONTAINER [CONTAINER...]",
    "Hold all processes of containers",
);

/// Arguments of `pause`.
#[derive(Args)]
pub(crate) struct Pause {
    /// Names or IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Verb for Pause {
    fn run(self, context: &Context) -> Outcome {
        let store = Store::open(environment::data_root()?)?;
        each(context, &self.containers, |name| pause(&store, name).map(|()| name.to_owned()))
    }
}
