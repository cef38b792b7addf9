//! docker's client configuration (`config.json`), as far as it concerns the command line.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use anyhow::Context as _;
use serde::Deserialize;

use super::command::CommandContext;
use super::{contexts, environment, report};
use dhow_model::detach_keys::DetachKeys;

/// The settings honoured here; credentials are read by the registry client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ClientConfig {
    /// The keys that detach from a terminal.
    pub(crate) detach_keys: Option<String>,
    /// The default format of `ps`.
    pub(crate) ps_format: Option<String>,
    /// The default format of `stats`.
    pub(crate) stats_format: Option<String>,
    /// The default format of `images`.
    pub(crate) images_format: Option<String>,
    /// Proxies for containers and builds, by engine; dhow is `default`.
    proxies: BTreeMap<String, ConfigProxies>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ConfigProxies {
    http_proxy: String,
    https_proxy: String,
    no_proxy: String,
    ftp_proxy: String,
    all_proxy: String,
}

impl ConfigProxies {
    /// The proxies as variables, each in upper and lower case.
    fn variables(&self) -> Vec<(String, &str)> {
        let proxies = [
            ("HTTP_PROXY", &self.http_proxy),
            ("HTTPS_PROXY", &self.https_proxy),
            ("NO_PROXY", &self.no_proxy),
            ("FTP_PROXY", &self.ftp_proxy),
            ("ALL_PROXY", &self.all_proxy),
        ];
        let configured = proxies.into_iter().filter(|(_, value)| !value.is_empty());
        configured
            .flat_map(|(name, value)| {
                [(name.to_owned(), value.as_str()), (name.to_lowercase(), value.as_str())]
            })
            .collect()
    }
}

/// Adds docker's configured proxies to build arguments, unless they are set there.
pub(crate) fn add_proxy_args(args: &mut BTreeMap<String, String>, context: &CommandContext) {
    let settings = read_client_config(context);
    // docker keys the proxies of other engines by their addresses.
    for (name, value) in settings.proxies.get("default").map(ConfigProxies::variables).unwrap_or_default() {
        args.entry(name).or_insert_with(|| value.to_owned());
    }
}

/// Reads the configuration. A file that cannot be read is warned about and then ignored, as docker does.
pub(crate) fn read_client_config(context: &CommandContext) -> ClientConfig {
    let dir = contexts::config_dir(&environment::with_flags(context));
    let Some(path) = dir.map(|dir| dir.join("config.json")) else { return ClientConfig::default() };
    let parsed = match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|why| why.to_string()),
        // Most users have no such file.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(ClientConfig::default()),
        Err(error) => Err(error.to_string()),
    };
    parsed.unwrap_or_else(|why| {
        report::warn(context, &format!("cannot read {}: {why}", path.display()));
        ClientConfig::default()
    })
}

/// The detach keys: the flag, else the configuration if there is a terminal to detach from.
pub(crate) fn detach_keys(
    flag: Option<DetachKeys>,
    tty: bool,
    context: &CommandContext,
) -> anyhow::Result<DetachKeys> {
    if let Some(keys) = flag {
        return Ok(keys);
    }
    // Without a terminal nothing can detach, and a broken file should not warn where it does not matter.
    let configured = if tty { read_client_config(context).detach_keys } else { None };
    configured
        .filter(|keys| !keys.is_empty())
        .map_or_else(|| Ok(DetachKeys::default()), |keys| keys.parse())
        .context("cannot use detachKeys of docker's configuration")
}
