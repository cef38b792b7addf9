//! `pause` and `unpause`: freeze and thaw all processes of a container.

use anyhow::Result;

use super::attach::wire::ControlRequest;
use super::control::request_running;
use crate::store::Store;

pub fn pause(store: &Store, text: &str) -> Result<()> {
    request_running(&store.find_container(text)?, &ControlRequest::Pause).map(drop)
}

pub fn unpause(store: &Store, text: &str) -> Result<()> {
    request_running(&store.find_container(text)?, &ControlRequest::Unpause).map(drop)
}
