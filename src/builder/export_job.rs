//! Runs the exporters: in this process if an image in the store is the only output, else in a job.

use anyhow::Result;

use super::export::{ExportResult, ExporterSet, PlatformResult};
use super::job::JobUserns;
use super::job_runner::JobRunner;
use super::request::BuildResult;
use dhow_model::progress::SilentProgress;
use dhow_store::Store;

pub(crate) fn run_exports(
    director: &mut JobRunner<'_>,
    store: &Store,
    exports: &ExporterSet,
    outputs: &[PlatformResult],
) -> Result<BuildResult> {
    let steps: Vec<_> =
        exports.step_titles().iter().map(|title| director.add_step(*title, Vec::new())).collect();
    let Some(&first) = steps.first() else { return Ok(BuildResult::default()) };
    for step in &steps {
        director.step_started(*step);
    }
    for warning in &exports.warnings {
        director.log(first, &format!("{warning}\n"));
    }
    let exported = if exports.is_store_only() {
        exports.export_all(
            store,
            outputs,
            &mut |line| director.status(first, line, 0, 0, true),
            &SilentProgress,
        )
    } else {
        director.run_job(first, JobUserns::Root, |reporter| {
            exports.export_all(store, outputs, &mut |line| reporter.status(line, 0, 0, true), reporter)
        })
    };
    let exported: ExportResult = match exported {
        Ok(exported) => exported,
        Err(error) => {
            director.step_failed(first, super::solve_error::one_line(&error));
            return Err(error);
        }
    };
    for step in steps {
        director.step_completed(step);
    }
    Ok(BuildResult {
        image: exported.image,
        manifest: exported.manifest,
        metadata: exported.metadata,
        ..BuildResult::default()
    })
}
