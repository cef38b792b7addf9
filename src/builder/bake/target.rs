//! A bake target: its attributes, merging and printing.

use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Map, Value};

use super::value::{as_bool, as_text};
use crate::buildflags::entries::quoted_field;
use dhow_error::{Failure, invalid};
use dhow_model::flags::csv;

/// The type of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttributeKind {
    Text,
    Switch,
    /// A list of strings.
    List,
    /// `type=local,dest=out`; may also be written as an object.
    Csv,
    Map,
}

/// All attributes, in the order they are printed.
pub(super) const ATTRIBUTES: [(&str, AttributeKind); 27] = [
    ("description", AttributeKind::Text),
    ("inherits", AttributeKind::List),
    ("annotations", AttributeKind::List),
    ("attest", AttributeKind::Csv),
    ("context", AttributeKind::Text),
    ("contexts", AttributeKind::Map),
    ("dockerfile", AttributeKind::Text),
    ("dockerfile-inline", AttributeKind::Text),
    ("args", AttributeKind::Map),
    ("labels", AttributeKind::Map),
    ("tags", AttributeKind::List),
    ("cache-from", AttributeKind::Csv),
    ("cache-to", AttributeKind::Csv),
    ("target", AttributeKind::Text),
    ("secret", AttributeKind::Csv),
    ("ssh", AttributeKind::Csv),
    ("platforms", AttributeKind::List),
    ("output", AttributeKind::Csv),
    ("pull", AttributeKind::Switch),
    ("no-cache", AttributeKind::Switch),
    ("network", AttributeKind::Text),
    ("no-cache-filter", AttributeKind::List),
    ("shm-size", AttributeKind::Text),
    ("ulimits", AttributeKind::List),
    ("call", AttributeKind::Text),
    ("entitlements", AttributeKind::List),
    ("extra-hosts", AttributeKind::Map),
];

