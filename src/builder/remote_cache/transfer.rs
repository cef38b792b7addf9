//! Remote caches as the solver uses them: imported before the first step, queried for keys that the store
//! lacks, written at the end.

use anyhow::Result;

use super::{ImportedCache, RemoteCache};
use crate::job::JobUserns;
use crate::job::runner::JobRunner;
use crate::solve_error;
use crate::step::StepResult;
use dhow_build::progress::StepId;
use dhow_model::digest::Digest;
use dhow_model::platform::Platform;
use dhow_store::{StepRecord, Store};

/// Imports the records of every `--cache-from`.
pub(crate) fn import_caches(
    runner: &mut JobRunner<'_>,
    remote: &mut RemoteCache,
    platform: &Platform,
) -> Result<()> {
    for (source, title) in remote.step_titles().into_iter().enumerate() {
        let step = runner.add_step(title, Vec::new());
        let result = runner.run_job(step, JobUserns::Inherited, |_| Ok(remote.import(source, platform)));
        let imported: ImportedCache = runner.complete_step(step, result)?;
        for warning in &imported.warnings {
            runner.log(step, &format!("WARNING: {warning}\n"));
        }
        remote.add_imported(imported);
    }
    Ok(())
}

/// Fetches the result for a key from a remote cache into the store, layer included. False if there is none; a
/// failed download is a warning and counts as a miss.
pub(crate) fn fetch_result(
    runner: &mut JobRunner<'_>,
    remote: &RemoteCache,
    store: &Store,
    id: StepId,
    title: &str,
    key: &Digest,
) -> Result<bool> {
    let Some(remote_result) = remote.get(key) else { return Ok(false) };
    // Recorded in the store like a local result, so the next build needs no remote cache.
    let record_step = |size: u64| -> Result<()> {
        let layer = remote_result.layer.as_ref().map(|layer| layer.diff_id.clone());
        let mut record = StepRecord::new(layer, size, title);
        if !remote_result.created.is_empty() {
            record.created.clone_from(&remote_result.created);
        }
        store.put_step(key, &record)
    };
    let Some(layer) = &remote_result.layer else {
        record_step(0)?;
        return Ok(true);
    };
    let ownership = runner.ownership();
    let fetched = runner.run_job(id, JobUserns::Root, |reporter| {
        let lease = remote.fetch_layer(store, layer, ownership, reporter)?;
        record_step(lease.size)
    });
    if let Err(error) = fetched {
        let text = solve_error::one_line(&error);
        runner.log(id, &format!("WARNING: cannot fetch the cached layer: {text}\n"));
        return Ok(false);
    }
    Ok(true)
}

pub(crate) fn export_caches(
    runner: &mut JobRunner<'_>,
    store: &Store,
    remote: &RemoteCache,
    target_results: &[StepResult],
    all_results: &[StepResult],
) -> Result<()> {
    if !remote.has_exports() {
        return Ok(());
    }
    let step = runner.add_step("exporting cache", Vec::new());
    let written = runner.run_job(step, JobUserns::Root, |reporter| {
        remote.export(
            store,
            target_results,
            all_results,
            &mut |line| reporter.log(1, format!("{line}\n").as_bytes()),
            reporter,
        )
    });
    runner.complete_step(step, written)
}
