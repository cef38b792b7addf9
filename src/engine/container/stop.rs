//! `stop`: asks a container to stop, and kills it after a timeout.

use anyhow::Result;

use dhow_runtime::control::protocol::{ControlRequest, StopOptions};
use dhow_runtime::control::send_request;
use dhow_store::Store;

/// Stops the container `text` with `signal`, and SIGKILL after `timeout` seconds; negative means never.
/// `None` takes the value from the specification. A container that does not run is left alone.
pub fn stop(store: &Store, text: &str, signal: Option<i32>, timeout: Option<i64>) -> Result<()> {
    let container = store.find_container(text)?;
    // Without a supervisor there is nothing to stop; taking the lock has recovered the state already.
    send_request(&container, &ControlRequest::Stop(StopOptions { signal, timeout })).map(drop)
}
