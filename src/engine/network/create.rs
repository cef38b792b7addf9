//! `network create`: creates a network.

use anyhow::Result;

use dhow_model::new_network::{NewNetwork, check_driver, driver_options};
use dhow_store::Store;

/// Creates a network and returns its ID, and warnings about its options.
pub fn create(store: &Store, driver: &str, new: &NewNetwork) -> Result<(String, Vec<String>)> {
    check_driver(driver)?;
    new.check()?;
    let mut warnings = driver_options(&new.options)?.warnings;
    let without_effect =
        |name: &String| format!("option {} of address management has no effect", name.escape_debug());
    warnings.extend(new.ipam_options.keys().map(without_effect));
    Ok((store.create_network(new)?.id, warnings))
}
