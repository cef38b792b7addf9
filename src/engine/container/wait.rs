//! `wait`: waits until a container exits.

use anyhow::Result;

use crate::container_summary::summarize;
use dhow_runtime::control::protocol::{ControlReport, ControlRequest};
use dhow_runtime::control::{ControlAnswer, send_request};
use dhow_store::Store;

/// Waits for the exit of the container `text` and returns its exit code; immediately if it does not run.
pub fn wait(store: &Store, text: &str) -> Result<i32> {
    let container = store.find_container(text)?;
    match send_request(&container, &ControlRequest::Wait)? {
        // Of the run that was under way, even if it was restarted since.
        ControlAnswer::Report(ControlReport::Ended(code)) => Ok(code),
        // Not running: the exit code is the recorded one.
        ControlAnswer::Report(_) | ControlAnswer::Unsupervised(_) => Ok(summarize(container)?.exit_code()),
    }
}
