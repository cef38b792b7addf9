//! `pause` and `unpause`: holds all processes of a container, and lets them go on.

use anyhow::Result;

use super::attach::wire::Order;
use super::control::command;
use crate::store::Store;

/// Holds the container that a person means by `text`.
pub fn pause(store: &Store, text: &str) -> Result<()> {
    command(&store.find_container(text)?, &Order::Pause).map(drop)
}

/// Lets it go on.
pub fn unpause(store: &Store, text: &str) -> Result<()> {
    command(&store.find_container(text)?, &Order::Unpause).map(drop)
}
