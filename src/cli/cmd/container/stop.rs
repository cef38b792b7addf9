//! `stop`: end containers.

use clap::Args;

use crate::cli::each::each;
use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::environment;
use crate::engine::stop::stop;
use crate::model::signal;
use crate::store::Store;

pub(crate) const ENTRY: Entry = Entry::new::<Stop>(
    &["container stop", "stop"],
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "End containers that run, by force if they do not react",
);

/// Arguments of `stop`.
#[derive(Args)]
pub(crate) struct Stop {
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

impl Verb for Stop {
    fn run(self, context: &Context) -> Outcome {
        let signal = self.signal.as_deref().map(signal::parse).transpose()?;
        let store = Store::open(environment::data_root()?)?;
        each(context, &self.containers, |name| {
            stop(&store, name, signal, self.timeout).map(|()| name.to_owned())
        })
    }
}
