//! `build`: build an image from a Dockerfile.

use clap::Args;

use crate::cli::building::{self, Files};
use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::flags::build::{BuildFlags, Order};
use crate::cli::{environment, fetch, report};
use crate::store::Store;

pub(crate) const ENTRY: Entry = Entry::new::<Build>(
    &["image build", "build", "builder build", "buildx build", "buildx b"],
    "[OPTIONS] PATH | URL | -",
    "Build an image from a Dockerfile",
);

/// Arguments of `build`.
#[derive(Args)]
pub(crate) struct Build {
    #[command(flatten)]
    flags: BuildFlags,
}

impl Verb for Build {
    fn run(self, context: &Context) -> Outcome {
        let verbose = self.flags.debug || context.globals.verbose();
        match self.prepare(context) {
            Ok((store, order, files)) => {
                let environment = fetch::environment_of(context);
                building::run(context, &store, &environment, &order, &files, verbose)
            }
            // Usage errors have exit codes of their own, all others are failed builds.
            Err(error) if report::is_usage(&error) => Err(error),
            Err(error) => Ok(report::failed_build(context, &error, verbose)),
        }
    }
}

impl Build {
    fn prepare(mut self, context: &Context) -> anyhow::Result<(Store, Order, Files)> {
        let files = Files { id: self.flags.iidfile.take(), metadata: self.flags.metadata_file.take() };
        let builder = self.flags.builder.take();
        let order = self.flags.into_order(context)?;
        let store = Store::open(environment::data_root()?)?;
        crate::cli::builders::check(&store, builder.as_deref())?;
        Ok((store, order, files))
    }
}
