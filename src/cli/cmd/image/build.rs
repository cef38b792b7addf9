//! `build`: build an image from a Dockerfile.

use clap::Args;

use crate::cmd::buildx::build_run::{self, BuildResultFiles};
use crate::flags::build::{BuildFlags, BuildInvocation};
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::{environment, report};
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ImageBuildArgs>(
    &["image build", "build", "builder build", "buildx build", "buildx b"],
    "[OPTIONS] PATH | URL | -",
    "Build an image from a Dockerfile",
);

/// Arguments of `build`.
#[derive(Args)]
struct ImageBuildArgs {
    #[command(flatten)]
    flags: BuildFlags,
}

impl CommandArgs for ImageBuildArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let verbose = self.flags.debug || context.globals.verbose();
        match self.prepare(context) {
            Ok((store, invocation, files)) => {
                let environment = environment::with_flags(context);
                build_run::run_build(context, &store, &environment, &invocation, &files, verbose)
            }
            // Usage errors have exit codes of their own, all others are failed builds.
            Err(error) if report::is_usage_error(&error) => Err(error),
            Err(error) => Ok(report::report_failed_build(context, &error, verbose)),
        }
    }
}

impl ImageBuildArgs {
    fn prepare(
        mut self,
        context: &CommandContext,
    ) -> anyhow::Result<(Store, BuildInvocation, BuildResultFiles)> {
        let files =
            BuildResultFiles { id: self.flags.iidfile.take(), metadata: self.flags.metadata_file.take() };
        let builder = self.flags.builder.take();
        let invocation = self.flags.into_invocation(context)?;
        let store = Store::open(environment::data_root()?)?;
        crate::cmd::buildx::builders::check_builder(&store, builder.as_deref())?;
        Ok((store, invocation, files))
    }
}
