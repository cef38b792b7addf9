//! `stop`: stop containers.

use clap::Args;

use crate::cli::each::each;
use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::environment;
use crate::cli::flags::EndingFlags;
use crate::engine::stop::stop;
use crate::store::Store;

pub(crate) const ENTRY: Entry = Entry::new::<Stop>(
    &["container stop", "stop"],
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "End containers that run, by force if they do not react",
);

/// Arguments of `stop`.
#[derive(Args)]
pub(crate) struct Stop {
    #[command(flatten)]
    ending: EndingFlags,
    /// Names or IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Verb for Stop {
    fn run(self, context: &Context) -> Outcome {
        let signal = self.ending.signal()?;
        let store = Store::open(environment::data_root()?)?;
        each(context, &self.containers, |name| {
            stop(&store, name, signal, self.ending.timeout).map(|()| name.to_owned())
        })
    }
}
