//! Contexts and Dockerfiles that are elsewhere: standard input, git repositories, URLs.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::director::Director;
use super::request::ContextSource;
use crate::error::unsupported;
use crate::model::environment::Environment;
use crate::store::Store;

/// Where something that was fetched is.
#[derive(Serialize, Deserialize)]
pub(super) enum Brought {
    /// In this directory, of this commit if it comes from git.
    Tree {
        /// The directory.
        dir: PathBuf,
        /// The commit.
        commit: Option<String>,
    },
    /// It is no tree but a Dockerfile.
    Dockerfile(Vec<u8>),
}

/// The text at an address. In a job.
pub(super) fn text_at(_store: &Store, _address: &str, _environment: &Environment) -> Result<Vec<u8>> {
    Err(unsupported("not joined yet").into())
}

/// Brings a context here, into `into`.
pub(super) fn bring(
    _director: &mut Director<'_>,
    _source: &ContextSource,
    _into: &Path,
    _environment: &Environment,
) -> Result<Brought> {
    Err(unsupported("not joined yet").into())
}
