//! Runs the exporters: in this process if an image in the store is the only output, else in a job.

use anyhow::Result;

use crate::export::{ExportResult, ExporterSet, PlatformResult};
use crate::job::JobUserns;
use crate::job::runner::JobRunner;
use crate::request::BuildResult;
use dhow_model::progress::SilentProgress;
use dhow_store::Store;

pub(crate) fn run_exports(
    runner: &mut JobRunner<'_>,
    store: &Store,
    exports: &ExporterSet,
    outputs: &[PlatformResult],
) -> Result<BuildResult> {
    let steps: Vec<_> =
        exports.step_titles().iter().map(|title| runner.add_step(*title, Vec::new())).collect();
    let Some(&first) = steps.first() else { return Ok(BuildResult::default()) };
    for step in &steps {
        runner.step_started(*step);
    }
    for warning in &exports.warnings {
        runner.log(first, &format!("{warning}\n"));
    }
    let exported = if exports.is_store_only() {
        exports.export_all(
            store,
            outputs,
            &mut |line| runner.status(first, line, 0, 0, true),
            &SilentProgress,
        )
    } else {
        runner.run_job(first, JobUserns::Root, |reporter| {
            exports.export_all(store, outputs, &mut |line| reporter.status(line, 0, 0, true), reporter)
        })
    };
    let exported: ExportResult = match exported {
        Ok(exported) => exported,
        Err(error) => {
            runner.step_failed(first, crate::solve_error::one_line(&error));
            return Err(error);
        }
    };
    for step in steps {
        runner.step_completed(step);
    }
    Ok(BuildResult {
        image: exported.image,
        manifest: exported.manifest,
        metadata: exported.metadata,
        ..BuildResult::default()
    })
}
