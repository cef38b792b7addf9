//! Digests the context files that steps copy or mount: one job per context, started as soon as the plans are
//! known.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::director::{Director, Finished, Token};
use super::job::Place;
use super::load::HostContext;
use crate::build::context::{CopySpec, StatCache, scan};
use crate::build::plan::{CopyOp, Op, Tree};
use crate::build::run_mount::Kind;
use crate::error::Failure;
use crate::model::digest::Digest;
use crate::store::Store;

/// The files that a `CopySpec` selects.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Selected {
    /// Over names, types, modes and contents.
    pub digest: Digest,
    pub bytes: u64,
}

/// Requested scans and their results.
#[derive(Default)]
pub(super) struct Selections {
    wanted: BTreeMap<String, Vec<(String, CopySpec)>>,
    known: BTreeMap<(String, String), Result<Selected, Failure>>,
    jobs: BTreeMap<Token, String>,
}

impl Selections {
    /// Requests the digest of the files that `spec` selects in a context.
    pub(super) fn want(&mut self, name: &str, spec: CopySpec) {
        let id = id(&spec);
        let wanted = self.wanted.entry(name.to_owned()).or_default();
        if !wanted.iter().any(|(known, _)| *known == id) {
            wanted.push((id, spec));
        }
    }

    /// `None` until the scan has finished.
    pub(super) fn get(&self, name: &str, spec: &CopySpec) -> Option<&Result<Selected, Failure>> {
        self.known.get(&(name.to_owned(), id(spec)))
    }

    /// Starts one job for each context.
    pub(super) fn start(
        &mut self,
        director: &mut Director<'_>,
        store: &Store,
        contexts: &BTreeMap<String, HostContext>,
    ) -> Result<()> {
        for (name, wanted) in &self.wanted {
            let Some(context) = contexts.get(name) else { continue };
            let text = match name.as_str() {
                "" => "[internal] load build context".to_owned(),
                name => format!("[context {name}] load from client"),
            };
            let step = director.step(text, Vec::new());
            let token = director.start(step, Place::Here, |reporter| {
                let mut cache = match context.lasting {
                    true => StatCache::parse(&store.context_files(&context.dir)),
                    false => StatCache::default(),
                };
                let mut found = Vec::with_capacity(wanted.len());
                let mut bytes = 0;
                for (_, spec) in wanted {
                    let scanned = scan(&context.source, spec, &mut cache);
                    found.push(match scanned {
                        Ok(scanned) => {
                            bytes += scanned.bytes;
                            Ok(Selected { digest: scanned.digest, bytes: scanned.bytes })
                        }
                        Err(error) => Err(Failure::of(&error)),
                    });
                }
                // Saved, so that the next build does not read unchanged files.
                if context.lasting
                    && let Some(content) = cache.bytes()
                {
                    store.put_context_files(&context.dir, &content)?;
                }
                reporter.status("transferring context:", bytes, 0, true);
                Ok((found, ()))
            })?;
            self.jobs.insert(token, name.clone());
        }
        Ok(())
    }

    /// Takes over the result of a job, if it was started here.
    pub(super) fn hear(&mut self, director: &mut Director<'_>, finished: Finished) -> Result<()> {
        let Some(name) = self.jobs.remove(&finished.token) else { return Ok(()) };
        let found: Result<Vec<Result<Selected, Failure>>> = finished.outcome();
        let step = finished.step;
        director.release(finished);
        let found = director.closing(step, found)?;
        let wanted = self.wanted.get(&name).map(Vec::as_slice).unwrap_or_default();
        for ((id, _), found) in wanted.iter().zip(found) {
            self.known.insert((name.clone(), id.clone()), found);
        }
        Ok(())
    }
}

fn id(spec: &CopySpec) -> String {
    serde_json::to_string(spec).unwrap_or_default()
}

/// The local sources of a copy.
pub(super) fn spec(copy: &CopyOp) -> CopySpec {
    CopySpec {
        sources: copy.local().map(str::to_owned).collect(),
        here_docs: copy.here_docs.clone(),
        target: copy.target.clone(),
        chown: copy.chown.clone().filter(|text| !text.is_empty()),
        chmod: copy.chmod.clone().filter(|text| !text.is_empty()),
        link: copy.link,
        parents: copy.parents,
        exclude: copy.exclude.clone(),
        unpack: copy.unpack.unwrap_or(copy.add),
    }
}

/// The same, reduced to what decides which files are selected.
fn selection(copy: &CopyOp) -> CopySpec {
    CopySpec { here_docs: Vec::new(), target: "/".into(), chown: None, chmod: None, ..spec(copy) }
}

/// All files below a path, for a mount.
pub(super) fn below(path: &str) -> CopySpec {
    CopySpec {
        sources: vec![path.to_owned()],
        here_docs: Vec::new(),
        target: "/".into(),
        chown: None,
        chmod: None,
        link: false,
        parents: false,
        exclude: Vec::new(),
        unpack: false,
    }
}

/// The trees that a step reads, with the selected files if they can be selected.
pub(super) fn trees(op: &Op) -> Vec<(&Tree, Option<CopySpec>)> {
    match op {
        Op::Workdir(_) => Vec::new(),
        Op::Copy(copy) => match copy.local().next() {
            Some(_) => vec![(&copy.from, Some(selection(copy)))],
            None => Vec::new(),
        },
        Op::Run(run) => run
            .mounts
            .iter()
            .filter(|mount| matches!(mount.mount.kind, Kind::Bind | Kind::Cache))
            .map(|mount| (&mount.from, Some(below(&mount.mount.source))))
            .collect(),
    }
}

pub(super) fn of(op: &Op) -> Vec<(&Tree, CopySpec)> {
    trees(op).into_iter().filter_map(|(tree, spec)| Some((tree, spec?))).collect()
}
