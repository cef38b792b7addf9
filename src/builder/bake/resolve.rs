//! Evaluates definitions and resolves targets: matrices, inheritance, overrides and groups.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::definition::{BakeBlock, BakeDefinitions};
use super::expr::{ExprEvaluator, LocalScope};
use super::overrides::TargetOverride;
use super::scope::BakeScope;
use super::target::BakeTarget;
use super::value::{as_text, key_values};
use crate::buildflags::ClientEnv;
use dhow_error::{Failure, invalid, not_found};
use dhow_model::glob;

/// The most targets a matrix may expand to.
const MAX_TARGETS: usize = 10_000;

/// All targets and groups with evaluated attributes.
#[derive(Debug, Default)]
pub(crate) struct EvaluatedConfig {
    /// In file order; a name may occur more than once.
    pub targets: Vec<(String, BakeTarget)>,
    /// Members and description.
    pub groups: BTreeMap<String, (Vec<String>, Option<String>)>,
}

/// Evaluates all groups and targets.
pub(super) fn evaluate(
    definitions: &BakeDefinitions,
    client: &ClientEnv,
) -> Result<EvaluatedConfig, Failure> {
    let scope = BakeScope::new(definitions, client);
    scope.validate()?;
    let evaluator = ExprEvaluator::new(&scope);
    let mut config = EvaluatedConfig::default();
    for entry in &definitions.groups {
        let (members, description) = evaluate_group(entry, &evaluator)?;
        let group = config.groups.entry(entry.name.clone()).or_default();
        group.0.extend(members);
        group.1 = description.or_else(|| group.1.take());
    }
    for entry in &definitions.targets {
        check_name(&entry.name, "target")?;
        for row in matrix_rows(entry, &evaluator)? {
            let bound = LocalScope::new(row.clone());
            let named = |attribute: &str, why: &Failure| {
                invalid(format!("{attribute} of target {:?}: {why}", entry.name))
            };
            let name = match entry.attributes.get("name") {
                Some(name) => {
                    let name = evaluator.value(name, &bound).and_then(|value| as_text(&value));
                    name.map_err(|why| named("name", &why))?
                }
                None if !row.is_empty() => {
                    let message = format!("target {:?} has a matrix and no name", entry.name);
                    return Err(invalid(message).hint("name = \"app-${tgt}\" names each of them"));
                }
                None => entry.name.clone(),
            };
            check_name(&name, "target")?;
            let mut target = BakeTarget::default();
            let attributes = entry.attributes.iter().filter(|(key, _)| *key != "matrix" && *key != "name");
            for (key, expression) in attributes {
                let value = evaluator.value(expression, &bound).map_err(|why| named(key, &why))?;
                target.set(key, &value).map_err(|why| named(key, &why))?;
            }
            // The name of a matrix target is a group of all its combinations.
            if name != entry.name {
                let group = &mut config.groups.entry(entry.name.clone()).or_default().0;
                if !group.contains(&name) {
                    group.push(name.clone());
                }
            }
            config.targets.push((name, target));
        }
    }
    Ok(config)
}

fn evaluate_group(
    entry: &BakeBlock,
    evaluator: &ExprEvaluator<'_, BakeScope<'_>>,
) -> Result<(Vec<String>, Option<String>), Failure> {
    check_name(&entry.name, "group")?;
    let empty = LocalScope::default();
    let mut members = Vec::new();
    let mut description = None;
    for (key, expression) in &entry.attributes {
        let value = evaluator.value(expression, &empty)?;
        match (key.as_str(), value) {
            ("targets", Value::Array(items)) => {
                members = items.iter().map(as_text).collect::<Result<_, _>>()?;
            }
            ("description", value) => description = Some(as_text(&value)?),
            ("name", _) => {}
            _ => {
                return Err(invalid(format!(
                    "Unsupported argument; An argument named {key:?} is not expected in group {:?}.",
                    entry.name
                )));
            }
        }
    }
    Ok((members, description))
}

