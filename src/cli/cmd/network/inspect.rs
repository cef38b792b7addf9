//! `network inspect`: show details of networks.

use clap::Args;

use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::inspect::show;
use crate::engine::inspect::{ObjectKind, Question};

pub(crate) const ENTRY: Entry = Entry::new::<Inspect>(
    &["network inspect"],
    "[OPTIONS] NETWORK [NETWORK...]",
    "Show everything about networks",
);

/// Arguments of `network inspect`.
#[derive(Args)]
pub(crate) struct Inspect {
    /// `json`, or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// More about networks of a swarm, which there are none of
    #[arg(short, long, hide = true)]
    verbose: bool,
    /// Names or IDs
    #[arg(required = true, value_name = "NETWORK")]
    networks: Vec<String>,
}

impl Verb for Inspect {
    fn run(self, context: &Context) -> Outcome {
        let question = Question { kind: Some(ObjectKind::Network), ..Question::default() };
        show(context, &self.networks, self.format.as_deref(), &question)
    }
}
