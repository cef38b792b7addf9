//! `port`: the ports that a container publishes.

use anyhow::Result;

use crate::container_summary::summarize;
use dhow_model::network::PublishedPort;
use dhow_store::Store;

/// The ports that the container `text` publishes now, sorted by container port.
pub fn published(store: &Store, text: &str) -> Result<Vec<PublishedPort>> {
    let container = summarize(store.find_container(text)?)?;
    if !container.is_up() {
        return Ok(Vec::new());
    }
    let mut published = container.state.published;
    // By container port, as docker prints them.
    published.sort();
    Ok(published)
}
