//! `restart`: end containers and start them again.

use clap::Args;

use crate::cli::each::each;
use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::environment;
use crate::engine::restart::restart;
use crate::model::signal;
use crate::store::Store;

pub(crate) const ENTRY: Entry = Entry::new::<Restart>(
    &["container restart", "restart"],
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "End containers and start them again",
);

/// Arguments of `restart`.
#[derive(Args)]
pub(crate) struct Restart {
    /// Signal to begin with, in place of the container's own
    #[arg(short, long, value_name = "SIGNAL")]
    signal: Option<String>,
    /// Seconds to wait before killing; -1 waits without end
    #[arg(short, long, alias = "time", value_name = "SECONDS", allow_hyphen_values = true)]
    timeout: Option<i64>,
    /// Names or IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Verb for Restart {
    fn run(self, context: &Context) -> Outcome {
        let signal = self.signal.as_deref().map(signal::parse).transpose()?;
        let store = Store::open(environment::data_root()?)?;
        let environment = environment::all();
        each(context, &self.containers, |name| {
            restart(&store, name, signal, self.timeout, &environment).map(|()| name.to_owned())
        })
    }
}