/// All combinations of a matrix's values; one empty row without a matrix.
fn matrix_rows(
    entry: &BakeBlock,
    evaluator: &ExprEvaluator<'_, BakeScope<'_>>,
) -> Result<Vec<BTreeMap<String, Value>>, Failure> {
    let mut rows = vec![BTreeMap::new()];
    let Some(matrix) = entry.attributes.get("matrix") else { return Ok(rows) };
    let Value::Object(axes) = evaluator.value(matrix, &LocalScope::default())? else {
        return Err(invalid(format!("matrix of target {:?} is an object of lists", entry.name)));
    };
    for (name, values) in axes {
        if !values.is_array() {
            return Err(invalid(format!("matrix of target {:?}: {name} is a list", entry.name)));
        }
        let values = key_values(values)?;
        // Checked before the combinations are created.
        if rows.len().saturating_mul(values.len()) > MAX_TARGETS {
            return Err(invalid(format!("matrix of target {:?} has too many combinations", entry.name)));
        }
        let expand = |row: &BTreeMap<String, Value>| -> Vec<BTreeMap<String, Value>> {
            let extend = |(_, value): &(Value, Value)| {
                let mut row = row.clone();
                row.insert(name.clone(), value.clone());
                row
            };
            values.iter().map(extend).collect()
        };
        rows = rows.iter().flat_map(expand).collect();
    }
    Ok(rows)
}

fn check_name(name: &str, kind: &str) -> Result<(), Failure> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(allowed) {
        return Ok(());
    }
    Err(invalid(format!("invalid {kind} name {name:?}: only \"a-zA-Z0-9_-\" are allowed")))
}

/// The targets to build.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ResolvedTargets {
    /// The members of each group; `default` holds the requested names.
    pub groups: BTreeMap<String, Vec<String>>,
    /// Includes the targets that others use as contexts.
    pub targets: BTreeMap<String, BakeTarget>,
    /// The targets that were requested, not just linked.
    pub requested: BTreeSet<String>,
}

impl EvaluatedConfig {
    /// Resolves the targets that `names` select, and those they depend on.
    pub(super) fn resolve(
        &self,
        names: &[String],
        overrides: &[TargetOverride],
        client: &ClientEnv,
    ) -> Result<ResolvedTargets, Failure> {
        let overrides = self.match_overrides(overrides)?;
        let mut resolved = ResolvedTargets::default();
        for name in names {
            let mut groups = BTreeSet::new();
            let mut targets = Vec::new();
            self.expand_group(name, &mut groups, &mut targets);
            for target in targets {
                resolved.requested.insert(target.clone());
                let resolved_target = self.resolve_target(&target, &overrides, client)?;
                resolved.targets.insert(target, resolved_target);
            }
            for group in groups {
                if let Some((members, _)) = self.groups.get(&group) {
                    resolved.groups.insert(group, members.clone());
                }
            }
            if name != "default" {
                resolved.groups.entry("default".into()).or_default().push(name.clone());
            }
        }
        if let Some(members) = resolved.groups.get_mut("default") {
            members.sort();
            members.dedup();
        }
        self.add_linked_targets(&mut resolved, &overrides, client)?;
        Ok(resolved)
    }

    /// Expands a group into targets, recording the groups. A name that is not a group is a target.
    fn expand_group(&self, name: &str, groups: &mut BTreeSet<String>, targets: &mut Vec<String>) {
        if groups.contains(name) {
            return;
        }
        let Some((members, _)) = self.groups.get(name) else {
            if !targets.iter().any(|known| known == name) {
                targets.push(name.to_owned());
            }
            return;
        };
        groups.insert(name.to_owned());
        for member in members {
            // A group may contain the target of its own name.
            if member == name && !targets.contains(member) {
                targets.push(member.clone());
            } else {
                self.expand_group(member, groups, targets);
            }
        }
    }

    pub(crate) fn has_target(&self, name: &str) -> bool {
        self.targets.iter().any(|(known, _)| known == name)
    }

