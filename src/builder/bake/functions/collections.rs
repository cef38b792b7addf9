//! Functions on lists, sets and objects. Sets are lists without repetitions.

use serde_json::{Map, Value};

use super::{BuiltinResult, CallArguments};
use crate::bake::value::{as_text, index_value, values_equal};
use dhow_error::{Failure, invalid};

/// The longest list that a function may create.
const MAX_ITEMS: usize = 100_000;

pub(super) fn call(name: &str, arguments: &CallArguments<'_>) -> BuiltinResult {
    Some(match name {
        "chunklist" => chunks(arguments),
        "coalesce" => first(arguments.0, |value| !value.is_null() && *value != ""),
        "coalescelist" => first(arguments.0, |value| value.as_array().is_some_and(|list| !list.is_empty())),
        "compact" => arguments
            .list(0)
            .map(|list| list.iter().filter(|value| !value.is_null() && **value != "").cloned().collect()),
        "concat" => all_items(arguments).map(Value::Array),
        "contains" | "sethaselement" => has(arguments).map(Value::Bool),
        "distinct" => arguments.list(0).map(|list| Value::Array(distinct(list.iter().cloned()))),
        "element" => element(arguments),
        "flatten" => arguments.list(0).map(|list| Value::Array(flatten(list))),
        "hasindex" => {
            Ok(Value::Bool(arguments.get(0).and_then(|list| index_value(list, arguments.get(1)?)).is_ok()))
        }
        "index" => arguments.get(0).and_then(|list| index_value(list, arguments.get(1)?)),
        "indexof" => position(arguments),
        "keys" => arguments.map(0).map(|map| map.keys().cloned().map(Value::String).collect()),
        "length" => length(arguments),
        "lookup" => lookup(arguments),
        "merge" => merge(arguments),
        "range" => range(arguments),
        "reverse" => reverse(arguments),
        "reverselist" => arguments.list(0).map(|list| list.iter().rev().cloned().collect()),
        "setintersection" => {
            sets(arguments, |set, other| set.iter().filter(|v| holds(other, v)).cloned().collect())
        }
        "setproduct" => product(arguments),
        "setsubtract" => {
            sets(arguments, |set, other| set.iter().filter(|v| !holds(other, v)).cloned().collect())
        }
        "setsymmetricdifference" => sets(arguments, |set, other| {
            let only_left = set.iter().filter(|value| !holds(other, value));
            only_left.chain(other.iter().filter(|value| !holds(set, value))).cloned().collect()
        }),
        "setunion" => all_items(arguments).map(|items| Value::Array(distinct(items.into_iter()))),
        "slice" => slice(arguments),
        "sort" => sort(arguments),
        "values" => arguments.map(0).map(|map| map.values().cloned().collect()),
        "zipmap" => zip(arguments),
        _ => return None,
    })
}

fn holds(list: &[Value], value: &Value) -> bool {
    list.iter().any(|item| values_equal(item, value))
}

fn distinct(items: impl Iterator<Item = Value>) -> Vec<Value> {
    let mut unique: Vec<Value> = Vec::new();
    for item in items {
        if !holds(&unique, &item) {
            unique.push(item);
        }
    }
    unique
}

fn first(values: &[Value], accept: impl Fn(&Value) -> bool) -> Result<Value, Failure> {
    values.iter().find(|value| accept(value)).cloned().ok_or_else(|| invalid("no argument is left over"))
}

fn all_items(arguments: &CallArguments<'_>) -> Result<Vec<Value>, Failure> {
    let mut items = Vec::new();
    for at in 0..arguments.0.len() {
        items.extend(arguments.list(at)?.iter().cloned());
    }
    Ok(items)
}

fn has(arguments: &CallArguments<'_>) -> Result<bool, Failure> {
    Ok(holds(arguments.list(0)?, arguments.get(1)?))
}

fn chunks(arguments: &CallArguments<'_>) -> Result<Value, Failure> {
    let (list, size) = (arguments.list(0)?, arguments.count(1)?);
    // As in go-cty, 0 gives a single chunk.
    let size = if size == 0 { list.len().max(1) } else { size };
    Ok(list.chunks(size).map(|chunk| Value::Array(chunk.to_vec())).collect())
}

fn element(arguments: &CallArguments<'_>) -> Result<Value, Failure> {
    let (list, at) = (arguments.list(0)?, arguments.count(1)?);
    // As in go-cty the index wraps around.
    let at = at.checked_rem(list.len()).ok_or_else(|| invalid("the list is empty"))?;
    Ok(list.get(at).cloned().unwrap_or_default())
}

fn flatten(list: &[Value]) -> Vec<Value> {
    let flat = |value: &Value| match value {
        Value::Array(inner) => flatten(inner),
        other => vec![other.clone()],
    };
    list.iter().flat_map(flat).collect()
}

