//! `buildx stop`: check the builder's name, as there is no daemon to stop.

use clap::Args;

use crate::cli::builders::{asked, find};
use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::environment;
use crate::store::Store;

pub(crate) const ENTRY: Entry = Entry::new::<Stop>(
    &["buildx stop"],
    "[OPTIONS] [NAME]",
    "Stop a builder's daemon: there is none, so this only checks the name",
);

/// Arguments of `buildx stop`.
#[derive(Args)]
pub(crate) struct Stop {
    /// Builder, where the argument names none
    #[arg(long, value_name = "NAME")]
    builder: Option<String>,
    /// The builder
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

impl Verb for Stop {
    fn run(self, _context: &Context) -> Outcome {
        let store = Store::open(environment::data_root()?)?;
        let name = self.name.or_else(|| asked(self.builder.as_deref()));
        find(&store.builders()?, name.as_deref())?;
        Ok(0)
    }
}
