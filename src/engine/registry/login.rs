//! `login`: verifies a credential with a registry and stores it.

use std::sync::Arc;

use anyhow::{Context, Result};

use dhow_image::registry::auth::Credential;
use dhow_image::registry::config::{RegistriesConfig, RegistryEndpoint, api_host};
use dhow_image::registry::credentials::{CredentialLocation, CredentialStore};
use dhow_image::registry::http::{HttpClient, HttpPolicy};
use dhow_image::registry::repository::{Repository, RepositorySource};
use dhow_model::environment::Environment;

/// What is stored for a registry before a login.
#[derive(Debug)]
pub struct StoredLogin {
    pub credential: Option<Credential>,
    /// Failures of credential helpers.
    pub warnings: Vec<String>,
}

pub fn stored_login(environment: &Environment, registry: &str) -> Result<StoredLogin> {
    let lookup = CredentialStore::new(environment).lookup(registry)?;
    Ok(StoredLogin { credential: lookup.credential, warnings: lookup.warnings })
}

/// Verifies `credential` with `registry` and returns what to store: an identity token if the registry issues
/// one.
pub fn verify_credential(
    environment: &Environment,
    registry: &str,
    credential: &Credential,
) -> Result<Credential> {
    let registries = RegistriesConfig::load(environment)?;
    let http = Arc::new(HttpClient::new(environment, HttpPolicy::default())?);
    let host = api_host(registry);
    let endpoint = RegistryEndpoint {
        host: host.to_owned(),
        // The registry itself (`/v2/`), no repository of it.
        repository: String::new(),
        transport: registries.transport(host),
        mirror: false,
    };
    let source = RepositorySource { endpoint, credential: Some(credential.clone()) };
    let identity = Repository::open(http, source, registry)
        .and_then(|repository| repository.login())
        .with_context(|| format!("cannot log in to {registry}"))?;
    Ok(identity.map_or_else(|| credential.clone(), Credential::Identity))
}

/// Stores a verified credential.
pub fn store_credential(
    environment: &Environment,
    registry: &str,
    credential: &Credential,
) -> Result<CredentialLocation> {
    CredentialStore::new(environment)
        .store(registry, credential)
        .with_context(|| format!("cannot keep the credential for {registry}"))
}
