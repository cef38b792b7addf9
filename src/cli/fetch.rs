//! Pulls for `pull` and `run`: prepared with the user's rights, run where files can have any owner.

use super::entry::Context;
use super::lines::Channel;
use super::{environment, progress, report};
use crate::engine::namespace;
use crate::engine::pull::{self, Prepared, PullRequest};
use crate::model::environment::Environment;
use crate::model::layer::Identity;
use crate::store::Store;

/// The process environment, with `--config` applied.
pub(crate) fn environment_of(context: &Context) -> Environment {
    let environment = environment::all();
    match &context.globals.config {
        Some(dir) => environment.with("DOCKER_CONFIG", dir),
        None => environment,
    }
}

/// A pull that is ready to run.
pub(crate) struct Ready {
    prepared: Prepared,
    identity: Identity,
}

/// Finds servers and credentials, and prints warnings.
pub(crate) fn prepare(
    context: &Context,
    environment: &Environment,
    request: PullRequest,
) -> anyhow::Result<Ready> {
    let prepared = pull::prepare(environment, request)?;
    prepared.warnings.iter().for_each(|warning| report::warn(context, warning));
    Ok(Ready { prepared, identity: namespace::ownership(&namespace::identity(environment)) })
}

/// Runs the pull. The process must be in the user namespace already, where files can have any owner.
pub(crate) fn fetch(
    context: &Context,
    store: &Store,
    ready: &Ready,
    channel: Option<Channel>,
) -> anyhow::Result<()> {
    let pulled = pull::fetch(store, &ready.prepared, ready.identity, &*progress::on(channel))?;
    pulled.iter().filter_map(|image| image.warning.as_ref()).for_each(|text| report::warn(context, text));
    Ok(())
}
