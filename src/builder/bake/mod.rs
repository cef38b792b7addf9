//! `bake`: builds described by targets in HCL, JSON or compose files, as in buildx.
//!
//! 1. [`definition`] and [`compose`] parse the files into [`BakeDefinitions`]: variables, functions, groups
//!    and targets, whose attributes are still expressions.
//! 2. [`resolve`] evaluates them ([`expr`], [`scope`], [`functions`]) and expands matrices, groups and
//!    inheritance; [`overrides`] applies `--set`.
//! 3. [`request`] turns each [`BakeTarget`] into a [`BuildRequest`](super::request::BuildRequest).

mod compose;
mod definition;
mod expr;
mod functions;
mod interpolate;
mod overrides;
mod request;
mod resolve;
mod scope;
mod target;
mod value;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use self::definition::BakeDefinitions;
use self::expr::NameResolver as _;
use self::resolve::EvaluatedConfig;
pub use self::resolve::ResolvedTargets;
use self::scope::BakeScope;
pub(crate) use self::target::BakeTarget;
use super::buildflags::ClientEnv;
use dhow_error::{Failure, invalid, not_found};

/// The files that are read if none is named: those that exist, in this order.
pub const DEFAULT_FILES: [&str; 8] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
    "docker-bake.json",
    "docker-bake.hcl",
    "docker-bake.override.json",
    "docker-bake.override.hcl",
];

#[derive(Clone, Debug)]
pub struct BakeFile {
    /// As given.
    pub name: String,
    pub content: Vec<u8>,
    /// The content of `.env` next to it, for compose files.
    pub dotenv: Option<Vec<u8>>,
}

/// All files, parsed and evaluated.
#[derive(Debug)]
pub struct BakeConfig {
    definitions: BakeDefinitions,
    evaluated: EvaluatedConfig,
}

/// An entry of `bake --list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BakeListing {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The members of a group, or the value of a variable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// The type of a variable.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

impl BakeConfig {
    /// Parses and evaluates the files.
    pub fn parse(files: &[BakeFile], client: &ClientEnv) -> Result<Self, Failure> {
        let mut definitions = BakeDefinitions::default();
        for file in files {
            let text = str::from_utf8(&file.content)
                .map_err(|_| invalid(format!("failed to parse {}: it is not UTF-8", file.name)))?;
            read_file(&mut definitions, file, text, client)
                .map_err(|why| with_hint_of(&why, format!("failed to parse {}: {why}", file.name)))?;
        }
        let evaluated = resolve::evaluate(&definitions, client)?;
        Ok(Self { definitions, evaluated })
    }

    /// The targets that `names` select, after `sets` (`PATTERN.KEY=VALUE`).
    pub fn resolve(
        &self,
        names: &[String],
        sets: &[String],
        client: &ClientEnv,
    ) -> Result<ResolvedTargets, Failure> {
        let default = ["default".to_owned()];
        let names = if names.is_empty() { &default } else { names };
        for name in names {
            if !self.evaluated.groups.contains_key(name) && !self.evaluated.has_target(name) {
                return Err(self.no_target(name));
            }
        }
        self.evaluated.resolve(names, &overrides::parse_overrides(sets)?, client)
    }

    fn no_target(&self, name: &str) -> Failure {
        let names: Vec<String> = self.targets().into_iter().map(|listing| listing.name).collect();
        let failure = not_found(format!("failed to find target {name}"));
        if names.is_empty() { failure } else { failure.hint(format!("there are: {}", names.join(", "))) }
    }

    /// Targets and groups.
    pub fn targets(&self) -> Vec<BakeListing> {
        let mut listings: BTreeMap<&str, BakeListing> = BTreeMap::new();
        for (name, target) in &self.evaluated.targets {
            let listing = listings.entry(name).or_insert_with(|| BakeListing::named(name));
            listing.description =
                target.text("description").map(str::to_owned).or_else(|| listing.description.take());
        }
        for (name, (members, description)) in &self.evaluated.groups {
            let mut listing = BakeListing::named(name);
            listing.description = description.clone();
            listing.value = Some(members.iter().map(String::as_str).collect());
            listings.insert(name, listing);
        }
        listings.into_values().collect()
    }

    pub fn variables(&self, client: &ClientEnv) -> Vec<BakeListing> {
        let scope = BakeScope::new(&self.definitions, client);
        let listing = |(name, variable): (&String, &definition::BakeVariable)| BakeListing {
            description: variable.description.clone(),
            kind: variable.kind.clone(),
            value: scope.variable(name).and_then(Result::ok),
            ..BakeListing::named(name)
        };
        self.definitions.variables.iter().map(listing).collect()
    }
}

impl BakeListing {
    fn named(name: &str) -> Self {
        Self { name: name.to_owned(), description: None, value: None, kind: None }
    }
}

/// A message with the hint of another failure.
fn with_hint_of(why: &Failure, message: String) -> Failure {
    match why.hint_text() {
        Some(hint) => invalid(message).hint(hint),
        None => invalid(message),
    }
}

/// Parses a file by its extension, else by what its content looks like.
fn read_file(
    definitions: &mut BakeDefinitions,
    file: &BakeFile,
    text: &str,
    client: &ClientEnv,
) -> Result<(), Failure> {
    let is = |ending: &str| file.name.ends_with(ending);
    if is(".yml") || is(".yaml") {
        return compose::read_compose(definitions, text, file.dotenv.as_deref(), client);
    }
    if is(".json") {
        return definition::read_json(definitions, text);
    }
    if is(".hcl") {
        return definition::read_hcl(definitions, text);
    }
    if text.trim_start().starts_with('{') {
        return definition::read_json(definitions, text);
    }
    // Could be either: HCL first, whose error is also the one reported.
    definition::read_hcl(definitions, text).or_else(|why| {
        compose::read_compose(definitions, text, file.dotenv.as_deref(), client).map_err(|_| why)
    })
}

/// The output of `bake --print`.
#[derive(Serialize)]
struct PrintedConfig<'a> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    group: BTreeMap<&'a str, GroupMembers<'a>>,
    target: &'a BTreeMap<String, BakeTarget>,
}

#[derive(Serialize)]
struct GroupMembers<'a> {
    targets: &'a [String],
}

impl ResolvedTargets {
    /// The targets as `buildx bake --print` shows them.
    pub fn printed(&self) -> String {
        let groups = self.groups.iter();
        let group = groups.map(|(name, targets)| (name.as_str(), GroupMembers { targets })).collect();
        let printed = PrintedConfig { group, target: &self.targets };
        serde_json::to_string_pretty(&printed).unwrap_or_default()
    }
}
