//! TLS configuration: the system's root certificates, and per registry CAs and client certificates.
//!
//! The latter are in directories named after the registry, `HOST[:PORT]`, containing `*.crt` (CAs) and pairs
//! of `NAME.cert` and `NAME.key` (client certificate), as in docker and podman.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use rustls::crypto::CryptoProvider;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use super::text::split_port;
use dhow_error::{Failure, FailureKind, invalid};
use dhow_model::environment::Environment;

/// Where certificates are found.
#[derive(Debug)]
pub(crate) struct TrustStore {
    directories: Vec<PathBuf>,
    system: OnceLock<Vec<Certificate<'static>>>,
    provider: Arc<CryptoProvider>,
}

/// The certificates configured for one registry.
#[derive(Debug, Default)]
pub(crate) struct RegistryCerts {
    authorities: Vec<Certificate<'static>>,
    client: Option<ClientCert>,
}

impl RegistryCerts {
    /// Whether the user configured CAs for this registry and so expects them to be checked.
    pub(crate) fn has_authorities(&self) -> bool {
        !self.authorities.is_empty()
    }
}

impl TrustStore {
    /// The directories of docker and podman; the user's take precedence over the system's.
    pub(crate) fn new(environment: &Environment) -> Self {
        let mut directories = vec![PathBuf::from("/etc/docker/certs.d"), "/etc/containers/certs.d".into()];
        directories.extend(environment.config_home().map(|dir| dir.join("containers/certs.d")));
        directories.extend(environment.home().map(|home| home.join(".docker/certs.d")));
        Self {
            directories,
            system: OnceLock::new(),
            provider: Arc::new(rustls::crypto::ring::default_provider()),
        }
    }

    /// Reads the certificates for `registry` (`host[:port]`). Malformed files are an error.
    pub(crate) fn registry_certs(&self, registry: &str) -> Result<RegistryCerts> {
        let mut certs = RegistryCerts::default();
        for directory in &self.directories {
            for name in directory_names(registry) {
                read_directory(&directory.join(name), &mut certs)?;
            }
        }
        if let Some(client) = &certs.client {
            self.check_client(client, registry)?;
        }
        Ok(certs)
    }

    /// The TLS settings for a registry; without `verify` any certificate is accepted.
    pub(crate) fn config(&self, certs: &RegistryCerts, verify: bool) -> TlsConfig {
        let mut roots = certs.authorities.clone();
        if verify {
            // The system's bundle is read once, on the first verified connection.
            roots.extend_from_slice(self.system.get_or_init(system_roots));
        }
        TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&roots))
            .client_cert(certs.client.clone())
            .disable_verification(!verify)
            .unversioned_rustls_crypto_provider(self.provider.clone())
            .build()
    }

    /// Checks that key and certificate match; the TLS library would abort the connection.
    fn check_client(&self, client: &ClientCert, registry: &str) -> Result<()> {
        let mismatch = |why: String| {
            invalid(format!("the client certificate for {registry} cannot be used: {why}"))
                .hint("see the .cert and .key files below certs.d")
        };
        let chain = client.certs().iter().map(|cert| cert.der().to_vec().into()).collect();
        let der = client.private_key().der().to_vec();
        let key = rustls_pki_types::PrivateKeyDer::try_from(der).map_err(|why| mismatch(why.to_owned()))?;
        let result = rustls::ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| mismatch(error.to_string()))?
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_client_auth_cert(chain, key);
        result.map(drop).map_err(|error| mismatch(error.to_string()).into())
    }
}

/// Unreadable certificates are skipped, as TLS clients do with a bundle; a missing bundle shows up as an
/// unknown issuer.
fn system_roots() -> Vec<Certificate<'static>> {
    rustls_native_certs::load_native_certs()
        .certs
        .iter()
        .map(|certificate| Certificate::from_der(certificate).to_owned())
        .collect()
}

/// A default port 443 may be given or omitted.
fn directory_names(registry: &str) -> Vec<String> {
    let mut names = vec![registry.to_owned()];
    match split_port(registry) {
        (_, None) => names.push(format!("{registry}:443")),
        (_, Some(443)) => names.extend(registry.strip_suffix(":443").map(str::to_owned)),
        _ => {}
    }
    names
}

fn read_directory(directory: &Path, certs: &mut RegistryCerts) -> Result<()> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("cannot read `{}`", directory.display())),
    };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    // A fixed order, since the last client certificate read wins.
    paths.sort();
    for path in &paths {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => certs.authorities.extend(read_certificates(path)?),
            Some("cert") => certs.client = Some(read_client_cert(path)?),
            _ => {}
        }
    }
    Ok(())
}

/// A directory that is missing, or not accessible to this user, counts as empty.
fn is_absent(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as E;
    matches!(error.kind(), E::NotFound | E::NotADirectory | E::PermissionDenied)
}

fn read_certificates(path: &Path) -> Result<Vec<Certificate<'static>>> {
    let text = fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let certificates: Vec<_> = parse_pem(&text)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(malformed(path, "no certificate in PEM format").into());
    }
    Ok(certificates)
}

fn read_client_cert(path: &Path) -> Result<ClientCert> {
    let key = path.with_extension("key");
    let text =
        fs::read(&key).with_context(|| format!("`{}` needs the key `{}`", path.display(), key.display()))?;
    let private = PrivateKey::from_pem(&text).map_err(|_| malformed(&key, "no private key in PEM format"))?;
    Ok(ClientCert::new_with_certs(&read_certificates(path)?, private))
}

fn malformed(path: &Path, why: &str) -> Failure {
    Failure::new(FailureKind::Invalid, format!("`{}` holds {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust(directory: &Path) -> TrustStore {
        let mut trust = TrustStore::new(&Environment::default());
        trust.directories = vec![directory.to_owned()];
        trust
    }

    #[test]
    fn the_standard_port_may_be_written_or_not() {
        assert_eq!(directory_names("r.example"), ["r.example", "r.example:443"]);
        assert_eq!(directory_names("r.example:443"), ["r.example:443", "r.example"]);
        assert_eq!(directory_names("[::1]:5000"), ["[::1]:5000"]);
    }

    #[test]
    fn a_malformed_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("r.example");
        fs::create_dir(&own).unwrap();
        assert!(!trust(dir.path()).registry_certs("r.example").unwrap().has_authorities());
        fs::write(own.join("ca.crt"), "nonsense").unwrap();
        let message = format!("{:#}", trust(dir.path()).registry_certs("r.example").unwrap_err());
        assert!(message.contains("ca.crt"), "{message}");
        fs::remove_file(own.join("ca.crt")).unwrap();
        fs::write(own.join("me.cert"), "nonsense").unwrap();
        let message = format!("{:#}", trust(dir.path()).registry_certs("r.example").unwrap_err());
        assert!(message.contains("me.key"), "{message}");
    }
}
