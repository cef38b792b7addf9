//! `build`: an image from a Dockerfile and its contexts.

pub mod ask;
pub mod export;
pub mod job;
pub mod request;
pub mod run_step;

use request::{BuildRequest, Built};

use crate::build::progress::Watcher;
use crate::model::environment::Environment;
use crate::store::Store;

/// Builds what was asked for.
pub fn build(
    _store: &Store,
    _request: &BuildRequest,
    _environment: &Environment,
    _watcher: &mut dyn Watcher,
) -> anyhow::Result<Built> {
    Err(crate::error::unsupported("the parts that build are not joined yet").into())
}
