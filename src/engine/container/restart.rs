//! `restart`: stops a container and starts it again; one that does not run is started.

use anyhow::Result;

use crate::container::start::start;
use dhow_model::environment::Environment;
use dhow_model::event::EngineEvent;
use dhow_runtime::control::protocol::{ControlRequest, StopOptions};
use dhow_runtime::control::{ControlAnswer, send_request};
use dhow_store::Store;

/// `signal` and `timeout` as for `stop`. The process must be single-threaded.
pub fn restart(
    store: &Store,
    text: &str,
    signal: Option<i32>,
    timeout: Option<i64>,
    environment: &Environment,
) -> Result<()> {
    let container = store.find_container(text)?;
    match send_request(&container, &ControlRequest::Restart(StopOptions { signal, timeout }))? {
        ControlAnswer::Report(_) => {}
        ControlAnswer::Unsupervised(locked) => {
            // `start` takes the lock itself.
            drop(locked);
            start(store, text, None, environment)?;
        }
    }
    store.record_event(EngineEvent::of_container(container.spec(), "restart"));
    Ok(())
}
