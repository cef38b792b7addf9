//! What the engine needs from the command line while it creates a container: environment, pulls, messages.

use crate::cmd::image::pending_pull::{self, PendingPull};
use crate::frame::command::CommandContext;
use crate::frame::{environment, report};
use crate::output;
use crate::output::progress::lines::ProgressStream;
use dhow_engine::image::demo::DemoImage;
use dhow_engine::image::pull::PullRequest;
use dhow_error::not_found;
use dhow_model::environment::Environment;
use dhow_model::platform::Platform;
use dhow_model::reference::ImageReference;
use dhow_model::run_request::RunRequest;
use dhow_runtime::create::{BuiltInImage, CreateCallbacks};
use dhow_store::Store;

/// The user interface of `create` and `run`.
pub(crate) struct CommandUi<'a> {
    context: &'a CommandContext,
    environment: Environment,
    platform: Option<Platform>,
    pending_pull: Option<PendingPull>,
}

impl<'a> CommandUi<'a> {
    pub(crate) fn new(context: &'a CommandContext, request: &RunRequest) -> Self {
        Self {
            context,
            environment: environment::with_flags(context),
            platform: request.platform.clone(),
            pending_pull: None,
        }
    }
}

impl CreateCallbacks for CommandUi<'_> {
    fn environment(&self) -> &Environment {
        &self.environment
    }

    fn built_in(&self) -> &'static dyn BuiltInImage {
        &DemoImage
    }

    fn warn(&self, message: &str) {
        report::warn(self.context, message);
    }

    fn inform(&self, message: &str) {
        output::eprint_line(message);
    }

    fn prepare_pull(&mut self, image: &str) -> anyhow::Result<()> {
        let reference: ImageReference = image.parse()?;
        let request = PullRequest { reference, all_tags: false, platform: self.platform.clone() };
        // Kept for the pull itself, which runs in a forked child where files can have any owner.
        self.pending_pull = Some(pending_pull::prepare_pull(self.context, &self.environment, request)?);
        Ok(())
    }

    fn pull_image(&self, store: &Store, image: &str, request: &RunRequest) -> anyhow::Result<()> {
        // Cannot happen: every pull is prepared first.
        let Some(pending) = &self.pending_pull else {
            return Err(not_found(format!("No such image: {image}")).into());
        };
        let stream = (!request.quiet).then_some(ProgressStream::Stderr);
        pending_pull::run_pull(self.context, store, pending, stream)
    }
}
