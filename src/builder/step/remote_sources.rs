//! The remote sources of `ADD`: files at URLs and git repositories. Resolving finds the commit, or asks the
//! server whether a known file has changed (a file that is new or changed arrives with the answer). The rest
//! is downloaded only if the cache has no result for the completed key.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::fs::Mode;
use serde::{Deserialize, Serialize};

use crate::sources::{git, http};
use dhow_build::plan::CopyOp;
use dhow_error::Failure;
use dhow_image::registry::text::without_userinfo;
use dhow_model::digest::Digest;
use dhow_model::environment::Environment;
use dhow_store::{StepRecord, Store};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RemoteSource {
    /// Identifies the content, for the cache key.
    pub input: String,
    /// False if it was resolved without being downloaded.
    pub downloaded: bool,
    /// The directory it was downloaded into.
    pub dir: PathBuf,
    /// The path below `dir` to copy.
    pub path: String,
}

/// Resolves the URLs of `op`; with `download`, downloads them below `into`. Called in a job.
pub(crate) fn fetch_sources(
    store: &Store,
    environment: &Environment,
    op: &CopyOp,
    into: &Path,
    download: bool,
) -> Result<Vec<RemoteSource>> {
    let mut sources = Vec::new();
    for (number, address) in op.remote().enumerate() {
        // The second round gets directories of its own.
        let dir = into.join(format!("{number}{}", if download { "b" } else { "" }));
        rustix::fs::mkdir(&dir, Mode::RWXU).context("cannot make a directory for what ADD fetches")?;
        let fetched = match git::parse_git_url(address) {
            Some(repository) => from_git(environment, op, &repository?, &dir, download),
            None => from_url(store, environment, op, address, &dir, download),
        };
        sources.push(fetched?);
    }
    Ok(sources)
}

fn from_git(
    environment: &Environment,
    op: &CopyOp,
    repository: &git::GitUrl,
    dir: &Path,
    download: bool,
) -> Result<RemoteSource> {
    let options = git::GitOptions {
        keep_git_dir: op.keep_git_dir,
        checksum: op.checksum.clone().filter(|checksum| !checksum.is_empty()),
        ..git::GitOptions::new(environment)
    };
    let commit = git::resolve_commit(repository, &options)?;
    let input = format!("git {} {commit} {}", repository.remote, repository.subdir);
    let dir = if download { git::checkout(repository, &commit, dir, &options)? } else { dir.to_owned() };
    Ok(RemoteSource { input, downloaded: download, dir, path: "/".into() })
}

fn from_url(
    store: &Store,
    environment: &Environment,
    op: &CopyOp,
    address: &str,
    dir: &Path,
    download: bool,
) -> Result<RemoteSource> {
    let checksum = match op.checksum.as_deref().filter(|checksum| !checksum.is_empty()) {
        Some(text) => Some(text.parse::<Digest>().map_err(|error: Failure| error)?),
        None => None,
    };
    let key =
        Digest::of(format!("download\n{address}\n{}", op.checksum.as_deref().unwrap_or_default()).as_bytes());
    let previous: Option<http::DownloadedFile> = match store.step(&key)? {
        // When downloading, send no ETag: a 304 has no content.
        Some((_, record)) if !download => {
            record.downloads.into_iter().next().and_then(|file| serde_json::from_value(file).ok())
        }
        _ => None,
    };
    let outcome =
        http::HttpDownloader::new(environment)?.fetch(address, checksum.as_ref(), previous.as_ref(), dir)?;
    let (file, downloaded) = match (outcome, previous) {
        (http::DownloadOutcome::Fetched(file), _) => {
            // Recorded like a step, so that the next build can ask the server with If-None-Match.
            let record = StepRecord {
                downloads: vec![serde_json::to_value(&file)?],
                ..StepRecord::new(None, 0, address)
            };
            store.put_step(&key, &record)?;
            (file, true)
        }
        (http::DownloadOutcome::Unchanged, Some(file)) => (file, false),
        (http::DownloadOutcome::Unchanged, None) => {
            anyhow::bail!("{}: the server sent nothing", without_userinfo(address))
        }
    };
    let input = format!("url {} {}", file.name, file.digest);
    Ok(RemoteSource { input, downloaded, dir: dir.to_owned(), path: format!("/{}", file.name) })
}
