//! `login` and `logout`: verify a credential with a registry and store it, or erase it.

use std::sync::Arc;

use anyhow::{Context, Result};

use dhow_error::invalid;
use dhow_image::registry::auth::Credential;
use dhow_image::registry::config::{RegistriesConfig, RegistryEndpoint, api_host};
use dhow_image::registry::credentials::{CredentialLocation, CredentialStore, storage_key};
use dhow_image::registry::http::{HttpClient, HttpPolicy};
use dhow_image::registry::repository::{Repository, RepositorySource};
use dhow_model::environment::Environment;
use dhow_model::reference::{DEFAULT_REGISTRY, ImageReference};

/// What is stored for a registry before a login.
#[derive(Debug)]
pub struct StoredLogin {
    pub credential: Option<Credential>,
    /// Failures of credential helpers.
    pub warnings: Vec<String>,
}

/// The registry that the argument of `login` or `logout` means, in the form that references use; `None` means
/// Docker Hub. A URL stands for its host, as with docker.
pub fn registry_name(argument: Option<&str>) -> Result<String> {
    let Some(argument) = argument else { return Ok(DEFAULT_REGISTRY.into()) };
    let host = argument.trim_start_matches("https://").trim_start_matches("http://");
    let host = host.split('/').next().unwrap_or_default();
    if matches!(host, "index.docker.io" | "registry-1.docker.io" | DEFAULT_REGISTRY) {
        return Ok(DEFAULT_REGISTRY.into());
    }
    // A lone host name would parse as a repository, so it gets a port: this way the grammar of references
    // checks it.
    let marked =
        if host.contains(['.', ':']) || host == "localhost" { host.into() } else { format!("{host}:443") };
    format!("{marked}/x")
        .parse::<ImageReference>()
        .map_err(|_| invalid(format!("`{}` is not a registry's host name", argument.escape_debug())))?;
    Ok(host.to_owned())
}

/// docker's name for a registry in the messages of `login` and `logout`.
pub fn display_name(registry: &str) -> String {
    storage_key(registry)
}

pub fn stored_login(environment: &Environment, registry: &str) -> Result<StoredLogin> {
    let found = CredentialStore::new(environment).lookup(registry)?;
    Ok(StoredLogin { credential: found.credential, warnings: found.warnings })
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

/// Erases the credential for `registry`. Returns whether there was one.
pub fn erase_credential(environment: &Environment, registry: &str) -> Result<bool> {
    CredentialStore::new(environment)
        .erase(registry)
        .with_context(|| format!("cannot forget the credential for {registry}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_by_host_or_url() {
        for hub in [None, Some("docker.io"), Some("https://index.docker.io/v1/"), Some("index.docker.io")] {
            assert_eq!(registry_name(hub).unwrap(), "docker.io");
        }
        assert_eq!(registry_name(Some("https://r.example:5000/v2/")).unwrap(), "r.example:5000");
        assert_eq!(registry_name(Some("localhost")).unwrap(), "localhost");
        assert_eq!(registry_name(Some("intranet")).unwrap(), "intranet");
        for bad in ["", "a b", "https://", "a..b", "host:port"] {
            assert!(registry_name(Some(bad)).is_err(), "{bad}");
        }
        assert_eq!(display_name("docker.io"), "https://index.docker.io/v1/");
    }
}
