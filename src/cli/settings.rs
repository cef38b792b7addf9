//! What docker's client configuration (`config.json`) says about the command line itself.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use anyhow::Context as _;
use serde::Deserialize;

use super::entry::Context;
use super::{fetch, report};
use crate::model::detach_keys::DetachKeys;

/// The settings honoured here; credentials are the registry client's to read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Settings {
    /// What detaches a terminal.
    pub(crate) detach_keys: Option<String>,
    /// The format of `ps`.
    pub(crate) ps_format: Option<String>,
    /// The format of `stats`.
    pub(crate) stats_format: Option<String>,
    /// The format of `images`.
    pub(crate) images_format: Option<String>,
    /// The proxies that containers and builds are told of, by engine.
    proxies: BTreeMap<String, Proxies>,
}

/// Proxies of one engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Proxies {
    http_proxy: String,
    https_proxy: String,
    no_proxy: String,
    ftp_proxy: String,
    all_proxy: String,
}

impl Proxies {
    /// The variables, each in upper and in lower case.
    fn variables(&self) -> Vec<(String, &str)> {
        let all = [
            ("HTTP_PROXY", &self.http_proxy),
            ("HTTPS_PROXY", &self.https_proxy),
            ("NO_PROXY", &self.no_proxy),
            ("FTP_PROXY", &self.ftp_proxy),
            ("ALL_PROXY", &self.all_proxy),
        ];
        let set = all.into_iter().filter(|(_, value)| !value.is_empty());
        set.flat_map(|(name, value)| {
            [(name.to_owned(), value.as_str()), (name.to_lowercase(), value.as_str())]
        })
        .collect()
    }
}

/// Adds the proxies of docker's configuration to build arguments that say nothing of them.
pub(crate) fn add_proxies(args: &mut BTreeMap<String, String>, context: &Context) {
    let settings = read(context);
    for (name, value) in settings.proxies.get("default").map(Proxies::variables).unwrap_or_default() {
        args.entry(name).or_insert_with(|| value.to_owned());
    }
}

/// Reads them; a file that cannot be read is said and then treated as absent, as docker does.
pub(crate) fn read(context: &Context) -> Settings {
    let environment = fetch::environment_of(context);
    let dir = environment.path("DOCKER_CONFIG").or_else(|| Some(environment.home()?.join(".docker")));
    let Some(path) = dir.map(|dir| dir.join("config.json")) else { return Settings::default() };
    let parsed = match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|why| why.to_string()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Settings::default()),
        Err(error) => Err(error.to_string()),
    };
    parsed.unwrap_or_else(|why| {
        report::warn(context, &format!("cannot read {}: {why}", path.display()));
        Settings::default()
    })
}

/// Those of the flag, else of docker's configuration, which only a terminal is worth reading for.
pub(crate) fn detach_keys(
    flag: Option<DetachKeys>,
    tty: bool,
    context: &Context,
) -> anyhow::Result<DetachKeys> {
    if let Some(keys) = flag {
        return Ok(keys);
    }
    let set = if tty { read(context).detach_keys } else { None };
    set.filter(|keys| !keys.is_empty())
        .map_or_else(|| Ok(DetachKeys::default()), |keys| keys.parse())
        .context("cannot use detachKeys of docker's configuration")
}
