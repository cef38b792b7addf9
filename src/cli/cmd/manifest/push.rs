//! `manifest push`: upload a list to a registry.

use clap::Args;

use super::name;
use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::{environment, fetch, output};
use crate::engine::manifest;
use crate::store::Store;

pub(crate) const ENTRY: Entry = Entry::new::<Push>(
    &["manifest push"],
    "[OPTIONS] MANIFEST_LIST",
    "Upload a manifest list, with the images in it that its repository does not have",
);

/// Arguments of `manifest push`.
#[derive(Args)]
pub(crate) struct Push {
    /// Talk to the registry without encryption if it must be
    #[arg(long)]
    insecure: bool,
    /// Forget the list here afterwards
    #[arg(short, long)]
    purge: bool,
    /// The list's name
    #[arg(required = true, value_name = "MANIFEST_LIST")]
    list: String,
}

impl Verb for Push {
    fn run(self, context: &Context) -> Outcome {
        let list = name(&self.list)?;
        let store = Store::open(environment::data_root()?)?;
        let pushing = manifest::prepare_push(&store, &fetch::environment_of(context), &list, self.insecure)?;
        let digest = manifest::push(&pushing, &mut |line| output::print_line(line))?;
        output::print_line(&digest)?;
        if self.purge {
            manifest::remove(&store, &list)?;
        }
        Ok(0)
    }
}
