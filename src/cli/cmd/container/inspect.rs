//! `container inspect`: show details of containers.

use clap::Args;

use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::inspect::show;
use crate::engine::inspect::{ObjectKind, Question};

pub(crate) const ENTRY: Entry = Entry::new::<Inspect>(
    &["container inspect"],
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Show everything about containers",
);

/// Arguments of `container inspect`.
#[derive(Args)]
pub(crate) struct Inspect {
    /// `json`, or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Count what they wrote
    #[arg(short, long)]
    size: bool,
    /// Names or IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Verb for Inspect {
    fn run(self, context: &Context) -> Outcome {
        let question = Question { kind: Some(ObjectKind::Container), size: self.size, ..Question::default() };
        show(context, &self.containers, self.format.as_deref(), &question)
    }
}
