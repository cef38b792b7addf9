//! The image configuration as docker and OCI write it, read leniently and kept by its bytes.
//!
//! An image's ID is the digest of the configuration's exact bytes; these types read them and never write them back.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::digest::Digest;

/// An image configuration (OCI image specification, `config.md`, with docker's additions).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageConfig {
    /// RFC 3339 time of creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// Go's name of the architecture.
    #[serde(deserialize_with = "null_default")]
    pub architecture: String,
    /// Variant of the architecture.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// Go's name of the operating system.
    #[serde(deserialize_with = "null_default")]
    pub os: String,
    /// Free text of the commit that made it.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// docker's version at the time.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "String::is_empty")]
    pub docker_version: String,
    /// What to run and how.
    #[serde(deserialize_with = "null_default")]
    pub config: RunConfig,
    /// The layers.
    pub rootfs: RootFs,
    /// How each layer came to be.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
}

/// Defaults for containers of the image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct RunConfig {
    /// `user[:group]`.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Ports such as `80/tcp`.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed_ports: BTreeMap<String, serde_json::Value>,
    /// `NAME=value`.
    #[serde(deserialize_with = "null_default")]
    pub env: Vec<String>,
    /// Entry point.
    #[serde(deserialize_with = "null_default")]
    pub entrypoint: Option<Vec<String>>,
    /// Command.
    #[serde(deserialize_with = "null_default")]
    pub cmd: Option<Vec<String>>,
    /// Of no meaning on Linux; BuildKit sets it with every command.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "std::ops::Not::not")]
    pub args_escaped: bool,
    /// Paths that are volumes.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<String, serde_json::Value>,
    /// Working directory.
    #[serde(deserialize_with = "null_default")]
    pub working_dir: String,
    /// Labels.
    #[serde(deserialize_with = "null_default")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Signal that asks for an end.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// Seconds to wait for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// Health check, in docker's form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<serde_json::Value>,
    /// Triggers of `ONBUILD`.
    #[serde(deserialize_with = "null_default")]
    pub on_build: Option<Vec<String>>,
    /// The shell of shell-form instructions.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
}

/// The layers of an image, lowest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Digests of the uncompressed tar archives.
    pub diff_ids: Vec<Digest>,
}

/// One line of the history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// RFC 3339 time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The instruction.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    /// Who.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// Free text.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// Whether it made no layer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

/// Go writes `null` for an empty list, map or string.
fn null_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_nulls_of_go() {
        let text = r#"{"architecture":"amd64","os":"linux","config":{"Env":null,"Cmd":null,"Volumes":null,"Labels":null,"User":null},"rootfs":{"type":"layers","diff_ids":[]},"history":null}"#;
        let config: ImageConfig = serde_json::from_str(text).unwrap();
        assert_eq!(config.config, RunConfig::default());
    }
}
