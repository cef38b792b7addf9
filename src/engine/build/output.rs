//! Runs the exporters: in this process if an image in the store is the only output, else in a job.

use anyhow::Result;

use super::director::Director;
use super::export::{Exported, Exports, Output};
use super::job::Place;
use super::request::Built;
use crate::model::progress::Silent;
use crate::store::Store;

pub(super) fn export(
    director: &mut Director<'_>,
    store: &Store,
    exports: &Exports,
    outputs: &[Output],
) -> Result<Built> {
    let steps: Vec<_> = exports.titles().iter().map(|title| director.step(*title, Vec::new())).collect();
    let Some(&first) = steps.first() else { return Ok(Built::default()) };
    for step in &steps {
        director.started(*step);
    }
    for warning in &exports.warnings {
        director.log(first, &format!("{warning}\n"));
    }
    let exported = if exports.is_plain() {
        exports.run(store, outputs, &mut |line| director.status(first, line, 0, 0, true), &Silent)
    } else {
        director.run(first, Place::Root, |reporter| {
            exports.run(store, outputs, &mut |line| reporter.status(line, 0, 0, true), reporter)
        })
    };
    let exported: Exported = match exported {
        Ok(exported) => exported,
        Err(error) => {
            director.failed(first, super::report::one_line(&error));
            return Err(error);
        }
    };
    for step in steps {
        director.done(step);
    }
    Ok(Built {
        image: exported.image,
        manifest: exported.manifest,
        metadata: exported.metadata,
        ..Built::default()
    })
}
