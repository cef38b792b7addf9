//! Registry credentials: docker's `config.json`, podman's `auth.json`, and helper programs.
//!
//! The first file that knows the registry wins, in this order: `$DOCKER_CONFIG/config.json` (default
//! `~/.docker/config.json`), `$REGISTRY_AUTH_FILE`, `$XDG_RUNTIME_DIR/containers/auth.json`,
//! `~/.config/containers/auth.json`. A helper runs only if a file names it for the registry in question.

mod file;
mod helper;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::auth::Credential;
use super::config::{RegistriesConfig, RegistryEndpoint};
use super::repository::RepositorySource;
use dhow_model::environment::Environment;
use dhow_model::reference::{DEFAULT_REGISTRY, ImageReference};
use file::AuthFile;
use helper::CredentialHelper;

/// The key of Docker Hub in docker's files.
pub(crate) const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// The files that may contain credentials; they are read on demand.
#[derive(Clone, Debug)]
pub struct CredentialStore {
    /// Docker's file; new credentials are written to it.
    config: Option<PathBuf>,
    others: Vec<PathBuf>,
    /// The `PATH` for helpers.
    path: Option<String>,
}

/// The result of a lookup, with non-fatal problems.
#[derive(Debug, Default)]
pub struct CredentialLookup {
    pub credential: Option<Credential>,
    /// Failed helpers; the registry is then accessed without a credential.
    pub warnings: Vec<String>,
}

/// Where a credential was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialLocation {
    /// In this file, readable as plain text.
    File(PathBuf),
    /// By this helper.
    Helper(String),
}

impl CredentialStore {
    /// The files of the user of `environment`.
    pub fn new(environment: &Environment) -> Self {
        let docker = environment.path("DOCKER_CONFIG").or_else(|| Some(environment.home()?.join(".docker")));
        let runtime = environment.path("XDG_RUNTIME_DIR").map(|dir| dir.join("containers/auth.json"));
        let user = environment.config_home().map(|dir| dir.join("containers/auth.json"));
        let others = [environment.path("REGISTRY_AUTH_FILE"), runtime, user].into_iter().flatten().collect();
        let path = environment.text("PATH").map(str::to_owned);
        Self { config: docker.map(|dir| dir.join("config.json")), others, path }
    }

    /// The credential for a repository (`registry/path`) or a whole registry.
    pub fn lookup(&self, repository: &str) -> Result<CredentialLookup> {
        let mut warnings = Vec::new();
        for path in self.config.iter().chain(&self.others) {
            let Some(file) = AuthFile::read(path)? else { continue };
            let registry = registry_of(repository);
            if let Some(helper) = self.helper(&file, registry) {
                match helper.get(&storage_key(registry)) {
                    Ok(Some(credential)) => {
                        return Ok(CredentialLookup { credential: Some(credential), warnings });
                    }
                    Ok(None) => {}
                    Err(error) => {
                        // Not fatal: many images can be pulled anonymously, and the file itself may have a
                        // credential.
                        warnings.push(format!("the credential for {registry} is not to be had: {error:#}"));
                    }
                }
            }
            let credential = file.credential(repository).with_context(|| {
                format!("cannot use the credential for {registry} in `{}`", path.display())
            })?;
            if credential.is_some() {
                return Ok(CredentialLookup { credential, warnings });
            }
        }
        Ok(CredentialLookup { credential: None, warnings })
    }

    /// Stores a credential with the helper configured for `registry`, else in docker's file.
    pub fn store(&self, registry: &str, credential: &Credential) -> Result<CredentialLocation> {
        let path = self.file()?;
        let mut file = AuthFile::read(path)?.unwrap_or_default();
        let location = match self.helper(&file, registry) {
            Some(helper) => {
                helper.store(&storage_key(registry), credential)?;
                let name = helper.name.to_owned();
                // docker keeps an empty entry in `auths` for a credential that a helper holds.
                file.insert_placeholder(&storage_key(registry));
                CredentialLocation::Helper(name)
            }
            None => {
                file.insert(&storage_key(registry), credential);
                CredentialLocation::File(path.to_owned())
            }
        };
        file.write(path)?;
        Ok(location)
    }

    /// Removes the credential for `registry` from docker's file and helper. Returns whether there was one.
    pub fn erase(&self, registry: &str) -> Result<bool> {
        let path = self.file()?;
        let Some(mut file) = AuthFile::read(path)? else { return Ok(false) };
        let mut existed = false;
        if let Some(helper) = self.helper(&file, registry) {
            existed = helper.get(&storage_key(registry))?.is_some();
            if existed {
                helper.erase(&storage_key(registry))?;
            }
        }
        if file.remove(registry) {
            existed = true;
            file.write(path)?;
        }
        Ok(existed)
    }

