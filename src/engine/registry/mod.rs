//! Logging in to registries and out of them, and how both commands name a registry.

pub mod login;
pub mod logout;

use anyhow::Result;

use dhow_error::invalid;
use dhow_image::registry::credentials::storage_key;
use dhow_model::reference::{DEFAULT_REGISTRY, ImageReference};

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
