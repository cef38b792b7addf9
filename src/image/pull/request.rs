//! A request to pull one tag of an image, or all of them: from the servers that may have it to the store.
//!
//! In two steps, [`prepare`] and [`fetch`]: credential helpers are the user's programs and must run before the process
//! enters a user namespace, while layers must be unpacked inside it.

use std::sync::Arc;

use anyhow::{Context, Result};

use crate::pull::{ImagePuller, PulledImage, ResolvedImage, try_repositories};
use crate::registry::config::RegistriesConfig;
use crate::registry::credentials::{CredentialStore, resolve_sources};
use crate::registry::http::{HttpClient, HttpPolicy};
use crate::registry::repository::{ManifestRef, Repository, RepositorySource};
use dhow_error::invalid;
use dhow_model::digest::Digest;
use dhow_model::environment::Environment;
use dhow_model::layer::LayerOwnership;
use dhow_model::platform::{Platform, not_linux};
use dhow_model::progress::LayerProgress;
use dhow_model::reference::ImageReference;
use dhow_store::Store;
use dhow_store::event_records;

#[derive(Clone, Debug)]
pub struct PullRequest {
    /// Without tag and digest it means `latest`, or with `all_tags` everything.
    pub reference: ImageReference,
    /// All tags of the repository.
    pub all_tags: bool,
    /// `None` for this machine's platform.
    pub platform: Option<Platform>,
}

impl PullRequest {
    /// Refuses a tag or digest next to `all_tags`, and images that do not run here.
    pub fn check(&self) -> Result<()> {
        if let Some(platform) = self.platform.as_ref().filter(|platform| !platform.is_linux()) {
            return Err(not_linux(platform).into());
        }
        if self.all_tags && (self.reference.tag().is_some() || self.reference.digest().is_some()) {
            return Err(invalid("a tag cannot be used together with --all-tags").into());
        }
        Ok(())
    }
}

/// A pull with its servers and credentials resolved.
#[derive(Debug)]
pub struct PreparedPull {
    request: PullRequest,
    http: Arc<HttpClient>,
    sources: Vec<RepositorySource>,
    /// Problems that did not stop it, to be shown to the user.
    pub warnings: Vec<String>,
}

/// An image that was pulled, by one name.
#[derive(Clone, Debug)]
pub struct PullResult {
    /// With tag or digest.
    pub reference: ImageReference,
    pub id: Digest,
    /// Digest of the manifest or index.
    pub digest: Digest,
    /// Whether the name referred to another image, or none, before.
    pub newer: bool,
    /// Says that the image's platform is not the one asked for, which can happen with an image that has no
    /// index.
    pub warning: Option<String>,
}

/// Finds servers and credentials. Runs credential helpers; starts no threads.
pub fn prepare(environment: &Environment, request: PullRequest) -> Result<PreparedPull> {
    request.check()?;
    let reference = &request.reference;
    let doing = || format!("cannot pull {}", reference.familiar());
    let registries = RegistriesConfig::load(environment)?;
    let http = Arc::new(HttpClient::new(environment, HttpPolicy::default())?);
    let (sources, warnings) =
        resolve_sources(&registries, &CredentialStore::new(environment), reference).with_context(doing)?;
    Ok(PreparedPull { http, sources, warnings, request })
}

/// Carries out a prepared pull. The process must be allowed to create files with the owners of `identity`.
pub fn fetch(
    store: &Store,
    prepared: &PreparedPull,
    identity: LayerOwnership,
    progress: &dyn LayerProgress,
) -> Result<Vec<PullResult>> {
    let request = &prepared.request;
    let reference = request.reference.familiar();
    let task = PullTask {
        store,
        registry: request.reference.registry(),
        platform: request.platform.clone().unwrap_or_else(Platform::host),
        explicit_platform: request.platform.is_some(),
        identity,
        progress,
    };
    let result = if request.all_tags { task.pull_all_tags(prepared) } else { task.pull_one(prepared) };
    result.with_context(|| format!("cannot pull {reference}"))
}

struct PullTask<'a> {
    store: &'a Store,
    registry: &'a str,
    platform: Platform,
    explicit_platform: bool,
    identity: LayerOwnership,
    progress: &'a dyn LayerProgress,
}