    /// The overrides that apply to each target.
    fn match_overrides<'o>(
        &self,
        overrides: &'o [TargetOverride],
    ) -> Result<BTreeMap<String, Vec<&'o TargetOverride>>, Failure> {
        let mut by_target: BTreeMap<String, Vec<&TargetOverride>> = BTreeMap::new();
        for target_override in overrides {
            let mut names: BTreeSet<&str> = BTreeSet::new();
            for (name, _) in &self.targets {
                if *name == target_override.pattern || glob::matches(&target_override.pattern, name)? {
                    names.insert(name);
                }
            }
            if names.is_empty() && target_override.pattern != "*" {
                let message = format!("could not find any target matching '{}'", target_override.pattern);
                return Err(not_found(message));
            }
            names
                .into_iter()
                .for_each(|name| by_target.entry(name.to_owned()).or_default().push(target_override));
        }
        Ok(by_target)
    }

    fn resolve_target(
        &self,
        name: &str,
        overrides: &BTreeMap<String, Vec<&TargetOverride>>,
        client: &ClientEnv,
    ) -> Result<BakeTarget, Failure> {
        let mut target = self.apply_inheritance(name, &mut Vec::new(), overrides, client)?;
        let unset = |target: &BakeTarget, key: &str| target.text(key).is_none_or(str::is_empty);
        if unset(&target, "context") {
            target.set("context", &".".into())?;
        }
        if unset(&target, "dockerfile") {
            target.set("dockerfile", &"Dockerfile".into())?;
        }
        target.fields.remove("inherits");
        Ok(target)
    }

    fn apply_inheritance(
        &self,
        name: &str,
        stack: &mut Vec<String>,
        overrides: &BTreeMap<String, Vec<&TargetOverride>>,
        client: &ClientEnv,
    ) -> Result<BakeTarget, Failure> {
        if !self.has_target(name) {
            return Err(not_found(format!("failed to find target {name}")));
        }
        // Inheritance that leads back to a target would never end.
        if stack.iter().any(|other| other == name) {
            return Err(invalid(format!("infinite loop from {name} inherits")));
        }
        stack.push(name.to_owned());
        let mut own = BakeTarget::default();
        // A target may be defined in several files; later ones are merged over earlier ones.
        let parts = self.targets.iter().filter(|(known, _)| known == name);
        parts.for_each(|(_, part)| own.merge(part));
        let mut target = BakeTarget::default();
        for parent in own.list("inherits") {
            target.merge(&self.apply_inheritance(parent, stack, overrides, client)?);
        }
        stack.pop();
        target.merge(&own);
        let overrides = overrides.get(name).map(Vec::as_slice).unwrap_or_default();
        // Overrides apply at every level, so that a target inherits the overrides of its parents.
        for (at, target_override) in overrides.iter().enumerate() {
            target_override.apply(&mut target, overrides.get(..at).unwrap_or_default(), client)?;
        }
        target.normalize();
        Ok(target)
    }

    /// Adds the targets that others use as contexts.
    fn add_linked_targets(
        &self,
        resolved: &mut ResolvedTargets,
        overrides: &BTreeMap<String, Vec<&TargetOverride>>,
        client: &ClientEnv,
    ) -> Result<(), Failure> {
        let mut todo: Vec<String> = resolved.targets.keys().cloned().collect();
        while let Some(name) = todo.pop() {
            for link in resolved.targets.get(&name).map(linked_targets).unwrap_or_default() {
                if !resolved.targets.contains_key(&link) {
                    let target = self.resolve_target(&link, overrides, client)?;
                    resolved.targets.insert(link.clone(), target);
                    todo.push(link);
                }
            }
        }
        Ok(())
    }
}

/// The targets that this one uses as contexts.
fn linked_targets(target: &BakeTarget) -> Vec<String> {
    let values = target.map("contexts").filter_map(|(_, value)| value.as_deref());
    values.filter_map(|value| value.strip_prefix("target:")).map(str::to_owned).collect()
}

impl ResolvedTargets {
    /// The targets in dependency order.
    pub fn build_order(&self) -> Result<Vec<String>, Failure> {
        let mut order: Vec<String> = Vec::new();
        for name in self.targets.keys() {
            self.visit(name, &mut Vec::new(), &mut order)?;
        }
        Ok(order)
    }

    fn visit(&self, name: &str, stack: &mut Vec<String>, order: &mut Vec<String>) -> Result<(), Failure> {
        if order.iter().any(|other| other == name) {
            return Ok(());
        }
        if stack.iter().any(|other| other == name) {
            return Err(invalid(format!("infinite loop from {name} to {}", stack.join(", "))));
        }
        stack.push(name.to_owned());
        for link in self.targets.get(name).map(linked_targets).unwrap_or_default() {
            self.visit(&link, stack, order)?;
        }
        stack.pop();
        order.push(name.to_owned());
        Ok(())
    }
}
