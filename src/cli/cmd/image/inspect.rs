//! `image inspect`: show details of images.

use clap::Args;

use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::inspect::show;
use crate::engine::inspect::{ObjectKind, Question};
use crate::model::platform::Platform;

pub(crate) const ENTRY: Entry =
    Entry::new::<Inspect>(&["image inspect"], "[OPTIONS] IMAGE [IMAGE...]", "Show everything about images");

/// Arguments of `image inspect`.
#[derive(Args)]
pub(crate) struct Inspect {
    /// `json`, or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Only if the image is for this platform, os/architecture[/variant]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// Names or IDs
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

impl Verb for Inspect {
    fn run(self, context: &Context) -> Outcome {
        let platforms = self.platform.into_iter().collect();
        let question = Question { kind: Some(ObjectKind::Image), platforms, size: false };
        show(context, &self.images, self.format.as_deref(), &question)
    }
}