impl PullTask<'_> {
    fn pull_one(&self, prepared: &PreparedPull) -> Result<Vec<PullResult>> {
        let reference = pinned(&prepared.request.reference);
        self.announce(&reference);
        // Mirrors first: the first server with the manifest also delivers the layers.
        let (repository, resolved) =
            try_repositories(prepared.repositories(), |repository| self.describe(repository, &reference))?;
        Ok(vec![self.fetch(&repository, &resolved, &reference)?])
    }

    fn pull_all_tags(&self, prepared: &PreparedPull) -> Result<Vec<PullResult>> {
        // Every tag comes from the server that lists them, so that a mirror is used for all or none.
        let (repository, tags) = try_repositories(prepared.repositories(), Repository::tags)?;
        let mut pulled = Vec::new();
        for tag in tags {
            let reference =
                prepared.request.reference.with_tag(&tag).context("the registry's list of tags")?;
            self.announce(&reference);
            let resolved = self.describe(&repository, &reference)?;
            pulled.push(self.fetch(&repository, &resolved, &reference)?);
        }
        Ok(pulled)
    }

    /// The first line of docker's output.
    fn announce(&self, reference: &ImageReference) {
        let label = match (reference.digest(), reference.tag()) {
            (None, Some(tag)) => tag.to_owned(),
            _ => reference.to_string(),
        };
        self.progress.line(&format!("{label}: Pulling from {}", reference.repository()));
    }

    fn puller<'a>(&'a self, repository: &'a Repository) -> ImagePuller<'a> {
        ImagePuller {
            store: self.store,
            repository,
            registry: self.registry,
            identity: self.identity,
            platform: &self.platform,
            progress: self.progress,
        }
    }

    fn describe(&self, repository: &Repository, reference: &ImageReference) -> Result<ResolvedImage> {
        let manifest = match (reference.digest(), reference.tag()) {
            (Some(digest), _) => ManifestRef::Digest(digest),
            (None, tag) => ManifestRef::Tag(tag.unwrap_or(dhow_model::reference::DEFAULT_TAG)),
        };
        self.puller(repository).resolve(&manifest, &reference.familiar())
    }

    fn fetch(
        &self,
        repository: &Repository,
        resolved: &ResolvedImage,
        reference: &ImageReference,
    ) -> Result<PullResult> {
        // Read now: fetching sets the name.
        let previous = self.store.name(reference)?.map(|record| record.id);
        let image = self.puller(repository).fetch(resolved, reference)?;
        let newer = previous.as_ref() != Some(&image.id);
        event_records::image_pulled(self.store, reference, &image.id);
        self.progress.line(&format!("Digest: {}", image.digest));
        let name = reference.familiar();
        self.progress.line(&match newer {
            true => format!("Status: Downloaded newer image for {name}"),
            false => format!("Status: Image is up to date for {name}"),
        });
        let warning = self.mismatch(&image, &name);
        Ok(PullResult { reference: reference.clone(), id: image.id, digest: image.digest, newer, warning })
    }

    /// docker's warning for an image that exists for one platform only, and not for the one asked for.
    fn mismatch(&self, image: &PulledImage, name: &str) -> Option<String> {
        let actual = image.config.platform();
        let fits = self.platform.rank(&actual).is_some();
        (self.explicit_platform && !fits).then(|| {
            let actual = actual.to_string();
            format!(
                "image with reference {name} was found but its platform ({}) does not match the specified platform ({})",
                actual.escape_debug(),
                self.platform
            )
        })
    }
}

impl PreparedPull {
    /// The repositories to try, each opened when its turn comes.
    fn repositories(&self) -> impl Iterator<Item = Result<Repository>> {
        let name = self.request.reference.familiar_name();
        self.sources.iter().map(move |source| Repository::open(self.http.clone(), source.clone(), &name))
    }
}

/// A digest wins over a tag next to it; without both it is `latest`.
fn pinned(reference: &ImageReference) -> ImageReference {
    match reference.digest() {
        Some(digest) => reference.with_digest(digest.clone()),
        None => reference.clone().or_latest(),
    }
}
