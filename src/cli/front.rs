//! What the engine needs from the command line while it creates a container: environment, pulls, messages.

use super::entry::Context;
use super::fetch::{self, Ready};
use super::lines::Channel;
use super::{output, report};
use crate::engine::create::Front;
use crate::engine::pull::PullRequest;
use crate::error::not_found;
use crate::model::environment::Environment;
use crate::model::platform::Platform;
use crate::model::reference::Reference;
use crate::model::run::RunRequest;
use crate::store::Store;

/// The user interface of `create` and `run`.
pub(crate) struct Terminal<'a> {
    context: &'a Context,
    environment: Environment,
    platform: Option<Platform>,
    ready: Option<Ready>,
}

impl<'a> Terminal<'a> {
    pub(crate) fn new(context: &'a Context, request: &RunRequest) -> Self {
        Self {
            context,
            environment: fetch::environment_of(context),
            platform: request.platform.clone(),
            ready: None,
        }
    }
}

impl Front for Terminal<'_> {
    fn environment(&self) -> &Environment {
        &self.environment
    }

    fn warn(&self, message: &str) {
        report::warn(self.context, message);
    }

    fn note(&self, message: &str) {
        output::note(message);
    }

    fn prepare_fetch(&mut self, image: &str) -> anyhow::Result<()> {
        let reference: Reference = image.parse()?;
        let request = PullRequest { reference, all_tags: false, platform: self.platform.clone() };
        self.ready = Some(fetch::prepare(self.context, &self.environment, request)?);
        Ok(())
    }

    fn fetch(&self, store: &Store, image: &str, request: &RunRequest) -> anyhow::Result<()> {
        let Some(ready) = &self.ready else {
            return Err(not_found(format!("No such image: {image}")).into());
        };
        let channel = (!request.quiet).then_some(Channel::Stderr);
        fetch::fetch(self.context, store, ready, channel)
    }
}
