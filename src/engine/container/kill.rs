//! `kill`: sends a signal to a container's first process.

use anyhow::{Context as _, Result};

use dhow_runtime::control::protocol::ControlRequest;
use dhow_runtime::control::request_running;
use dhow_store::Store;

/// Sends `signal` to the container `text`.
pub fn kill(store: &Store, text: &str, signal: i32) -> Result<()> {
    let container = store.find_container(text)?;
    request_running(&container, &ControlRequest::Kill(signal))
        .map(drop)
        .with_context(|| format!("cannot kill container: {text}"))
}
