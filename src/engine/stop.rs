//! `stop`: asks a container to end, and kills it if it does not.

use anyhow::Result;

use super::attach::wire::{Ending, Order};
use super::control::ask;
use crate::store::Store;

/// Ends the container that a person means by `text`: with `signal`, and after `timeout` seconds by force; negative
/// means never. What is not given is as the container was made. One that does not run is left as it is.
pub fn stop(store: &Store, text: &str, signal: Option<i32>, timeout: Option<i64>) -> Result<()> {
    let container = store.find_container(text)?;
    ask(&container, &Order::Stop(Ending { signal, timeout })).map(drop)
}