    fn helper<'a>(&'a self, file: &'a AuthFile, registry: &str) -> Option<CredentialHelper<'a>> {
        Some(CredentialHelper { name: file.helper(registry)?, path: self.path.as_deref() })
    }

    fn file(&self) -> Result<&Path> {
        self.config.as_deref().ok_or_else(|| {
            dhow_error::invalid("there is no place for credentials: HOME is not set")
                .hint("set HOME, or DOCKER_CONFIG to a directory")
                .into()
        })
    }
}

/// The servers that may hold `reference`, each with its credential, and warnings. Runs helper programs, so it
/// must be called before the process enters a user namespace.
pub(crate) fn resolve_sources(
    registries: &RegistriesConfig,
    credentials: &CredentialStore,
    reference: &ImageReference,
) -> Result<(Vec<RepositorySource>, Vec<String>)> {
    let mut sources = Vec::new();
    let mut warnings = Vec::new();
    for endpoint in registries.endpoints(reference)? {
        let lookup = credentials.lookup(&name_at(&endpoint, reference))?;
        warnings.extend(lookup.warnings);
        sources.push(RepositorySource { endpoint, credential: lookup.credential });
    }
    Ok((sources, warnings))
}

/// The name under which credentials for an endpoint are stored.
fn name_at(endpoint: &RegistryEndpoint, reference: &ImageReference) -> String {
    // Hub's API host differs from the name under which docker and podman store its credential.
    if endpoint.host == super::config::api_host(DEFAULT_REGISTRY) && reference.registry() == DEFAULT_REGISTRY
    {
        return format!("{DEFAULT_REGISTRY}/{}", endpoint.repository);
    }
    format!("{}/{}", endpoint.host, endpoint.repository)
}

fn registry_of(repository: &str) -> &str {
    repository.split('/').next().unwrap_or_default()
}

