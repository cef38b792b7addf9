//! Remote caches as the solver uses them: imported before the first step, queried for keys that the store
//! lacks, written at the end.

use anyhow::Result;

use super::job::JobUserns as Where;
use super::job_runner::JobRunner;
use super::remote_cache::{ExportRecord, ImportedCache, RemoteCache};
use super::solve::{Solver, StageId, StepResult};
use super::solve_error;
use dhow_build::plan::{BuildPlan, InputTree, PlanStep};
use dhow_build::progress::StepId;
use dhow_model::digest::Digest;
use dhow_model::platform::Platform;
use dhow_store::{StepRecord, Store};

/// Imports the records of every `--cache-from`.
pub(crate) fn import_caches(
    director: &mut JobRunner<'_>,
    remote: &mut RemoteCache,
    platform: &Platform,
) -> Result<()> {
    for (source, title) in remote.step_titles().into_iter().enumerate() {
        let step = director.add_step(title, Vec::new());
        let found = director.run_job(step, Where::Inherited, |_| Ok(remote.import(source, platform)));
        let imported: ImportedCache = director.complete_step(step, found)?;
        for warning in &imported.warnings {
            director.log(step, &format!("WARNING: {warning}\n"));
        }
        remote.add_imported(imported);
    }
    Ok(())
}

/// Fetches the result for a key from a remote cache into the store, layer included. A failed download is a
/// warning and counts as a miss.
pub(crate) fn fetch_result(
    solver: &mut Solver<'_, '_, '_>,
    id: StepId,
    step: &PlanStep,
    key: &Digest,
) -> Result<Option<StepResult>> {
    let (matter, ownership) = (solver.build, solver.ownership);
    let Some(found) = matter.remote_cache.get(key) else { return Ok(None) };
    // Recorded in the store like a local result, so the next build needs no remote cache.
    let remember = |size: u64| -> Result<()> {
        let layer = found.layer.as_ref().map(|layer| layer.diff_id.clone());
        let mut record = StepRecord::new(layer, size, step.shown.clone());
        if !found.created.is_empty() {
            record.created.clone_from(&found.created);
        }
        matter.store.put_step(key, &record)
    };
    if let Some(layer) = &found.layer {
        let fetched = solver.runner.run_job(id, Where::Root, |reporter| {
            let lease = matter.remote_cache.fetch_layer(matter.store, layer, ownership, reporter)?;
            remember(lease.size)
        });
        if let Err(error) = fetched {
            let text = solve_error::one_line(&error);
            solver.runner.log(id, &format!("WARNING: cannot fetch the cached layer: {text}\n"));
            return Ok(None);
        }
    } else {
        remember(0)?;
    }
    solver.load_cached(key)
}

/// The results to export: those of the stages that each target is built on (`mode=min`), or all (`mode=max`).
pub(crate) fn export_records(
    solver: &Solver<'_, '_, '_>,
    plans: &[BuildPlan],
    all: bool,
) -> Vec<ExportRecord> {
    let mut entries = Vec::new();
    let mut add = |place: StageId| {
        for done in solver.stage_progress(place).into_iter().flat_map(|progress| &progress.results) {
            entries.push(ExportRecord {
                key: done.key.clone(),
                layer: done.layer.clone(),
                created: done.created.clone(),
            });
        }
    };
    for (index, plan) in plans.iter().enumerate() {
        if all {
            plan.needed().for_each(|(stage, _)| add((index, stage)));
            continue;
        }
        // From the target along the chain of `FROM`s.
        let mut next = Some(plan.target);
        while let Some(stage) = next {
            add((index, stage));
            next = match plan.stages.get(stage).and_then(|stage| stage.as_ref()).map(|stage| &stage.base) {
                Some(InputTree::Stage(below)) => Some(*below),
                _ => None,
            };
        }
    }
    entries
}

pub(crate) fn export_caches(
    director: &mut JobRunner<'_>,
    store: &Store,
    remote: &RemoteCache,
    result: &[ExportRecord],
    all: &[ExportRecord],
) -> Result<()> {
    if !remote.has_exports() {
        return Ok(());
    }
    let step = director.add_step("exporting cache", Vec::new());
    let written = director.run_job(step, Where::Root, |reporter| {
        remote.export(
            store,
            result,
            all,
            &mut |line| reporter.log(1, format!("{line}\n").as_bytes()),
            reporter,
        )
    });
    director.complete_step(step, written)
}
