//! `tag`: give an image another name.

use clap::Args;

use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::environment;
use crate::engine::tag::tag;
use crate::store::Store;

pub(crate) const ENTRY: Entry = Entry::new::<Tag>(
    &["image tag", "tag"],
    "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    "Give an image another name",
);

/// Arguments of `tag`.
#[derive(Args)]
pub(crate) struct Tag {
    /// The image
    #[arg(required = true, value_name = "SOURCE_IMAGE")]
    source: String,
    /// Its new name
    #[arg(required = true, value_name = "TARGET_IMAGE")]
    target: String,
}

impl Verb for Tag {
    fn run(self, _context: &Context) -> Outcome {
        let store = Store::open(environment::data_root()?)?;
        tag(&store, &self.source, &self.target)?;
        Ok(0)
    }
}