/// The key of a registry in docker's files and helpers.
pub fn storage_key(registry: &str) -> String {
    if registry == DEFAULT_REGISTRY { DOCKER_HUB_KEY.to_owned() } else { registry.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn home() -> (tempfile::TempDir, CredentialStore) {
        let dir = tempfile::tempdir().unwrap();
        let environment = Environment::from_iter([
            ("HOME", dir.path().to_owned()),
            ("XDG_RUNTIME_DIR", dir.path().join("run")),
            ("REGISTRY_AUTH_FILE", dir.path().join("named.json")),
        ]);
        let credentials = CredentialStore::new(&environment);
        (dir, credentials)
    }

    fn password(username: &str) -> Credential {
        Credential::Password { username: username.into(), password: "p:w".into() }
    }

    fn user(credentials: &CredentialStore, name: &str) -> Option<String> {
        let found = credentials.lookup(name).unwrap();
        found.credential.and_then(|credential| credential.username().map(str::to_owned))
    }

    fn write(path: PathBuf, text: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn what_is_stored_is_found_and_erased() {
        let (dir, credentials) = home();
        let path = dir.path().join(".docker/config.json");
        write(path.clone(), r#"{"psFormat":"x","auths":{"other":{"auth":"YTpi"}}}"#);
        assert_eq!(
            credentials.store("r.example:5000", &password("me")).unwrap(),
            CredentialLocation::File(path.clone())
        );
        assert_eq!(credentials.lookup("r.example:5000/a/b").unwrap().credential, Some(password("me")));
        assert_eq!(user(&credentials, "r.example/a"), None);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("psFormat") && text.contains("YTpi"), "{text}");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(credentials.erase("r.example:5000").unwrap());
        assert!(!credentials.erase("r.example:5000").unwrap());
        assert_eq!(user(&credentials, "other/x").as_deref(), Some("a"));
    }

    #[test]
    fn docker_hub_has_a_key_of_its_own() {
        let (dir, credentials) = home();
        credentials.store("docker.io", &password("me")).unwrap();
        let text = std::fs::read_to_string(dir.path().join(".docker/config.json")).unwrap();
        assert!(text.contains(DOCKER_HUB_KEY), "{text}");
        assert_eq!(user(&credentials, "docker.io/library/x").as_deref(), Some("me"));
        assert!(credentials.erase("docker.io").unwrap());
    }

    #[test]
    fn a_link_to_the_file_stays_one() {
        let (dir, credentials) = home();
        let target = dir.path().join("elsewhere.json");
        write(target.clone(), "{}");
        std::fs::create_dir(dir.path().join(".docker")).unwrap();
        let link = dir.path().join(".docker/config.json");
        std::os::unix::fs::symlink("../elsewhere.json", &link).unwrap();
        credentials.store("r.example", &password("me")).unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(std::fs::read_to_string(target).unwrap().contains("r.example"));
    }

    #[test]
    fn podmans_files_know_namespaces_and_come_after_dockers() {
        let (dir, credentials) = home();
        let auth = |user: &str| {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.encode(format!("{user}:p"))
        };
        write(
            dir.path().join("run/containers/auth.json"),
            &format!(
                r#"{{"auths":{{"r.example":{{"auth":"{}"}},"r.example/team":{{"auth":"{}"}},"r.example/team/x":{{"auth":"{}"}}}}}}"#,
                auth("all"),
                auth("team"),
                auth("one")
            ),
        );
        assert_eq!(user(&credentials, "r.example/team/x").as_deref(), Some("one"));
        assert_eq!(user(&credentials, "r.example/team/y").as_deref(), Some("team"));
        assert_eq!(user(&credentials, "r.example/teamx/y").as_deref(), Some("all"));
        write(
            dir.path().join("named.json"),
            &format!(r#"{{"auths":{{"r.example":{{"auth":"{}"}}}}}}"#, auth("named")),
        );
        assert_eq!(user(&credentials, "r.example/team/x").as_deref(), Some("named"));
        credentials.store("r.example", &password("docker")).unwrap();
        assert_eq!(user(&credentials, "r.example/team/x").as_deref(), Some("docker"));
    }

    #[test]
    fn a_missing_helper_is_a_warning() {
        let (dir, credentials) = home();
        write(dir.path().join(".docker/config.json"), r#"{"credsStore":"dhow-test-nonexistent"}"#);
        let found = credentials.lookup("r.example/x").unwrap();
        assert_eq!(found.credential, None);
        assert!(
            found.warnings[0].contains("docker-credential-dhow-test-nonexistent"),
            "{:?}",
            found.warnings
        );
        assert!(credentials.store("r.example", &password("me")).is_err());
    }

    #[test]
    fn a_helper_keeps_gives_and_forgets() {
        let dir = tempfile::tempdir().unwrap();
        let kept = dir.path().join("kept");
        let program = dir.path().join("bin/docker-credential-box");
        let script = format!(
            "#!/bin/sh\nexec 9>>{0}.calls; echo $1 >&9\ncase $1 in\nstore) cat >{0};;\nerase) rm {0};;\n\
             get) cat >/dev/null; [ -e {0} ] && cat {0} || {{ echo credentials not found in native keychain; exit 1; }};;\nesac\n",
            kept.display()
        );
        write(program.clone(), &script);
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:/usr/bin:/bin", dir.path().join("bin").display());
        let environment = Environment::from_iter([("HOME", dir.path().to_str().unwrap()), ("PATH", &path)]);
        let credentials = CredentialStore::new(&environment);
        let config = dir.path().join(".docker/config.json");
        write(config.clone(), r#"{"credHelpers":{"r.example":"box"},"credsStore":"nonexistent"}"#);
        assert_eq!(user(&credentials, "r.example/a"), None);
        assert_eq!(
            credentials.store("r.example", &password("me")).unwrap(),
            CredentialLocation::Helper("box".into())
        );
        assert!(!std::fs::read_to_string(&config).unwrap().contains("bWU6"));
        assert_eq!(credentials.lookup("r.example/a").unwrap().credential, Some(password("me")));
        let token = Credential::Identity("t".into());
        credentials.store("r.example", &token).unwrap();
        assert_eq!(credentials.lookup("r.example/a").unwrap().credential, Some(token));
        assert!(credentials.erase("r.example").unwrap() && !kept.exists());
        assert!(!credentials.erase("r.example").unwrap());
        let calls = std::fs::read_to_string(dir.path().join("kept.calls")).unwrap();
        assert_eq!(calls.split_whitespace().filter(|call| *call == "store").count(), 2);
    }

    #[test]
    fn malformed_files_are_named() {
        let (dir, credentials) = home();
        write(dir.path().join(".docker/config.json"), "{");
        let message = format!("{:#}", credentials.lookup("r.example").unwrap_err());
        assert!(message.contains("config.json"), "{message}");
        write(dir.path().join(".docker/config.json"), r#"{"auths":{"r.example":{"auth":"%%"}}}"#);
        assert!(credentials.lookup("r.example").is_err());
        write(dir.path().join(".docker/config.json"), r#"{"auths":null,"credHelpers":null}"#);
        assert_eq!(credentials.lookup("r.example").unwrap().credential, None);
    }
}
