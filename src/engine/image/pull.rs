//! `pull`: pulls images from a registry into the store.

use anyhow::Result;

use super::demo;
use dhow_error::invalid;
use dhow_image::pull::request;
use dhow_model::environment::Environment;

pub use request::{PreparedPull, PullRequest, fetch};

/// Finds servers and credentials. Runs credential helpers; starts no threads.
pub fn prepare(environment: &Environment, request: PullRequest) -> Result<PreparedPull> {
    let name = request.reference.familiar();
    // The conflict of flags is reported first.
    request.check()?;
    if demo::is_demo(&name) {
        return Err(invalid("the demonstration is built into dhow and on no registry")
            .hint(format!("`dhow run {name}` makes it"))
            .into());
    }
    request::prepare(environment, request)
}
