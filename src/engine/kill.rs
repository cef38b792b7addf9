//! `kill`: sends a signal to a container's first process.

use anyhow::{Context as _, Result};

use super::attach::wire::ControlRequest;
use super::control::request_running;
use crate::store::Store;

/// Sends `signal` to the container `text`.
pub fn kill(store: &Store, text: &str, signal: i32) -> Result<()> {
    let container = store.find_container(text)?;
    request_running(&container, &ControlRequest::Kill(signal))
        .map(drop)
        .with_context(|| format!("cannot kill container: {text}"))
}
