//! `volume inspect`: show details of volumes.

use clap::Args;

use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::inspect::show;
use crate::engine::inspect::{ObjectKind, Question};

pub(crate) const ENTRY: Entry = Entry::new::<Inspect>(
    &["volume inspect"],
    "[OPTIONS] VOLUME [VOLUME...]",
    "Show everything about volumes",
);

/// Arguments of `volume inspect`.
#[derive(Args)]
pub(crate) struct Inspect {
    /// `json`, or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Names
    #[arg(required = true, value_name = "VOLUME")]
    volumes: Vec<String>,
}

impl Verb for Inspect {
    fn run(self, context: &Context) -> Outcome {
        let question = Question { kind: Some(ObjectKind::Volume), ..Question::default() };
        show(context, &self.volumes, self.format.as_deref(), &question)
    }
}
