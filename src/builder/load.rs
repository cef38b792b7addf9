//! Loads contexts and the Dockerfile, fetching what is remote.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::job::JobUserns;
use super::job_runner::JobRunner;
use super::remote_context::{FetchedContext, fetch_context, fetch_text};
use super::request::{BuildRequest, ContextSource, DockerfileSource};
use dhow_build::context::{SourceTree, load_ignore_file};
use dhow_build::dockerignore::IgnoreFile;
use dhow_build::path_pattern::MatchInfo;
use dhow_error::{Failure, invalid, not_found};
use dhow_model::environment::Environment;
use dhow_store::{Store, TempDir};

/// The largest Dockerfile, in bytes.
pub(crate) const DOCKERFILE_LIMIT: u64 = 16 << 20;
/// The largest ignore file, in bytes.
const IGNORE_LIMIT: u64 = 16 << 20;

/// A context that is a directory on this host.
pub(crate) struct HostContext {
    pub dir: PathBuf,
    /// `dir`, opened, with the ignore file applied.
    pub source: SourceTree,
    pub ignore: IgnoreFile,
    /// Whether the directory outlives the build, so that its stat cache is worth saving.
    pub(crate) persistent: bool,
}

/// A Dockerfile; BuildKit's "build definition".
pub(crate) struct BuildDefinition {
    /// As it is displayed, relative to the context.
    pub name: String,
    pub text: Vec<u8>,
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

pub(crate) fn load_sources(
    director: &mut JobRunner<'_>,
    store: &Store,
    request: &BuildRequest,
    environment: &Environment,
) -> Result<BuildSources> {
    let mut loaded = BuildSources {
        definition: BuildDefinition { name: String::new(), text: Vec::new() },
        contexts: BTreeMap::new(),
        temps: Vec::new(),
        origin: None,
    };
    let (dir, lasting, text) = match &request.context {
        ContextSource::Directory(dir) => (dir.clone(), true, None),
        other => {
            let temp = store.temp_dir()?;
            let brought = fetch_context(director, other, temp.path(), environment, keeps_git_dir(request))?;
            let (dir, text) = match brought {
                FetchedContext::Tree { dir, commit } => {
                    loaded.origin = origin(other, commit);
                    (dir, None)
                }
                FetchedContext::Dockerfile(text) => (temp.path().to_owned(), Some(text)),
            };
            loaded.temps.push(temp);
            (dir, false, text)
        }
    };
    let source = open_context(&dir, "build context")?;
    let found = load_definition(director, store, request, &dir, &source, text, environment)?;
    let step = director.add_step("[internal] load .dockerignore", Vec::new());
    director.step_started(step);
    // The Dockerfile's own ignore file replaces that of the context.
    let ignore = match &found.own_ignore {
        Some((name, text)) => IgnoreFile::parse(name, text).map_err(anyhow::Error::from),
        None => load_ignore_file(&source, None),
    };
    let ignore = director.complete_step(step, ignore)?;
    loaded.definition = BuildDefinition { name: found.name, text: found.text };
    let source = source.with_ignore(ignore.clone());
    loaded.contexts.insert(String::new(), HostContext { dir, source, ignore, persistent: lasting });
    Ok(loaded)
}

fn keeps_git_dir(request: &BuildRequest) -> bool {
    let given = request.args.get("BUILDKIT_CONTEXT_KEEP_GIT_DIR");
    given.is_some_and(|value| matches!(value.as_str(), "1" | "true"))
}

impl BuildSources {
    /// Loads a named context that is a directory, or is fetched into one.
    pub(crate) fn add_context(
        &mut self,
        director: &mut JobRunner<'_>,
        store: &Store,
        name: &str,
        source: &ContextSource,
        environment: &Environment,
    ) -> Result<()> {
        let (dir, lasting) = match source {
            ContextSource::Directory(dir) => (dir.clone(), true),
            other => {
                let temp = store.temp_dir()?;
                let FetchedContext::Tree { dir, .. } =
                    fetch_context(director, other, temp.path(), environment, false)?
                else {
                    return Err(invalid(format!("the build context `{name}` is not an archive")).into());
                };
                self.temps.push(temp);
                (dir, false)
            }
        };
        let source = open_context(&dir, name)?;
        let ignore = load_ignore_file(&source, None)?;
        let source = source.with_ignore(ignore.clone());
        self.contexts.insert(name.to_owned(), HostContext { dir, source, ignore, persistent: lasting });
        Ok(())
    }
}

/// Whether an ignore file excludes a path.
pub(crate) fn is_ignored(ignore: &IgnoreFile, path: &str) -> bool {
    let path = path.trim_matches('/').as_bytes();
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    let mut known = MatchInfo::default();
    for end in ends.chain([path.len()]) {
        known = ignore.below(path.get(..end).unwrap_or_default(), &known);
    }
    known.all
}

fn open_context(dir: &Path, what: &str) -> Result<SourceTree> {
    SourceTree::directory(dir, IgnoreFile::none())
        .with_context(|| format!("cannot read the {what} `{}`", dir.display()))
}

/// A Dockerfile, and the ignore file specific to it (`NAME.dockerignore`).
struct FoundDockerfile {
    name: String,
    text: Vec<u8>,
    own_ignore: Option<(String, Vec<u8>)>,
}

fn load_definition(
    director: &mut JobRunner<'_>,
    store: &Store,
    request: &BuildRequest,
    dir: &Path,
    source: &SourceTree,
    text: Option<Vec<u8>>,
    environment: &Environment,
) -> Result<FoundDockerfile> {
    let shown = match &request.dockerfile {
        DockerfileSource::Path(path) => {
            path.file_name().map_or_else(|| "Dockerfile".into(), |name| name.to_string_lossy().into_owned())
        }
        _ => "Dockerfile".into(),
    };
    let step = director.add_step(format!("[internal] load build definition from {shown}"), Vec::new());
    director.step_started(step);
    let read = match (&request.dockerfile, text) {
        (DockerfileSource::Default, Some(text)) => Ok(dockerfile_only(shown, text)),
        (DockerfileSource::Path(_), Some(_)) => Err(invalid(
            "the context is neither a directory nor an archive, so it has no Dockerfile of that name",
        )
        .into()),
        (DockerfileSource::Default, None) => read_in_context(source, &["Dockerfile", "dockerfile"]),
        (DockerfileSource::Path(path), None) if path.is_absolute() => read_host_file(path, dir),
        (DockerfileSource::Path(path), None) => read_in_context(source, &[&path.to_string_lossy()]),
        (DockerfileSource::Inline(text), _) => Ok(dockerfile_only(shown, text.clone().into_bytes())),
        (DockerfileSource::Stdin, _) => director
            .run_job(step, JobUserns::Inherited, |_| read_limited(stdin()?))
            .map(|text| dockerfile_only(shown, text)),
        (DockerfileSource::Url(address), _) => {
            let address = address.clone();
            let environment = environment.clone();
            let store = store.clone();
            director
                .run_job(step, JobUserns::Inherited, move |_| fetch_text(&store, &address, &environment))
                .map(|text| dockerfile_only(shown, text))
        }
    };
    let found = director.complete_step(step, read)?;
    if found.text.iter().all(u8::is_ascii_whitespace) {
        return Err(invalid("the Dockerfile cannot be empty").into());
    }
    Ok(found)
}

fn dockerfile_only(name: String, text: Vec<u8>) -> FoundDockerfile {
    FoundDockerfile { name, text, own_ignore: None }
}

fn no_dockerfile(name: &str) -> Failure {
    not_found(format!("failed to read dockerfile: open {name}: no such file or directory"))
}

/// Reads the first of these files that exists in the context.
fn read_in_context(source: &SourceTree, names: &[&str]) -> Result<FoundDockerfile> {
    for name in names {
        if let Some(text) = source.read(name, DOCKERFILE_LIMIT)? {
            let beside = format!("{name}.dockerignore");
            let ignore_beside = source.read(&beside, IGNORE_LIMIT)?.map(|text| (beside, text));
            return Ok(FoundDockerfile { name: (*name).to_owned(), text, own_ignore: ignore_beside });
        }
    }
    let first = names.first().copied().unwrap_or("Dockerfile");
    Err(no_dockerfile(first).into())
}

/// Reads a Dockerfile by its host path, which may lie outside the context.
fn read_host_file(path: &Path, context: &Path) -> Result<FoundDockerfile> {
    let shown = path.strip_prefix(context).unwrap_or(path).to_string_lossy().into_owned();
    let read = |path: &Path| match std::fs::File::open(path) {
        Ok(file) => read_limited(file).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    };
    let text = read(path)
        .with_context(|| format!("failed to read dockerfile: open {shown}"))?
        .ok_or_else(|| no_dockerfile(&shown))?;
    let mut ignore = path.as_os_str().to_owned();
    ignore.push(".dockerignore");
    let ignore_beside = read(Path::new(&ignore))?.map(|text| (format!("{shown}.dockerignore"), text));
    Ok(FoundDockerfile { name: shown, text, own_ignore: ignore_beside })
}

pub(crate) fn read_limited(file: std::fs::File) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    // One byte more than allowed shows that the file is too large.
    file.take(DOCKERFILE_LIMIT + 1).read_to_end(&mut text)?;
    if text.len() as u64 > DOCKERFILE_LIMIT {
        return Err(invalid(format!("the Dockerfile has more than {} MiB", DOCKERFILE_LIMIT >> 20)).into());
    }
    Ok(text)
}

pub(crate) fn stdin() -> Result<std::fs::File> {
    // Only the foreground process group may read a terminal, others get SIGTTIN. Jobs have a group of their
    // own, so rejoin the runner's.
    if rustix::termios::isatty(rustix::stdio::stdin()) {
        let director = rustix::process::getppid();
        let _ =
            rustix::process::getpgid(director).and_then(|group| rustix::process::setpgid(None, Some(group)));
    }
    Ok(rustix::io::dup(rustix::stdio::stdin()).context("cannot read standard input")?.into())
}

fn origin(source: &ContextSource, commit: Option<String>) -> Option<(String, Option<String>)> {
    match source {
        ContextSource::Git(address) | ContextSource::Url(address) => Some((address.clone(), commit)),
        _ => None,
    }
}
