//! Digests the context files that steps copy or mount: one job per context, started as soon as the plans are
//! known.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::job::JobUserns;
use crate::job::runner::{FinishedJob, JobId, JobRunner};
use crate::load::HostContext;
use dhow_build::context::{CopySpec, StatCache, scan_source};
use dhow_error::Failure;
use dhow_model::digest::Digest;
use dhow_store::Store;

/// The files that a `CopySpec` selects.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ScannedFiles {
    /// Over names, types, modes and contents.
    pub digest: Digest,
    pub bytes: u64,
}

/// Requested scans and their results.
#[derive(Default)]
pub(crate) struct ContextScans {
    requested: BTreeMap<String, Vec<(String, CopySpec)>>,
    results: BTreeMap<(String, String), Result<ScannedFiles, Failure>>,
    jobs: BTreeMap<JobId, String>,
}

impl ContextScans {
    /// Requests the digest of the files that `spec` selects in a context.
    pub(crate) fn request(&mut self, name: &str, spec: CopySpec) {
        let id = spec_id(&spec);
        let specs = self.requested.entry(name.to_owned()).or_default();
        if !specs.iter().any(|(known, _)| *known == id) {
            specs.push((id, spec));
        }
    }

    /// `None` until the scan has finished.
    pub(crate) fn get(&self, name: &str, spec: &CopySpec) -> Option<&Result<ScannedFiles, Failure>> {
        self.results.get(&(name.to_owned(), spec_id(spec)))
    }

    /// Starts one job for each context.
    pub(crate) fn start(
        &mut self,
        runner: &mut JobRunner<'_>,
        store: &Store,
        contexts: &BTreeMap<String, HostContext>,
    ) -> Result<()> {
        for (name, specs) in &self.requested {
            let Some(context) = contexts.get(name) else { continue };
            let text = match name.as_str() {
                "" => "[internal] load build context".to_owned(),
                name => format!("[context {name}] load from client"),
            };
            let step = runner.add_step(text, Vec::new());
            let job = runner.start_job(step, JobUserns::Inherited, |reporter| {
                let mut cache = match context.persistent {
                    true => StatCache::parse(&store.context_files(&context.dir)),
                    false => StatCache::default(),
                };
                let mut results = Vec::with_capacity(specs.len());
                let mut bytes = 0;
                for (_, spec) in specs {
                    let scanned = scan_source(&context.source, spec, &mut cache);
                    results.push(match scanned {
                        Ok(scanned) => {
                            bytes += scanned.bytes;
                            Ok(ScannedFiles { digest: scanned.digest, bytes: scanned.bytes })
                        }
                        Err(error) => Err(Failure::from_chain(&error)),
                    });
                }
                // Saved, so that the next build does not read unchanged files.
                if context.persistent
                    && let Some(content) = cache.bytes()
                {
                    store.put_context_files(&context.dir, &content)?;
                }
                reporter.status("transferring context:", bytes, 0, true);
                Ok((results, ()))
            })?;
            self.jobs.insert(job, name.clone());
        }
        Ok(())
    }

    /// Takes over the result of a job, if it was started here.
    pub(crate) fn job_finished(&mut self, runner: &mut JobRunner<'_>, finished: FinishedJob) -> Result<()> {
        let Some(name) = self.jobs.remove(&finished.id) else { return Ok(()) };
        let results: Result<Vec<Result<ScannedFiles, Failure>>> = finished.outcome();
        let step = finished.step;
        runner.release(finished);
        let results = runner.complete_step(step, results)?;
        let specs = self.requested.get(&name).map(Vec::as_slice).unwrap_or_default();
        for ((id, _), result) in specs.iter().zip(results) {
            self.results.insert((name.clone(), id.clone()), result);
        }
        Ok(())
    }
}

fn spec_id(spec: &CopySpec) -> String {
    serde_json::to_string(spec).unwrap_or_default()
}
