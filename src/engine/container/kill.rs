//! `kill`: sends a signal to a container's first process.

use anyhow::{Context as _, Result};

use dhow_runtime::control::protocol::ControlRequest;
use dhow_runtime::control::{request_end, request_running};
use dhow_store::Store;

/// Sends `signal` to the container `text`. Returns from SIGKILL when the container has ended, so that it can be removed
/// at once, as docker does; other signals may mean anything to it.
pub fn kill(store: &Store, text: &str, signal: i32) -> Result<()> {
    let request = ControlRequest::Kill(signal);
    let sent = store.find_container(text).and_then(|container| match signal {
        libc::SIGKILL => request_end(&container, &request),
        _ => request_running(&container, &request).map(drop),
    });
    sent.with_context(|| format!("cannot kill container: {text}"))
}
