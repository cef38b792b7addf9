//! `unpause`: thaws the processes of a paused container.

use anyhow::Result;

use dhow_runtime::control::protocol::ControlRequest;
use dhow_runtime::control::request_running;
use dhow_store::Store;

pub fn unpause(store: &Store, text: &str) -> Result<()> {
    request_running(&store.find_container(text)?, &ControlRequest::Unpause).map(drop)
}
