//! `restart`: stop containers and start them again.

use clap::Args;

use crate::cli::each::each;
use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::environment;
use crate::cli::flags::EndingFlags;
use crate::engine::restart::restart;
use crate::store::Store;

pub(crate) const ENTRY: Entry = Entry::new::<Restart>(
    &["container restart", "restart"],
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "End containers and start them again",
);

/// Arguments of `restart`.
#[derive(Args)]
pub(crate) struct Restart {
    #[command(flatten)]
    ending: EndingFlags,
    /// Names or IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Verb for Restart {
    fn run(self, context: &Context) -> Outcome {
        let signal = self.ending.signal()?;
        let store = Store::open(environment::data_root()?)?;
        let environment = environment::all();
        each(context, &self.containers, |name| {
            restart(&store, name, signal, self.ending.timeout, &environment).map(|()| name.to_owned())
        })
    }
}
