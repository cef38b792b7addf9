//! Turns a target into a build request.

use std::collections::BTreeMap;
use std::path::Path;

use super::target::BakeTarget;
use crate::buildflags::{ClientEnv, args, context, entries, secret};
use crate::request::{BuildRequest, ContextSource, DockerfileSource, OptionsEntry};
use dhow_error::{Failure, invalid};
use dhow_model::bytes;
use dhow_model::container::UlimitSpec;
use dhow_model::flags::csv;

impl BakeTarget {
    /// The request. Contexts that are targets stay [`ContextSource::Target`].
    pub fn request(&self, client: &ClientEnv) -> Result<BuildRequest, Failure> {
        let source = self.source(client)?;
        let mut args: BTreeMap<String, String> = self.values("args");
        let epoch = args::parse_epoch(&mut args, client)?;
        let parse_attests = |name: &str| self.list(name).iter().map(|text| entries::parse_attest(text));
        Ok(BuildRequest {
            dockerfile: self.dockerfile(&source, client)?,
            contexts: self.contexts(client)?,
            tags: self.list("tags").to_vec(),
            target: self.text("target").filter(|target| !target.is_empty()).map(str::to_owned),
            labels: self.values("labels"),
            annotations: args::parse_annotations(self.list("annotations"))?,
            platforms: self.platforms()?,
            no_cache: self.switch("no-cache"),
            no_cache_filter: self.list("no-cache-filter").to_vec(),
            pull: self.switch("pull"),
            outputs: self
                .list("output")
                .iter()
                .map(|text| entries::parse_output(text))
                .collect::<Result<_, _>>()?,
            cache_from: self.caches("cache-from")?,
            cache_to: self.caches("cache-to")?,
            attests: entries::merge_attests(parse_attests("attest").collect::<Result<Vec<_>, _>>()?)?,
            secrets: self
                .list("secret")
                .iter()
                .map(|text| secret::parse_secret(text, client))
                .collect::<Result<_, _>>()?,
            ssh: self
                .list("ssh")
                .iter()
                .map(|text| parse_ssh_entry(text, client))
                .collect::<Result<_, _>>()?,
            add_hosts: self.map("extra-hosts").filter_map(host_entry).collect(),
            network: self.text("network").unwrap_or("default").to_owned(),
            shm_size: self.text("shm-size").map(bytes::parse).transpose()?,
            ulimits: self
                .list("ulimits")
                .iter()
                .map(|text| text.parse::<UlimitSpec>())
                .collect::<Result<_, _>>()?,
            allow: self.list("entitlements").to_vec(),
            context: source,
            args,
            epoch,
            ..BuildRequest::default()
        })
    }

    fn source(&self, client: &ClientEnv) -> Result<ContextSource, Failure> {
        let text = self.text("context").unwrap_or(".");
        match text.strip_prefix("target:") {
            Some(target) => Ok(ContextSource::Target(target.to_owned())),
            None => context::parse_main(strip_cwd(text), client),
        }
    }

    fn dockerfile(&self, source: &ContextSource, client: &ClientEnv) -> Result<DockerfileSource, Failure> {
        if let Some(text) = self.text("dockerfile-inline") {
            return Ok(DockerfileSource::Inline(text.to_owned()));
        }
        let text = self.text("dockerfile").unwrap_or("Dockerfile");
        if let Some(path) = text.strip_prefix("cwd://") {
            return Ok(DockerfileSource::Path(client.absolute(path)));
        }
        match source {
            // The default is left open, so that `dockerfile` is found too.
            _ if text == "Dockerfile" => Ok(DockerfileSource::Default),
            ContextSource::Directory(dir) if !text.contains("://") && text != "-" => {
                Ok(DockerfileSource::Path(dir.join(Path::new(text))))
            }
            _ => context::parse_dockerfile(Some(text), source, client),
        }
    }

    fn contexts(&self, client: &ClientEnv) -> Result<BTreeMap<String, ContextSource>, Failure> {
        let set = self.map("contexts").filter_map(|(name, value)| Some((name, value.as_deref()?)));
        set.map(|(name, value)| context::parse_pair(name, strip_cwd(value), client)).collect()
    }

    fn platforms(&self) -> Result<Vec<dhow_model::platform::Platform>, Failure> {
        let read = |text: &String| match text.as_str() {
            // buildx's name for the platform of the machine that builds.
            "local" => Ok(dhow_model::platform::Platform::host()),
            text => text.parse(),
        };
        self.list("platforms").iter().map(read).collect()
    }

    fn caches(&self, name: &str) -> Result<Vec<OptionsEntry>, Failure> {
        let caches =
            self.list(name).iter().map(|text| entries::parse_cache(text)).collect::<Result<Vec<_>, _>>()?;
        Ok(caches.into_iter().flatten().collect())
    }

    fn values(&self, name: &str) -> BTreeMap<String, String> {
        self.map(name).filter_map(|(key, value)| Some((key.clone(), value.clone()?))).collect()
    }
}

/// `cwd://DIR` is relative to the working directory.
fn strip_cwd(text: &str) -> &str {
    match text.strip_prefix("cwd://") {
        Some("") => ".",
        Some(path) => path,
        None => text,
    }
}

fn host_entry((name, address): (&String, &Option<String>)) -> Option<String> {
    Some(format!("{name}:{}", address.as_deref()?))
}

/// `default`, `id=default,paths=a` or `ID=PATH`.
fn parse_ssh_entry(text: &str, client: &ClientEnv) -> Result<crate::request::SshSource, Failure> {
    if !text.starts_with("id=") {
        return secret::parse_ssh(text, client);
    }
    let (mut id, mut paths) = (String::new(), String::new());
    for field in csv::fields(text)? {
        match field.split_once('=') {
            Some(("id", value)) => id = value.to_owned(),
            Some(("paths", value)) => paths = value.to_owned(),
            _ => return Err(invalid(format!("unexpected {field:?} in the agent {text:?}"))),
        }
    }
    secret::parse_ssh(&if paths.is_empty() { id } else { format!("{id}={paths}") }, client)
}
