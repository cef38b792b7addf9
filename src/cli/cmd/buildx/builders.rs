//! Builders: `default` and those made by `buildx create`. They differ in nothing but their names.

use anyhow::Context as _;

use crate::frame::environment;
use dhow_error::{Failure, FailureKind, not_found};
use dhow_model::platform::Platform;
use dhow_store::Store;
use dhow_store::builders::{BuilderNames, BuilderRecord};

/// The builder that always exists.
pub(crate) const DEFAULT_BUILDER: &str = "default";
/// The driver that `default` reports.
const DEFAULT_DRIVER: &str = "dhow";

/// A builder as listings show it.
pub(crate) struct NamedBuilder {
    pub(crate) name: String,
    /// What `buildx create` was asked for.
    pub(crate) record: BuilderRecord,
    /// Whether it is used when none is named.
    pub(crate) current: bool,
}

impl NamedBuilder {
    /// The name of its only node.
    pub(crate) fn node_name(&self) -> String {
        if self.record.node.is_empty() { self.name.clone() } else { self.record.node.clone() }
    }

    /// The platforms given to `buildx create`, and the host's.
    pub(crate) fn platforms(&self) -> Vec<String> {
        let mut platforms: Vec<String> = Vec::new();
        // Whatever was asked for, builds run on this machine.
        for text in self.record.platforms.iter().cloned().chain([Platform::host().to_string()]) {
            if !platforms.contains(&text) {
                platforms.push(text);
            }
        }
        platforms
    }
}

/// The builder named by the flag or by `BUILDX_BUILDER`.
pub(crate) fn requested_builder(flag: Option<&str>) -> Option<String> {
    // As in buildx, the flag wins over the environment.
    let flag = flag.filter(|name| !name.is_empty()).map(str::to_owned);
    flag.or_else(|| environment::all().text("BUILDX_BUILDER").map(str::to_owned))
}

/// Fails if the requested builder does not exist.
pub(crate) fn check_builder(store: &Store, flag: Option<&str>) -> anyhow::Result<()> {
    match requested_builder(flag) {
        Some(name) => find_builder(&store.builders()?, Some(name.as_str())).map(drop),
        None => Ok(()),
    }
}

/// The builder `name`, or the current one.
pub(crate) fn find_builder(builders: &BuilderNames, name: Option<&str>) -> anyhow::Result<NamedBuilder> {
    let current = builders.current.as_deref().unwrap_or(DEFAULT_BUILDER);
    let name = name.filter(|name| !name.is_empty()).unwrap_or(current);
    let mut candidates = list_builders(builders).into_iter();
    candidates.find(|builder| builder.name == name).ok_or_else(|| unknown_builder(name).into())
}

/// Every builder; `default` comes last, where docker lists its own.
pub(crate) fn list_builders(builders: &BuilderNames) -> Vec<NamedBuilder> {
    let current = builders.current.as_deref().unwrap_or(DEFAULT_BUILDER);
    let named = |name: &str, record: BuilderRecord| NamedBuilder {
        name: name.to_owned(),
        record,
        current: name == current,
    };
    let mut entries: Vec<NamedBuilder> =
        builders.named.iter().map(|(name, record)| named(name, record.clone())).collect();
    let default = BuilderRecord {
        driver: DEFAULT_DRIVER.into(),
        endpoint: DEFAULT_BUILDER.into(),
        node: DEFAULT_BUILDER.into(),
        ..BuilderRecord::default()
    };
    entries.push(named(DEFAULT_BUILDER, default));
    entries
}

/// The error for a builder that does not exist.
pub(crate) fn unknown_builder(name: &str) -> Failure {
    not_found(format!("no builder {:?} found", name)).hint("`dhow buildx ls` lists them")
}

/// Checks the name of a new builder.
pub(crate) fn check_new_name(name: &str) -> anyhow::Result<()> {
    if name == DEFAULT_BUILDER {
        return Err(Failure::new(FailureKind::Conflict, "default is a reserved name").into());
    }
    dhow_store::check_name(name).with_context(|| format!("cannot make the builder {name:?}"))
}
