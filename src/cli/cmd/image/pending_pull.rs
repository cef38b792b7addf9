//! Pulls for `pull` and `run`: prepared with the user's rights, run where files can have any owner.

use crate::frame::command::CommandContext;
use crate::frame::report;
use crate::output::progress;
use crate::output::progress::lines::ProgressStream;
use dhow_engine::image::pull::{self, PreparedPull, PullRequest};
use dhow_model::environment::Environment;
use dhow_model::layer::LayerOwnership;
use dhow_runtime::userns;
use dhow_store::Store;

/// A pull that is ready to run.
pub(crate) struct PendingPull {
    prepared: PreparedPull,
    identity: LayerOwnership,
}

/// Finds servers and credentials, and prints warnings.
pub(crate) fn prepare_pull(
    context: &CommandContext,
    environment: &Environment,
    request: PullRequest,
) -> anyhow::Result<PendingPull> {
    let prepared = pull::prepare(environment, request)?;
    prepared.warnings.iter().for_each(|warning| report::warn(context, warning));
    Ok(PendingPull { prepared, identity: userns::layer_ownership(&userns::probe_identity(environment)) })
}

/// Runs the pull. The process must be in the user namespace already, where files can have any owner.
pub(crate) fn run_pull(
    context: &CommandContext,
    store: &Store,
    pending: &PendingPull,
    stream: Option<ProgressStream>,
) -> anyhow::Result<()> {
    let pulled = pull::fetch(store, &pending.prepared, pending.identity, &*progress::progress_on(stream))?;
    // Printed when the bars are done, which would overwrite them.
    pulled.iter().filter_map(|image| image.warning.as_ref()).for_each(|text| report::warn(context, text));
    Ok(())
}