fn position(arguments: &CallArguments<'_>) -> Result<Value, Failure> {
    let needle = arguments.get(1)?;
    let at = arguments.list(0)?.iter().position(|item| values_equal(item, needle));
    at.map(Value::from).ok_or_else(|| invalid("item not found"))
}

fn length(arguments: &CallArguments<'_>) -> Result<Value, Failure> {
    match arguments.get(0)? {
        Value::Array(list) => Ok(list.len().into()),
        Value::Object(map) => Ok(map.len().into()),
        Value::String(text) => Ok(text.chars().count().into()),
        other => Err(invalid(format!("{other} has no length"))),
    }
}

fn lookup(arguments: &CallArguments<'_>) -> Result<Value, Failure> {
    let (map, key) = (arguments.map(0)?, arguments.text(1)?);
    match (map.get(&key), arguments.0.get(2)) {
        (Some(value), _) => Ok(value.clone()),
        (None, Some(default)) => Ok(default.clone()),
        (None, None) => Err(invalid(format!("there is no key {key:?}"))),
    }
}

fn merge(arguments: &CallArguments<'_>) -> Result<Value, Failure> {
    let mut merged = Map::new();
    for at in 0..arguments.0.len() {
        if !arguments.get(at)?.is_null() {
            merged.extend(arguments.map(at)?.clone());
        }
    }
    Ok(Value::Object(merged))
}

fn range(arguments: &CallArguments<'_>) -> Result<Value, Failure> {
    let (start, end, step) = match arguments.0.len() {
        1 => (0.0, arguments.number(0)?, None),
        2 => (arguments.number(0)?, arguments.number(1)?, None),
        _ => (arguments.number(0)?, arguments.number(1)?, Some(arguments.number(2)?)),
    };
    let step = step.unwrap_or(if start > end { -1.0 } else { 1.0 });
    if step == 0.0 || (end - start) * step < 0.0 {
        return Err(invalid("the step leads away from the end"));
    }
    let mut list = Vec::new();
    let mut at = start;
    while (step > 0.0 && at < end) || (step < 0.0 && at > end) {
        if list.len() >= MAX_ITEMS {
            return Err(invalid("the range is too long"));
        }
        list.push(crate::bake::value::number_value(at));
        at += step;
    }
    Ok(Value::Array(list))
}

fn reverse(arguments: &CallArguments<'_>) -> Result<Value, Failure> {
    match arguments.get(0)? {
        Value::Array(list) => Ok(list.iter().rev().cloned().collect()),
        _ => arguments.text(0).map(|text| Value::String(text.chars().rev().collect())),
    }
}

fn sets(
    arguments: &CallArguments<'_>,
    join: impl Fn(&[Value], &[Value]) -> Vec<Value>,
) -> Result<Value, Failure> {
    let mut set = distinct(arguments.list(0)?.iter().cloned());
    for at in 1..arguments.0.len() {
        set = join(&set, arguments.list(at)?);
    }
    Ok(Value::Array(set))
}

fn product(arguments: &CallArguments<'_>) -> Result<Value, Failure> {
    let mut rows: Vec<Vec<Value>> = vec![Vec::new()];
    for at in 0..arguments.0.len() {
        let list = arguments.list(at)?;
        if rows.len().saturating_mul(list.len()) > MAX_ITEMS {
            return Err(invalid("the product is too large"));
        }
        let longer = |row: &Vec<Value>| -> Vec<Vec<Value>> {
            list.iter().map(|item| row.iter().cloned().chain([item.clone()]).collect()).collect()
        };
        rows = rows.iter().flat_map(longer).collect();
    }
    Ok(rows.into_iter().map(Value::Array).collect())
}

fn slice(arguments: &CallArguments<'_>) -> Result<Value, Failure> {
    let (from, to) = (arguments.count(1)?, arguments.count(2)?);
    let part = arguments.list(0)?.get(from..to).ok_or_else(|| invalid("the list is shorter than that"))?;
    Ok(Value::Array(part.to_vec()))
}

fn sort(arguments: &CallArguments<'_>) -> Result<Value, Failure> {
    let mut texts = arguments.list(0)?.iter().map(as_text).collect::<Result<Vec<_>, _>>()?;
    texts.sort();
    Ok(texts.into_iter().map(Value::String).collect())
}

fn zip(arguments: &CallArguments<'_>) -> Result<Value, Failure> {
    let (keys, values) = (arguments.list(0)?, arguments.list(1)?);
    if keys.len() != values.len() {
        return Err(invalid("the lists are of different lengths"));
    }
    let keys = keys.iter().map(as_text).collect::<Result<Vec<_>, _>>()?;
    Ok(Value::Object(keys.into_iter().zip(values.iter().cloned()).collect()))
}
