//! `buildx use`: choose the builder that is used when none is named.

use clap::Args;

use crate::cli::builders::{DEFAULT, find};
use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::environment;
use crate::store::Store;

pub(crate) const ENTRY: Entry =
    Entry::new::<Use>(&["buildx use"], "[OPTIONS] NAME", "Use a builder where none is named");

/// Arguments of `buildx use`.
#[derive(Args)]
pub(crate) struct Use {
    /// Use it whatever docker's context is, which is always so
    #[arg(long)]
    default: bool,
    /// Use it whatever docker's context is, which is always so
    #[arg(long)]
    global: bool,
    /// The builder
    #[arg(required = true, value_name = "NAME")]
    name: String,
}

impl Verb for Use {
    fn run(self, _context: &Context) -> Outcome {
        let store = Store::open(environment::data_root()?)?;
        store.change_builders(|builders| {
            let found = find(builders, Some(&self.name))?;
            builders.current = Some(found.name).filter(|name| name != DEFAULT);
            Ok(())
        })?;
        Ok(0)
    }
}
