//! The global names of bake expressions: variables, which the environment may set, and attributes of other
//! targets.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::definition::{BakeDefinitions, BakeFunction, BakeVariable};
use super::expr::{ExprEvaluator, LocalScope, NameResolver};
use super::value::{as_bool, as_number, as_text, number_value};
use crate::buildflags::ClientEnv;
use dhow_error::{Failure, invalid};
use dhow_model::boolean;
use dhow_model::flags::csv;
use dhow_model::platform::Platform;

pub(crate) struct BakeScope<'a> {
    pub(crate) definitions: &'a BakeDefinitions,
    client: &'a ClientEnv,
    values: RefCell<BTreeMap<String, Value>>,
    evaluating: RefCell<Vec<String>>,
}

impl<'a> BakeScope<'a> {
    pub(super) fn new(definitions: &'a BakeDefinitions, client: &'a ClientEnv) -> Self {
        Self { definitions, client, values: RefCell::default(), evaluating: RefCell::default() }
    }

    fn evaluate(&self, name: &str, variable: &BakeVariable) -> Result<Value, Failure> {
        let empty = LocalScope::default();
        let evaluator = ExprEvaluator::new(self);
        let default =
            variable.default.as_ref().map(|default| evaluator.value(default, &empty)).transpose()?;
        let raw = self.client.environment.raw(name).map(|value| value.to_string_lossy().into_owned());
        let json = self.client.environment.text(&format!("{name}_JSON"));
        // As in buildx: NAME, then NAME_JSON, then the default.
        let value = match (raw, json) {
            (Some(raw), _) => parse_variable(name, &raw, default.as_ref(), variable.kind.as_deref())?,
            (None, Some(json)) if variable.kind.is_some() => serde_json::from_str(json)
                .map_err(|why| invalid(format!("{name}_JSON is not JSON: {why}")))?,
            (None, _) => default.unwrap_or_else(|| match variable.kind.as_deref() {
                None | Some("string") => Value::String(String::new()),
                Some(_) => Value::Null,
            }),
        };
        Ok(value)
    }

    /// Checks the validation blocks of variables.
    pub(crate) fn validate(&self) -> Result<(), Failure> {
        let (empty, evaluator) = (LocalScope::default(), ExprEvaluator::new(self));
        for (name, variable) in &self.definitions.variables {
            for (condition, message) in &variable.validations {
                let holds = evaluator
                    .value(condition, &empty)
                    .and_then(|value| as_bool(&value))
                    .map_err(|why| invalid(format!("in the validation of {name:?}: {why}")))?;
                if holds {
                    continue;
                }
                let message = match message {
                    Some(message) => as_text(&evaluator.value(message, &empty)?)?,
                    None => "This check failed, but no error message was given.".into(),
                };
                return Err(invalid(format!("Validation failed; variable {name:?}: {message}")));
            }
        }
        Ok(())
    }

    /// All targets or groups with their attributes, for expressions such as `target.app.tags`.
    fn block_values(&self, kind: &str) -> Result<Value, Failure> {
        let blocks = if kind == "target" { &self.definitions.targets } else { &self.definitions.groups };
        let (empty, evaluator) = (LocalScope::default(), ExprEvaluator::new(self));
        let mut entries = Map::new();
        for entry in blocks.iter().filter(|entry| !entry.attributes.contains_key("matrix")) {
            let mut fields = Map::new();
            for (name, expression) in &entry.attributes {
                // An attribute that itself refers to targets would be a cycle; it is left out here.
                if let Ok(value) = evaluator.value(expression, &empty) {
                    fields.insert(name.clone(), value);
                }
            }
            entries.insert(entry.name.clone(), Value::Object(fields));
        }
        Ok(Value::Object(entries))
    }

    fn evaluate_name(&self, name: &str) -> Option<Result<Value, Failure>> {
        if let Some(variable) = self.definitions.variables.get(name) {
            return Some(self.evaluate(name, variable));
        }
        match name {
            "BAKE_CMD_CONTEXT" => Some(Ok("cwd://".into())),
            "BAKE_LOCAL_PLATFORM" => Some(Ok(Platform::host().to_string().into())),
            "target" | "group" => Some(self.block_values(name)),
            _ => None,
        }
    }
}

impl NameResolver for BakeScope<'_> {
    fn variable(&self, name: &str) -> Option<Result<Value, Failure>> {
        if let Some(value) = self.values.borrow().get(name) {
            return Some(Ok(value.clone()));
        }
        // A variable that is being evaluated already refers to itself.
        if self.evaluating.borrow().iter().any(|open| open == name) {
            return Some(Err(invalid(format!("variable cycle not allowed for {name}"))));
        }
        self.evaluating.borrow_mut().push(name.to_owned());
        let result = self.evaluate_name(name);
        self.evaluating.borrow_mut().pop();
        if let Some(Ok(value)) = &result {
            self.values.borrow_mut().insert(name.to_owned(), value.clone());
        }
        result
    }

    fn function(&self, name: &str) -> Option<&BakeFunction> {
        self.definitions.functions.get(name)
    }
}

/// Parses an environment variable by its declared type, else by the type of its default.
fn parse_variable(
    name: &str,
    raw: &str,
    default: Option<&Value>,
    kind: Option<&str>,
) -> Result<Value, Failure> {
    let wrong = |kind: &str| invalid(format!("failed to parse {name} as {kind}: {raw:?}"));
    let kind = kind.unwrap_or(match default {
        Some(Value::Bool(_)) => "bool",
        Some(Value::Number(_)) => "number",
        Some(Value::Array(_)) => "list",
        Some(Value::Object(_)) => "map",
        _ => "string",
    });
    match kind.split('(').next().unwrap_or(kind).trim() {
        "bool" => boolean::parse(raw).map(Value::Bool).ok_or_else(|| wrong("bool")),
        "number" => as_number(&raw.into()).map(number_value).map_err(|_| wrong("number")),
        "list" | "set" | "tuple" if raw.is_empty() => Ok(Value::Array(Vec::new())),
        "list" | "set" | "tuple" => {
            let fields = csv::fields(raw)?;
            let number = kind.contains("number");
            let item = |text: String| match number {
                true => as_number(&text.into()).map(number_value),
                false => Ok(Value::String(text)),
            };
            fields.into_iter().map(item).collect()
        }
        "map" | "object" => {
            let pair = |field: &String| {
                let (key, value) = field.split_once('=')?;
                Some((key.to_owned(), Value::from(value)))
            };
            let pairs: Option<Map<String, Value>> = csv::fields(raw)?.iter().map(pair).collect();
            pairs.map(Value::Object).ok_or_else(|| wrong("map"))
        }
        _ => Ok(raw.into()),
    }
}
