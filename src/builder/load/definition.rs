//! The Dockerfile of a build: in the context, elsewhere on the host, on standard input, at a URL, or inline.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::SourceLoader;
use super::input::{DOCKERFILE_LIMIT, read_limited, stdin};
use super::remote_context::fetch_text;
use crate::job::JobUserns;
use crate::request::DockerfileSource;
use dhow_build::context::SourceTree;
use dhow_error::{Failure, invalid, not_found};

/// The largest ignore file, in bytes.
const IGNORE_LIMIT: u64 = 16 << 20;

/// A Dockerfile; BuildKit's "build definition".
pub(crate) struct BuildDefinition {
    /// As it is displayed, relative to the context.
    pub(crate) name: String,
    pub(crate) text: Vec<u8>,
    /// Name and content of the ignore file specific to it (`NAME.dockerignore`).
    pub(super) own_ignore: Option<(String, Vec<u8>)>,
}

impl SourceLoader<'_, '_> {
    /// Reads the Dockerfile. `dir` and `source` are the main context; `text` is what came in place of an
    /// archive.
    pub(super) fn load_definition(
        &mut self,
        dir: &Path,
        source: &SourceTree,
        text: Option<Vec<u8>>,
    ) -> Result<BuildDefinition> {
        let name = match &self.request.dockerfile {
            DockerfileSource::Path(path) => path
                .file_name()
                .map_or_else(|| "Dockerfile".into(), |name| name.to_string_lossy().into_owned()),
            _ => "Dockerfile".into(),
        };
        let step = self.runner.add_step(format!("[internal] load build definition from {name}"), Vec::new());
        self.runner.step_started(step);
        let result = match (&self.request.dockerfile, text) {
            (DockerfileSource::Default, Some(text)) => Ok(dockerfile_only(name, text)),
            (DockerfileSource::Path(_), Some(_)) => Err(invalid(
                "the context is neither a directory nor an archive, so it has no Dockerfile of that name",
            )
            .into()),
            (DockerfileSource::Default, None) => read_in_context(source, &["Dockerfile", "dockerfile"]),
            (DockerfileSource::Path(path), None) if path.is_absolute() => read_host_file(path, dir),
            (DockerfileSource::Path(path), None) => read_in_context(source, &[&path.to_string_lossy()]),
            (DockerfileSource::Inline(text), _) => Ok(dockerfile_only(name, text.clone().into_bytes())),
            (DockerfileSource::Stdin, _) => self
                .runner
                .run_job(step, JobUserns::Inherited, |_| read_limited(stdin()?))
                .map(|text| dockerfile_only(name, text)),
            (DockerfileSource::Url(address), _) => {
                let address = address.clone();
                let (store, environment) = (self.store.clone(), self.environment.clone());
                self.runner
                    .run_job(step, JobUserns::Inherited, move |_| fetch_text(&store, &address, &environment))
                    .map(|text| dockerfile_only(name, text))
            }
        };
        let definition = self.runner.complete_step(step, result)?;
        if definition.text.iter().all(u8::is_ascii_whitespace) {
            return Err(invalid("the Dockerfile cannot be empty").into());
        }
        Ok(definition)
    }
}

fn dockerfile_only(name: String, text: Vec<u8>) -> BuildDefinition {
    BuildDefinition { name, text, own_ignore: None }
}

fn no_dockerfile(name: &str) -> Failure {
    not_found(format!("failed to read dockerfile: open {name}: no such file or directory"))
}

/// Reads the first of these files that exists in the context.
fn read_in_context(source: &SourceTree, names: &[&str]) -> Result<BuildDefinition> {
    for name in names {
        if let Some(text) = source.read(name, DOCKERFILE_LIMIT)? {
            let ignore_name = format!("{name}.dockerignore");
            let own_ignore = source.read(&ignore_name, IGNORE_LIMIT)?.map(|text| (ignore_name, text));
            return Ok(BuildDefinition { name: (*name).to_owned(), text, own_ignore });
        }
    }
    let first = names.first().copied().unwrap_or("Dockerfile");
    Err(no_dockerfile(first).into())
}

/// Reads a Dockerfile by its host path, which may lie outside the context.
fn read_host_file(path: &Path, context: &Path) -> Result<BuildDefinition> {
    let name = path.strip_prefix(context).unwrap_or(path).to_string_lossy().into_owned();
    let read = |path: &Path| match std::fs::File::open(path) {
        Ok(file) => read_limited(file).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    };
    let text = read(path)
        .with_context(|| format!("failed to read dockerfile: open {name}"))?
        .ok_or_else(|| no_dockerfile(&name))?;
    let mut ignore = path.as_os_str().to_owned();
    ignore.push(".dockerignore");
    let own_ignore = read(Path::new(&ignore))?.map(|text| (format!("{name}.dockerignore"), text));
    Ok(BuildDefinition { name, text, own_ignore })
}
