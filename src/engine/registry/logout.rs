//! `logout`: erases the credential for a registry.

use anyhow::{Context as _, Result};

use dhow_image::registry::credentials::CredentialStore;
use dhow_model::environment::Environment;

/// Erases the credential for `registry`. Returns whether there was one.
pub fn erase_credential(environment: &Environment, registry: &str) -> Result<bool> {
    CredentialStore::new(environment)
        .erase(registry)
        .with_context(|| format!("cannot forget the credential for {registry}"))
}
