//! Builders: `default` and the names that scripts give it. They differ in nothing but the name.

use anyhow::Context as _;

use super::environment;
use crate::error::{Failure, Kind, not_found};
use crate::model::platform::Platform;
use crate::store::Store;
use crate::store::builders::{BuilderRecord, Builders};

/// The builder that is always there.
pub(crate) const DEFAULT: &str = "default";
/// What the driver of `default` is called.
pub(crate) const DRIVER: &str = "dhow";

/// A builder to be shown.
pub(crate) struct Shown {
    /// Its name.
    pub(crate) name: String,
    /// What was asked for with the name.
    pub(crate) record: BuilderRecord,
    /// Whether it is the one used where none is named.
    pub(crate) current: bool,
}

impl Shown {
    /// The node's name.
    pub(crate) fn node(&self) -> String {
        if self.record.node.is_empty() { self.name.clone() } else { self.record.node.clone() }
    }

    /// Platforms that it builds for without an emulator, and those it was made for.
    pub(crate) fn platforms(&self) -> Vec<String> {
        let mut platforms: Vec<String> = Vec::new();
        for text in self.record.platforms.iter().cloned().chain([Platform::host().to_string()]) {
            if !platforms.contains(&text) {
                platforms.push(text);
            }
        }
        platforms
    }
}

/// The name that is asked for: by the flag or by `BUILDX_BUILDER`.
pub(crate) fn asked(flag: Option<&str>) -> Option<String> {
    let flag = flag.filter(|name| !name.is_empty()).map(str::to_owned);
    flag.or_else(|| environment::all().text("BUILDX_BUILDER").map(str::to_owned))
}

/// Refuses a builder that nobody made.
pub(crate) fn check(store: &Store, flag: Option<&str>) -> anyhow::Result<()> {
    match asked(flag) {
        Some(name) => find(&store.builders()?, Some(name.as_str())).map(drop),
        None => Ok(()),
    }
}

/// The builder of this name, or the one that is used.
pub(crate) fn find(builders: &Builders, name: Option<&str>) -> anyhow::Result<Shown> {
    let current = builders.current.as_deref().unwrap_or(DEFAULT);
    let name = name.filter(|name| !name.is_empty()).unwrap_or(current);
    let all = all(builders);
    all.into_iter().find(|shown| shown.name == name).ok_or_else(|| no_such(name).into())
}

/// Every builder; `default` comes last, as docker lists its own.
pub(crate) fn all(builders: &Builders) -> Vec<Shown> {
    let current = builders.current.as_deref().unwrap_or(DEFAULT);
    let shown =
        |name: &str, record: BuilderRecord| Shown { name: name.to_owned(), record, current: name == current };
    let mut all: Vec<Shown> =
        builders.named.iter().map(|(name, record)| shown(name, record.clone())).collect();
    let default = BuilderRecord {
        driver: DRIVER.into(),
        endpoint: DEFAULT.into(),
        node: DEFAULT.into(),
        ..BuilderRecord::default()
    };
    all.push(shown(DEFAULT, default));
    all
}

/// The error of a name that means nothing.
pub(crate) fn no_such(name: &str) -> Failure {
    not_found(format!("no builder {:?} found", name)).hint("`dhow buildx ls` lists them")
}

/// Checks a name for a new builder.
pub(crate) fn check_name(name: &str) -> anyhow::Result<()> {
    if name == DEFAULT {
        return Err(Failure::new(Kind::Conflict, "default is a reserved name").into());
    }
    crate::store::check_name(name).with_context(|| format!("cannot make the builder {name:?}"))
}
