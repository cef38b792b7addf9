//! `--set PATTERN.KEY[.NAME]=VALUE`, and flags that override all targets.

use super::target::{AttributeKind, BakeTarget, attribute};
use crate::buildflags::{ClientEnv, entries};
use dhow_error::{Failure, invalid};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TargetOverride {
    /// A glob of target names.
    pub pattern: String,
    /// The attribute, and for maps the entry.
    key: String,
    name: Option<String>,
    value: Option<String>,
    /// Append to a list (`+=`) instead of replacing it.
    add: bool,
}

/// Parses all overrides, in order.
pub(crate) fn parse_overrides(texts: &[String]) -> Result<Vec<TargetOverride>, Failure> {
    texts.iter().map(|text| parse_override(text)).collect()
}

fn parse_override(text: &str) -> Result<TargetOverride, Failure> {
    let (keys, value) = match text.split_once('=') {
        Some((keys, value)) => (keys, Some(value.to_owned())),
        None => (text, None),
    };
    let (keys, add) = keys.strip_suffix('+').map_or((keys, false), |keys| (keys, true));
    let mut parts = keys.splitn(3, '.');
    let (pattern, key, name) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    let key = key.ok_or_else(|| invalid(format!("invalid override key {keys}, expected target.name")))?;
    // Spellings that `--set` takes besides those of the attributes.
    let key = match key {
        "platform" => "platforms",
        "secrets" => "secret",
        "tag" => "tags",
        "outputs" => "output",
        key => key,
    };
    let needs_name = matches!(key, "args" | "labels" | "contexts" | "extra-hosts");
    if needs_name && name.is_none() {
        return Err(invalid(format!("invalid key {keys}, {key} requires name")));
    }
    if value.is_none() && key != "args" {
        return Err(invalid(format!("invalid override {text}, expected target.name=value")));
    }
    if !matches!(key, "push" | "load" | "provenance" | "sbom") {
        let (_, kind) = attribute(key).map_err(|_| invalid(format!("unknown key: {key}")))?;
        if name.is_some() && kind != AttributeKind::Map {
            return Err(invalid(format!("invalid key {keys}: {key} has no names")));
        }
        if key == "inherits" || key == "description" {
            return Err(invalid(format!("unknown key: {key}")));
        }
    }
    Ok(TargetOverride {
        pattern: pattern.to_owned(),
        key: key.to_owned(),
        name: name.map(str::to_owned),
        value,
        add,
    })
}

impl TargetOverride {
    /// Applies the override to a target. `earlier` are those already applied to it.
    pub(super) fn apply(
        &self,
        target: &mut BakeTarget,
        earlier: &[&Self],
        client: &ClientEnv,
    ) -> Result<(), Failure> {
        let value = self.value.clone();
        match (self.key.as_str(), &self.name) {
            ("push" | "load", _) => return self.apply_output(target),
            ("provenance" | "sbom", _) => {
                let attest = entries::parse_short_attest(&self.key, &value.unwrap_or_default())?;
                let kind = format!("type={}", self.key);
                if let Some(list) = target.list_mut("attest") {
                    list.retain(|item| item.split(',').next() != Some(kind.as_str()));
                    list.push(entries::to_csv(&attest));
                }
                return Ok(());
            }
            (_, Some(name)) => {
                let (key, _) = attribute(&self.key)?;
                // Without a value, take it from the environment.
                let unset = || Some(client.environment.raw(name)?.to_string_lossy().into_owned());
                if let Some(value) = value.or_else(unset) {
                    target.set_entry(key, name, value);
                }
                return Ok(());
            }
            _ => {}
        }
        let (key, kind) = attribute(&self.key)?;
        let value = value.unwrap_or_default();
        match kind {
            AttributeKind::List | AttributeKind::Csv => {
                let Some(list) = target.list_mut(key) else { return Ok(()) };
                // The first override of a list replaces it, later ones append.
                if !self.add && earlier.iter().all(|other| other.key != self.key) {
                    list.clear();
                }
                match key {
                    "platforms" => list.extend(value.split(',').map(str::to_owned)),
                    _ => list.push(value),
                }
                Ok(())
            }
            _ => target.set(key, &value.into()),
        }
    }

    /// Applies `push` and `load` to the outputs.
    fn apply_output(&self, target: &mut BakeTarget) -> Result<(), Failure> {
        let enabled = match self.value.as_deref() {
            Some("true" | "1") => true,
            Some("false" | "0") => false,
            _ => return Err(invalid(format!("invalid value for boolean key {}", self.key))),
        };
        let Some(list) = target.list_mut("output") else { return Ok(()) };
        let mut outputs =
            list.iter().map(|text| entries::parse_output(text)).collect::<Result<Vec<_>, _>>()?;
        match (self.key.as_str(), enabled) {
            ("push", true) => entries::apply_push(&mut outputs),
            ("load", true) => entries::apply_load(&mut outputs),
            ("push", false) => outputs.iter_mut().for_each(|output| drop(output.attributes.remove("push"))),
            _ => {
                outputs.retain(|output| output.kind != "docker" || output.attributes.contains_key("dest"));
            }
        }
        *list = outputs.iter().map(entries::to_csv).collect();
        Ok(())
    }
}
