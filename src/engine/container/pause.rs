//! `pause`: freezes all processes of a container.

use anyhow::Result;

use dhow_runtime::control::protocol::ControlRequest;
use dhow_runtime::control::request_running;
use dhow_store::Store;

pub fn pause(store: &Store, text: &str) -> Result<()> {
    request_running(&store.find_container(text)?, &ControlRequest::Pause).map(drop)
}
