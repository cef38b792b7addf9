//! Fetches contexts and Dockerfiles that are not local: standard input, git repositories, URLs.

use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::input::{read_limited, stdin};
use crate::job::JobUserns;
use crate::job::runner::JobRunner;
use crate::request::ContextSource;
use crate::sources::{git, http, tar};
use dhow_error::{Failure, FailureKind, invalid};
use dhow_image::registry::text::without_userinfo;
use dhow_model::environment::Environment;
use dhow_store::Store;

#[derive(Serialize, Deserialize)]
pub(crate) enum FetchedContext {
    /// A directory, with the commit if it comes from git.
    Tree { dir: PathBuf, commit: Option<String> },
    /// A Dockerfile instead of an archive.
    Dockerfile(Vec<u8>),
}

/// Downloads a text. Called in a job.
pub(crate) fn fetch_text(store: &Store, address: &str, environment: &Environment) -> Result<Vec<u8>> {
    let temp = store.temp_dir()?;
    let file = download(address, temp.path(), environment)?;
    read_limited(std::fs::File::open(file)?)
}

/// Called in a job.
fn download(address: &str, into: &Path, environment: &Environment) -> Result<PathBuf> {
    match http::HttpDownloader::new(environment)?.fetch(address, None, None, into)? {
        http::DownloadOutcome::Fetched(file) => Ok(into.join(&file.name)),
        http::DownloadOutcome::Unchanged => {
            let message = format!("{}: the server sent nothing", without_userinfo(address));
            Err(Failure::new(FailureKind::Network, message).into())
        }
    }
}

/// Fetches a context into the directory `into`, in a job.
pub(crate) fn fetch_context(
    runner: &mut JobRunner<'_>,
    source: &ContextSource,
    into: &Path,
    environment: &Environment,
    keep_git_dir: bool,
) -> Result<FetchedContext> {
    let name = match source {
        ContextSource::Git(address) => format!("[internal] load git source {}", without_userinfo(address)),
        ContextSource::Url(address) => {
            format!("[internal] load remote build context {}", without_userinfo(address))
        }
        _ => "[internal] load remote build context".to_owned(),
    };
    let step = runner.add_step(name, Vec::new());
    let (source, into, environment) = (source.clone(), into.to_owned(), environment.clone());
    let fetched = runner.run_job(step, JobUserns::Inherited, move |_| {
        fetch_in_job(&source, &into, &environment, keep_git_dir)
    });
    runner.complete_step(step, fetched)
}

/// Called in a job.
fn fetch_in_job(
    source: &ContextSource,
    into: &Path,
    environment: &Environment,
    keep_git_dir: bool,
) -> Result<FetchedContext> {
    match source {
        ContextSource::Stdin => unpack_or_read(stdin()?, into),
        ContextSource::Git(address) => {
            let url = git::parse_git_url(address).ok_or_else(|| {
                let shown = without_userinfo(address);
                invalid(format!("`{shown}` is not the address of a git repository"))
            })??;
            let options = git::GitOptions { keep_git_dir, ..git::GitOptions::new(environment) };
            let commit = git::resolve_commit(&url, &options)?;
            let dir = git::checkout(&url, &commit, into, &options)?;
            Ok(FetchedContext::Tree { dir, commit: Some(commit) })
        }
        ContextSource::Url(address) => {
            let file = std::fs::File::open(download(address, into, environment)?)?;
            unpack_or_read(file, &into.join(".context"))
        }
        other => Err(invalid(format!("a context of this kind cannot be brought here: {other:?}")).into()),
    }
}

fn unpack_or_read(file: std::fs::File, into: &Path) -> Result<FetchedContext> {
    let mut input = BufReader::with_capacity(1 << 16, file);
    if !tar::looks_like_archive(&mut input)? {
        return read_limited(input).map(FetchedContext::Dockerfile);
    }
    // Exists for standard input; for a URL it lies next to the downloaded file.
    match rustix::fs::mkdir(into, rustix::fs::Mode::RWXU) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    tar::unpack_context(input, into)?;
    Ok(FetchedContext::Tree { dir: into.to_owned(), commit: None })
}
