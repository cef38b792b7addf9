//! `pause` and `unpause`: freeze and thaw all processes of a container.

use anyhow::Result;

use super::attach::wire::Order;
use super::control::command;
use crate::store::Store;

pub fn pause(store: &Store, text: &str) -> Result<()> {
    command(&store.find_container(text)?, &Order::Pause).map(drop)
}

pub fn unpause(store: &Store, text: &str) -> Result<()> {
    command(&store.find_container(text)?, &Order::Unpause).map(drop)
}
