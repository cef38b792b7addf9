//! `version`, and the line of `--version`.

use clap::Args;

use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::output;

pub(crate) const ENTRY: Entry =
    Entry::new::<Version>(&["version"], "[OPTIONS]", "Show the version and what it is compatible with");

/// The release of docker's client whose command line this is.
const DOCKER_VERSION: &str = "28.4.0";

/// Arguments of `version`.
#[derive(Args)]
pub(crate) struct Version {
    /// Print with a Go template, or `json`
    #[arg(short, long, value_name = "TEMPLATE")]
    format: Option<String>,
}

impl Verb for Version {
    fn run(self, context: &Context) -> Outcome {
        let _ = self.format;
        one_line(context)
    }
}

/// The answer to `--version`.
pub(crate) fn one_line(context: &Context) -> Outcome {
    let own = env!("CARGO_PKG_VERSION");
    output::print_line(&match context.as_docker() {
        true => format!("Docker version {DOCKER_VERSION}, build dhow-{own}"),
        false => format!("dhow version {own}"),
    })?;
    Ok(0)
}
