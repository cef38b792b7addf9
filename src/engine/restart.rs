//! `restart`: stops a container and starts it again; one that does not run is started.

use anyhow::Result;

use super::attach::wire::{ControlRequest, StopOptions};
use super::control::{ControlAnswer, send_request};
use super::start::start;
use crate::model::environment::Environment;
use crate::model::event::EngineEvent;
use crate::store::Store;

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
