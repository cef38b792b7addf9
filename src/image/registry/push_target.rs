//! A repository to push to: its server, and the credential for it.

use std::sync::Arc;

use anyhow::Result;

use super::config::{RegistriesConfig, RegistryTransport};
use super::credentials::{CredentialStore, resolve_sources};
use super::http::{HttpClient, HttpPolicy};
use super::repository::{Repository, RepositorySource};
use dhow_error::not_found;
use dhow_model::environment::Environment;
use dhow_model::reference::ImageReference;

/// A repository to push to, with its server and the credential for it.
#[derive(Debug)]
pub struct PushTarget {
    http: Arc<HttpClient>,
    source: RepositorySource,
    /// A name in the repository.
    pub reference: ImageReference,
    /// Problems that did not stop the look-up, to be shown to the user.
    pub warnings: Vec<String>,
}

impl PushTarget {
    /// Finds the server and credential for `reference`. Runs credential helpers; starts no threads.
    pub fn resolve(environment: &Environment, reference: &ImageReference) -> Result<Self> {
        let registries = RegistriesConfig::load(environment)?;
        let http = Arc::new(HttpClient::new(environment, HttpPolicy::default())?);
        let (sources, warnings) =
            resolve_sources(&registries, &CredentialStore::new(environment), reference)?;
        // Mirrors are read-only.
        let source = sources.into_iter().find(|source| !source.endpoint.mirror);
        let source = source.ok_or_else(|| not_found("no registry is configured for it"))?;
        Ok(Self { http, source, reference: reference.clone(), warnings })
    }

    /// The same, accepting any certificate or plain HTTP.
    #[must_use]
    pub fn insecure(mut self) -> Self {
        self.source.endpoint.transport = RegistryTransport::Insecure;
        self
    }

    /// Connects for reading.
    pub fn open_to_read(&self) -> Result<Repository> {
        Repository::open(self.http.clone(), self.source.clone(), &self.reference.familiar_name())
    }

    /// Connects for pushing.
    pub fn open(&self) -> Result<Repository> {
        Repository::open_to_push(self.http.clone(), self.source.clone(), &self.reference.familiar_name())
    }
}
