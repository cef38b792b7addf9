//! Pulling as `pull` and `run` do it: prepared with the user's rights, fetched where files can have their owners.

use super::entry::Context;
use super::lines::Channel;
use super::{environment, progress, report};
use crate::engine::namespace;
use crate::engine::pull::{self, Prepared, PullRequest};
use crate::model::environment::Environment;
use crate::model::layer::Identity;
use crate::store::Store;

/// The environment with what the flags before the command say about it.
pub(crate) fn environment_of(context: &Context) -> Environment {
    let environment = environment::all();
    match &context.globals.config {
        Some(dir) => environment.with("DOCKER_CONFIG", dir),
        None => environment,
    }
}

/// A pull that may begin.
pub(crate) struct Ready {
    prepared: Prepared,
    identity: Identity,
}

/// Finds servers and credentials; shows warnings.
pub(crate) fn prepare(
    context: &Context,
    environment: &Environment,
    request: PullRequest,
) -> anyhow::Result<Ready> {
    let prepared = pull::prepare(environment, request)?;
    prepared.warnings.iter().for_each(|warning| report::warn(context, warning));
    Ok(Ready { prepared, identity: namespace::ownership(&namespace::identity(environment)) })
}

/// Carries it out; this process is where files can have their owners.
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
