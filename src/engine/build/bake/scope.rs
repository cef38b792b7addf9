//! The global names of bake expressions: variables, which the environment may set, and attributes of other
//! targets.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::definition::{Definitions, Function, Variable};
use super::expr::{Bound, Evaluator, Names, boolean, text};
use crate::engine::build::ask::Surroundings;
use crate::error::{Failure, invalid};
use crate::model::csv;
use crate::model::platform::Platform;

pub(super) struct Scope<'a> {
    pub(super) definitions: &'a Definitions,
    around: &'a Surroundings,
    known: RefCell<BTreeMap<String, Value>>,
    open: RefCell<Vec<String>>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(definitions: &'a Definitions, around: &'a Surroundings) -> Self {
        Self { definitions, around, known: RefCell::default(), open: RefCell::default() }
    }

    fn evaluate(&self, name: &str, variable: &Variable) -> Result<Value, Failure> {
        let none = Bound::default();
        let evaluator = Evaluator::new(self);
        let default = variable.default.as_ref().map(|default| evaluator.value(default, &none)).transpose()?;
        let raw = self.around.environment.raw(name).map(|value| value.to_string_lossy().into_owned());
        let json = self.around.environment.text(&format!("{name}_JSON"));
        // As in buildx: NAME, then NAME_JSON, then the default.
        let value = match (raw, json) {
            (Some(raw), _) => of_text(name, &raw, default.as_ref(), variable.kind.as_deref())?,
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
    pub(super) fn validate(&self) -> Result<(), Failure> {
        let (none, evaluator) = (Bound::default(), Evaluator::new(self));
        for (name, variable) in &self.definitions.variables {
            for (condition, message) in &variable.validations {
                let holds = evaluator
                    .value(condition, &none)
                    .and_then(|value| boolean(&value))
                    .map_err(|why| invalid(format!("in the validation of {name:?}: {why}")))?;
                if holds {
                    continue;
                }
                let message = match message {
                    Some(message) => text(&evaluator.value(message, &none)?)?,
                    None => "This check failed, but no error message was given.".into(),
                };
                return Err(invalid(format!("Validation failed; variable {name:?}: {message}")));
            }
        }
        Ok(())
    }

    /// All targets or groups with their attributes, for expressions such as `target.app.tags`.
    fn entries(&self, kind: &str) -> Result<Value, Failure> {
        let all = if kind == "target" { &self.definitions.targets } else { &self.definitions.groups };
        let (none, evaluator) = (Bound::default(), Evaluator::new(self));
        let mut entries = Map::new();
        for entry in all.iter().filter(|entry| !entry.attributes.contains_key("matrix")) {
            let mut fields = Map::new();
            for (name, expression) in &entry.attributes {
                // An attribute that itself refers to targets would be a cycle; it is left out here.
                if let Ok(value) = evaluator.value(expression, &none) {
                    fields.insert(name.clone(), value);
                }
            }
            entries.insert(entry.name.clone(), Value::Object(fields));
        }
        Ok(Value::Object(entries))
    }

    fn find(&self, name: &str) -> Option<Result<Value, Failure>> {
        if let Some(variable) = self.definitions.variables.get(name) {
            return Some(self.evaluate(name, variable));
        }
        match name {
            "BAKE_CMD_CONTEXT" => Some(Ok("cwd://".into())),
            "BAKE_LOCAL_PLATFORM" => Some(Ok(Platform::host().to_string().into())),
            "target" | "group" => Some(self.entries(name)),
            _ => None,
        }
    }
}

impl Names for Scope<'_> {
    fn variable(&self, name: &str) -> Option<Result<Value, Failure>> {
        if let Some(value) = self.known.borrow().get(name) {
            return Some(Ok(value.clone()));
        }
        // A variable that is being evaluated already refers to itself.
        if self.open.borrow().iter().any(|open| open == name) {
            return Some(Err(invalid(format!("variable cycle not allowed for {name}"))));
        }
        self.open.borrow_mut().push(name.to_owned());
        let found = self.find(name);
        self.open.borrow_mut().pop();
        if let Some(Ok(value)) = &found {
            self.known.borrow_mut().insert(name.to_owned(), value.clone());
        }
        found
    }

    fn function(&self, name: &str) -> Option<&Function> {
        self.definitions.functions.get(name)
    }
}

/// Parses an environment variable by its declared type, else by the type of its default.
fn of_text(name: &str, raw: &str, default: Option<&Value>, kind: Option<&str>) -> Result<Value, Failure> {
    let wrong = |kind: &str| invalid(format!("failed to parse {name} as {kind}: {raw:?}"));
    let kind = kind.unwrap_or(match default {
        Some(Value::Bool(_)) => "bool",
        Some(Value::Number(_)) => "number",
        Some(Value::Array(_)) => "list",
        Some(Value::Object(_)) => "map",
        _ => "string",
    });
    match kind.split('(').next().unwrap_or(kind).trim() {
        "bool" => match raw {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            _ => Err(wrong("bool")),
        },
        "number" => super::expr::number(&raw.into()).map(super::expr::to_number).map_err(|_| wrong("number")),
        "list" | "set" | "tuple" if raw.is_empty() => Ok(Value::Array(Vec::new())),
        "list" | "set" | "tuple" => {
            let fields = csv::fields(raw)?;
            let number = kind.contains("number");
            let item = |text: String| match number {
                true => super::expr::number(&text.into()).map(super::expr::to_number),
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
