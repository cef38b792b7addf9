//! `buildx version`: show the version of buildx that dhow follows.

use clap::Args;

use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::output;

pub(crate) const ENTRY: Entry =
    Entry::new::<Version>(&["buildx version"], "", "Show which version of buildx the commands are like");

/// The version of buildx whose flags and files are understood; scripts compare it with what they need.
pub(crate) const LIKE: &str = "v0.23.0";

/// Arguments of `buildx version`.
#[derive(Args)]
pub(crate) struct Version {}

impl Verb for Version {
    fn run(self, _context: &Context) -> Outcome {
        let own = env!("CARGO_PKG_VERSION");
        output::print_line(&format!("github.com/docker/buildx {LIKE} (as dhow {own} has it)"))?;
        Ok(0)
    }
}