/// Lists that are appended to when targets are merged; the others are replaced.
const APPENDED_LISTS: [&str; 6] = ["annotations", "attest", "cache-from", "secret", "ssh", "entitlements"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeValue {
    Text(String),
    Switch(bool),
    List(Vec<String>),
    /// Strings by name; `None` for a name without a value.
    Map(BTreeMap<String, Option<String>>),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BakeTarget {
    pub fields: BTreeMap<&'static str, AttributeValue>,
}

/// The canonical name and the type of an attribute.
pub(super) fn attribute(name: &str) -> Result<(&'static str, AttributeKind), Failure> {
    let entry = ATTRIBUTES.iter().find(|(canonical, _)| *canonical == name);
    entry.copied().ok_or_else(|| {
        invalid(format!("Unsupported argument; An argument named {name:?} is not expected here."))
    })
}

impl BakeTarget {
    /// Sets an attribute. Null leaves it unset.
    pub fn set(&mut self, name: &str, value: &Value) -> Result<(), Failure> {
        let (name, kind) = attribute(name)?;
        if value.is_null() {
            return Ok(());
        }
        let field = match kind {
            AttributeKind::Text => AttributeValue::Text(as_text(value)?),
            AttributeKind::Switch => AttributeValue::Switch(as_bool(value)?),
            AttributeKind::List => AttributeValue::List(items(value, name, as_text)?),
            AttributeKind::Csv => AttributeValue::List(items(value, name, csv_text)?),
            AttributeKind::Map => AttributeValue::Map(map(value, name)?),
        };
        self.fields.insert(name, field);
        Ok(())
    }

    /// Merges `other` over this target.
    pub fn merge(&mut self, other: &Self) {
        for (name, field) in &other.fields {
            match (self.fields.get_mut(name), field) {
                (Some(AttributeValue::Map(map)), AttributeValue::Map(more)) => {
                    map.extend(more.iter().map(|(key, value)| (key.clone(), value.clone())));
                }
                (Some(AttributeValue::List(list)), AttributeValue::List(more))
                    if APPENDED_LISTS.contains(name) =>
                {
                    let new: Vec<String> = more.iter().filter(|item| !list.contains(item)).cloned().collect();
                    list.extend(new);
                }
                _ => drop(self.fields.insert(name, field.clone())),
            }
        }
    }

    /// Removes empty and repeated list items, then empty lists and maps.
    pub(crate) fn normalize(&mut self) {
        for field in self.fields.values_mut() {
            let AttributeValue::List(list) = field else { continue };
            let mut seen = Vec::with_capacity(list.len());
            list.retain(|item| {
                let new = !item.is_empty() && !seen.contains(item);
                seen.push(item.clone());
                new
            });
        }
        self.fields.retain(|_, field| match field {
            AttributeValue::List(list) => !list.is_empty(),
            AttributeValue::Map(map) => !map.is_empty(),
            AttributeValue::Text(_) | AttributeValue::Switch(_) => true,
        });
    }

    /// A string attribute, if it is set.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.fields.get(name) {
            Some(AttributeValue::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A boolean attribute, false if unset.
    pub fn switch(&self, name: &str) -> bool {
        matches!(self.fields.get(name), Some(AttributeValue::Switch(true)))
    }

    pub fn list(&self, name: &str) -> &[String] {
        match self.fields.get(name) {
            Some(AttributeValue::List(list)) => list,
            _ => &[],
        }
    }

    pub fn map(&self, name: &str) -> impl Iterator<Item = (&String, &Option<String>)> {
        let map = match self.fields.get(name) {
            Some(AttributeValue::Map(map)) => Some(map),
            _ => None,
        };
        map.into_iter().flatten()
    }

    /// Whether one of the named contexts is `context`.
    pub fn has_context(&self, context: &str) -> bool {
        self.map("contexts").any(|(_, value)| value.as_deref() == Some(context))
    }

    /// A list attribute, created if unset.
    pub(crate) fn list_mut(&mut self, name: &'static str) -> Option<&mut Vec<String>> {
        match self.fields.entry(name).or_insert_with(|| AttributeValue::List(Vec::new())) {
            AttributeValue::List(list) => Some(list),
            _ => None,
        }
    }

    pub(crate) fn set_entry(&mut self, name: &'static str, key: &str, value: String) {
        let field = self.fields.entry(name).or_insert_with(|| AttributeValue::Map(BTreeMap::new()));
        if let AttributeValue::Map(map) = field {
            map.insert(key.to_owned(), Some(value));
        }
    }
}

fn items(
    value: &Value,
    name: &str,
    read: impl Fn(&Value) -> Result<String, Failure>,
) -> Result<Vec<String>, Failure> {
    match value {
        Value::Array(items) => items.iter().filter(|item| !item.is_null()).map(read).collect(),
        _ => Err(invalid(format!("{name:?} is a list, and {value} is given"))),
    }
}

fn map(value: &Value, name: &str) -> Result<BTreeMap<String, Option<String>>, Failure> {
    let Value::Object(entries) = value else {
        return Err(invalid(format!("{name:?} is an object, and {value} is given")));
    };
    // Null means unset.
    let set = entries.iter().filter(|(_, value)| !value.is_null());
    set.map(|(key, value)| Ok((key.clone(), Some(as_text(value)?)))).collect()
}

/// Formats `{ type = "local", dest = "out" }` as `type=local,dest=out`.
fn csv_text(value: &Value) -> Result<String, Failure> {
    let Value::Object(entries) = value else { return as_text(value) };
    let mut fields = Vec::new();
    // `type` comes first: overrides recognise an attestation by its first field.
    let leading = ["type", "id"];
    let rank = |key: &String| leading.iter().position(|name| name == key).unwrap_or(leading.len());
    let mut keys: Vec<&String> = entries.keys().collect();
    keys.sort_by_key(|key| rank(key));
    for key in keys {
        let value = match entries.get(key) {
            Some(Value::Array(items)) => items.iter().map(as_text).collect::<Result<Vec<_>, _>>()?.join(","),
            Some(Value::Null) | None => continue,
            Some(scalar) => as_text(scalar)?,
        };
        fields.push(quoted_field(format!("{key}={value}")));
    }
    Ok(fields.join(","))
}

/// The inverse, for printing: an object if the fields have names, as buildx prints it.
fn csv_object(name: &str, item: &str) -> Value {
    let plain = || Value::String(item.to_owned());
    let Ok(fields) = csv::fields(item) else { return plain() };
    let mut object = Map::new();
    for field in &fields {
        match (field.split_once('='), name) {
            (Some((id, paths)), "ssh") if fields.len() == 1 && id != "id" && id != "paths" => {
                object.insert("id".into(), id.into());
                object.insert("paths".into(), paths.split(',').collect());
            }
            // `--ssh default`: the ID alone.
            (None, "ssh") => drop(object.insert("id".into(), field.as_str().into())),
            (Some((key, value)), _) => drop(object.insert(key.to_owned(), value.into())),
            (None, "output") => {
                let kind = if field == "-" { "tar" } else { "local" };
                object.insert("type".into(), kind.into());
                object.insert("dest".into(), field.as_str().into());
            }
            (None, "cache-from" | "cache-to") => {
                object.insert("type".into(), "registry".into());
                object.insert("ref".into(), field.as_str().into());
            }
            (None, _) => return plain(),
        }
    }
    Value::Object(object)
}

impl Serialize for BakeTarget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, kind) in ATTRIBUTES.iter().filter(|(name, _)| *name != "inherits") {
            match (self.fields.get(name), kind) {
                (Some(AttributeValue::Text(text)), _) => map.serialize_entry(name, text)?,
                (Some(AttributeValue::Switch(value)), _) => map.serialize_entry(name, value)?,
                (Some(AttributeValue::List(list)), AttributeKind::Csv) => {
                    let objects: Vec<Value> = list.iter().map(|item| csv_object(name, item)).collect();
                    map.serialize_entry(name, &objects)?;
                }
                (Some(AttributeValue::List(list)), _) => map.serialize_entry(name, list)?,
                (Some(AttributeValue::Map(entries)), _) => map.serialize_entry(name, entries)?,
                (None, _) => {}
            }
        }
        map.end()
    }
}
