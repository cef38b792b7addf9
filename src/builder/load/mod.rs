//! Loads contexts and the Dockerfile, fetching what is remote.

mod definition;
mod input;
pub(crate) mod oci_layout;
mod remote_context;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use self::definition::BuildDefinition;
use self::remote_context::{FetchedContext, fetch_context};
use crate::job::runner::JobRunner;
use crate::request::{BuildRequest, ContextSource};
use dhow_build::context::{SourceTree, load_ignore_file};
use dhow_build::dockerignore::IgnoreFile;
use dhow_build::path_pattern::MatchInfo;
use dhow_error::invalid;
use dhow_model::environment::Environment;
use dhow_store::{Store, TempDir};

/// A context that is a directory on this host.
pub(crate) struct HostContext {
    pub dir: PathBuf,
    /// `dir`, opened, with the ignore file applied.
    pub source: SourceTree,
    pub ignore: IgnoreFile,
    /// Whether the directory outlives the build, so that its stat cache is worth saving.
    pub(crate) persistent: bool,
}

pub(crate) struct BuildSources {
    pub definition: BuildDefinition,
    /// The contexts that are directories. The main one has the empty name.
    pub contexts: BTreeMap<String, HostContext>,
    /// Directories of fetched contexts, removed on drop.
    temps: Vec<TempDir>,
    /// For the provenance: the URL of the main context, and its commit.
    pub origin: Option<(String, Option<String>)>,
}

/// Loads the sources of one build.
pub(crate) struct SourceLoader<'l, 'w> {
    pub(crate) runner: &'l mut JobRunner<'w>,
    pub(crate) store: &'l Store,
    pub(crate) request: &'l BuildRequest,
    pub(crate) environment: &'l Environment,
}

impl SourceLoader<'_, '_> {
    /// Loads the main context and the Dockerfile.
    pub(crate) fn load(mut self) -> Result<BuildSources> {
        let mut temps = Vec::new();
        let mut from = None;
        let (dir, persistent, text) = match &self.request.context {
            ContextSource::Directory(dir) => (dir.clone(), true, None),
            other => {
                let temp = self.store.temp_dir()?;
                let keep_git_dir = self.request.is_arg_set("BUILDKIT_CONTEXT_KEEP_GIT_DIR");
                let fetched = fetch_context(self.runner, other, temp.path(), self.environment, keep_git_dir)?;
                let (dir, text) = match fetched {
                    FetchedContext::Tree { dir, commit } => {
                        from = origin(other, commit);
                        (dir, None)
                    }
                    FetchedContext::Dockerfile(text) => (temp.path().to_owned(), Some(text)),
                };
                temps.push(temp);
                (dir, false, text)
            }
        };
        let source = open_context(&dir, "build context")?;
        let definition = self.load_definition(&dir, &source, text)?;
        let step = self.runner.add_step("[internal] load .dockerignore", Vec::new());
        self.runner.step_started(step);
        // The Dockerfile's own ignore file replaces that of the context.
        let ignore = match &definition.own_ignore {
            Some((name, text)) => IgnoreFile::parse(name, text).map_err(anyhow::Error::from),
            None => load_ignore_file(&source, None),
        };
        let ignore = self.runner.complete_step(step, ignore)?;
        let source = source.with_ignore(ignore.clone());
        let context = HostContext { dir, source, ignore, persistent };
        Ok(BuildSources {
            definition,
            contexts: BTreeMap::from([(String::new(), context)]),
            temps,
            origin: from,
        })
    }

    /// Loads a named context that is a directory, or is fetched into one.
    pub(crate) fn add_context(
        self,
        sources: &mut BuildSources,
        name: &str,
        source: &ContextSource,
    ) -> Result<()> {
        let (dir, persistent) = match source {
            ContextSource::Directory(dir) => (dir.clone(), true),
            other => {
                let temp = self.store.temp_dir()?;
                let fetched = fetch_context(self.runner, other, temp.path(), self.environment, false)?;
                let FetchedContext::Tree { dir, .. } = fetched else {
                    return Err(invalid(format!("the build context `{name}` is not an archive")).into());
                };
                sources.temps.push(temp);
                (dir, false)
            }
        };
        let source = open_context(&dir, name)?;
        let ignore = load_ignore_file(&source, None)?;
        let source = source.with_ignore(ignore.clone());
        sources.contexts.insert(name.to_owned(), HostContext { dir, source, ignore, persistent });
        Ok(())
    }
}

/// Whether an ignore file excludes a path.
pub(crate) fn is_ignored(ignore: &IgnoreFile, path: &str) -> bool {
    let path = path.trim_matches('/').as_bytes();
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    // Parents first, since a pattern that matches a directory decides for what is below it.
    let mut matched = MatchInfo::default();
    for end in ends.chain([path.len()]) {
        matched = ignore.below(path.get(..end).unwrap_or_default(), &matched);
    }
    matched.all
}

fn open_context(dir: &Path, label: &str) -> Result<SourceTree> {
    SourceTree::directory(dir, IgnoreFile::none())
        .with_context(|| format!("cannot read the {label} `{}`", dir.display()))
}

fn origin(source: &ContextSource, commit: Option<String>) -> Option<(String, Option<String>)> {
    match source {
        ContextSource::Git(address) | ContextSource::Url(address) => Some((address.clone(), commit)),
        _ => None,
    }
}
