//! `image inspect`: an image as docker's API describes one.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;

use super::lookup;
use dhow_model::digest::Digest;
use dhow_model::image::RunConfig;
use dhow_model::platform::Platform;
use dhow_store::{NameRecord, Store, StoredImage};

/// Go's zero time, which docker shows where there is none.
pub(crate) const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// docker's `image.InspectResponse`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ImageInspect {
    id: Digest,
    repo_tags: Vec<String>,
    repo_digests: Vec<String>,
    parent: &'static str,
    comment: String,
    created: String,
    docker_version: String,
    author: String,
    config: ConfigInspect,
    architecture: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    variant: String,
    os: String,
    size: u64,
    graph_driver: GraphDriver,
    #[serde(rename = "RootFS")]
    root_fs: RootFsInspect,
    metadata: ImageMetadata,
}

/// docker's `container.Config`: an image's defaults for containers, or a container's own values.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ConfigInspect {
    pub hostname: String,
    pub domainname: String,
    pub user: String,
    pub(crate) attach_stdin: bool,
    pub(crate) attach_stdout: bool,
    pub(crate) attach_stderr: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed_ports: BTreeMap<String, Value>,
    pub tty: bool,
    pub(crate) open_stdin: bool,
    pub stdin_once: bool,
    pub env: Vec<String>,
    pub cmd: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Value>,
    pub image: String,
    pub volumes: Option<BTreeMap<String, Value>>,
    pub working_dir: String,
    pub entrypoint: Option<Vec<String>>,
    pub on_build: Option<Vec<String>>,
    pub labels: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
}

/// Where the files are.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GraphDriver {
    pub data: BTreeMap<&'static str, String>,
    pub name: &'static str,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct RootFsInspect {
    #[serde(rename = "Type")]
    kind: &'static str,
    layers: Vec<Digest>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ImageMetadata {
    last_tag_time: String,
}

pub(crate) fn inspect(store: &Store, text: &str, platforms: &[Platform]) -> Result<Box<ImageInspect>> {
    let image = lookup::find(store, text, platforms)?;
    let names = store.names_of(&image.id)?;
    let tagged = |name: &&NameRecord| name.id == image.id && name.reference.tag().is_some();
    let last_tag = names.iter().filter(tagged).map(|name| name.since.clone()).max();
    let graph_driver = graph_driver(store, &image);
    let summary = lookup::with_names(image, names);
    let (record, config) = (summary.image.record, summary.image.config);
    Ok(Box::new(ImageInspect {
        id: summary.image.id,
        repo_tags: summary.tags.iter().map(|name| name.familiar()).collect(),
        repo_digests: summary.digests.iter().map(|name| name.familiar()).collect(),
        parent: "",
        comment: config.comment,
        created: config.created.unwrap_or_else(|| NO_TIME.into()),
        docker_version: config.docker_version,
        author: config.author,
        config: defaults(config.config),
        architecture: config.architecture,
        variant: config.variant,
        os: config.os,
        size: record.size,
        graph_driver,
        root_fs: RootFsInspect { kind: "layers", layers: config.rootfs.diff_ids },
        metadata: ImageMetadata { last_tag_time: last_tag.unwrap_or_else(|| NO_TIME.into()) },
    }))
}

fn defaults(config: RunConfig) -> ConfigInspect {
    ConfigInspect {
        user: config.user,
        exposed_ports: config.exposed_ports,
        env: config.env,
        cmd: config.cmd,
        healthcheck: config.healthcheck,
        // docker shows null rather than an empty object.
        volumes: Some(config.volumes).filter(|volumes| !volumes.is_empty()),
        working_dir: config.working_dir,
        entrypoint: config.entrypoint,
        on_build: config.on_build,
        labels: config.labels,
        stop_signal: config.stop_signal,
        stop_timeout: config.stop_timeout,
        shell: config.shell,
        ..ConfigInspect::default()
    }
}

/// docker's order: the uppermost layer, then the ones below from top to bottom.
fn graph_driver(store: &Store, image: &StoredImage) -> GraphDriver {
    let mut trees = layer_trees(store, &image.config.rootfs.diff_ids);
    let mut data = BTreeMap::new();
    if !trees.is_empty() {
        data.insert("UpperDir", trees.remove(0));
    }
    if !trees.is_empty() {
        data.insert("LowerDir", trees.join(":"));
    }
    GraphDriver { data, name: "overlay" }
}

/// The directories of `layers`, uppermost first.
pub(crate) fn layer_trees(store: &Store, layers: &[Digest]) -> Vec<String> {
    layers.iter().rev().map(|layer| store.layer_tree(layer).display().to_string()).collect()
}
