//! `manifest rm`: remove lists from the store.

use clap::Args;

use super::name;
use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::{environment, report};
use crate::engine::manifest;
use crate::store::Store;

pub(crate) const ENTRY: Entry = Entry::new::<Rm>(
    &["manifest rm"],
    "MANIFEST_LIST [MANIFEST_LIST...]",
    "Forget manifest lists; what was pushed stays on the registry",
);

/// Arguments of `manifest rm`.
#[derive(Args)]
pub(crate) struct Rm {
    /// Names of lists
    #[arg(required = true, value_name = "MANIFEST_LIST")]
    lists: Vec<String>,
}

impl Verb for Rm {
    fn run(self, context: &Context) -> Outcome {
        let store = Store::open(environment::data_root()?)?;
        let mut code = 0;
        for list in &self.lists {
            if let Err(error) = name(list).and_then(|list| manifest::remove(&store, &list)) {
                report::complain(context, &error);
                code = 1;
            }
        }
        Ok(code)
    }
}
