//! JSON values by Go's rules: truth, text, order, numbers.

use std::cmp::Ordering;

use serde_json::{Number, Value};

/// Parses a number of a template: decimal, hexadecimal (`0x`), octal (`0o`), binary (`0b`), or with a
/// fraction.
pub(crate) fn parse_number(text: &str) -> Option<Value> {
    // Go allows underscores between digits.
    let plain = text.replace('_', "");
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let lower = digits.to_ascii_lowercase();
    for (prefix, base) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = lower.strip_prefix(prefix) {
            return i64::from_str_radix(digits, base).ok()?.checked_mul(sign).map(Value::from);
        }
    }
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    match digits.parse::<i64>() {
        Ok(number) => number.checked_mul(sign).map(Value::from),
        Err(_) => Number::from_f64(plain.parse().ok()?).map(Value::Number),
    }
}

/// Go's truth: everything but zero, false, nil and empty values.
pub(crate) fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// The value as `%v` prints it.
pub(crate) fn format_value(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number_text(number),
        Value::String(text) => text.clone(),
        Value::Array(list) => format!("[{}]", list.iter().map(format_value).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let mut pairs: Vec<String> =
                map.iter().map(|(key, value)| format!("{key}:{}", format_value(value))).collect();
            // Go prints maps sorted by key.
            pairs.sort_unstable();
            format!("map[{}]", pairs.join(" "))
        }
    }
}

fn number_text(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => float_text(float),
        _ => number.to_string(),
    }
}

/// Go's `%g` with the fewest digits: an exponent, of at least two digits, from a million on.
fn float_text(float: f64) -> String {
    if float == 0.0 || (1e-4..1e6).contains(&float.abs()) {
        return float.to_string();
    }
    exponent(&format!("{float:e}"))
}

/// `1e5` as C and Go write it, `1e+05`.
pub(crate) fn exponent(text: &str) -> String {
    let Some((mantissa, power)) = text.split_once('e') else { return text.to_owned() };
    match power.strip_prefix('-') {
        Some(digits) => format!("{mantissa}e-{digits:0>2}"),
        None => format!("{mantissa}e+{power:0>2}"),
    }
}

/// Go's name for the type of `value`.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// Compares two values, for `lt` and the like.
pub(crate) fn compare(a: &Value, b: &Value) -> Result<Ordering, &'static str> {
    match (a, b) {
        (Value::String(a), Value::String(b)) => Ok(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) => number_order(a, b),
        (Value::Number(_) | Value::String(_), Value::Number(_) | Value::String(_)) => Err(INCOMPATIBLE),
        _ => Err("invalid type for comparison"),
    }
}

/// Whether two values are equal, for `eq` and `ne`.
pub(crate) fn equal(a: &Value, b: &Value) -> Result<bool, &'static str> {
    match (a, b) {
        (Value::Null, other) | (other, Value::Null) => Ok(other.is_null()),
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Array(_) | Value::Object(_), _) | (_, Value::Array(_) | Value::Object(_)) => {
            Err("non-comparable type")
        }
        (Value::Bool(_), _) | (_, Value::Bool(_)) => Err(INCOMPATIBLE),
        _ => compare(a, b).map(Ordering::is_eq),
    }
}

const INCOMPATIBLE: &str = "incompatible types for comparison";

fn number_order(a: &Number, b: &Number) -> Result<Ordering, &'static str> {
    // Not as floats, which are not exact above 2^53.
    if let (Some(a), Some(b)) = (a.as_i64(), b.as_i64()) {
        return Ok(a.cmp(&b));
    }
    let (Some(a), Some(b)) = (a.as_f64(), b.as_f64()) else { return Err(INCOMPATIBLE) };
    a.partial_cmp(&b).ok_or(INCOMPATIBLE)
}

/// What docker prints for a list or map that is null in JSON, by the name of its field: in Go, these have
/// types.
pub(crate) fn null_field_text(name: &str) -> Option<&'static str> {
    match name {
        "Args" | "Cmd" | "Entrypoint" | "Env" | "Layers" | "Mounts" | "OnBuild" | "RepoDigests"
        | "RepoTags" | "Shell" | "Test" | "CapAdd" | "CapDrop" | "Binds" | "Devices" | "Dns"
        | "DnsOptions" | "DnsSearch" | "ExtraHosts" | "GroupAdd" | "SecurityOpt" | "Ulimits" => Some("[]"),
        "Annotations" | "Data" | "ExposedPorts" | "Labels" | "Sysctls" | "Tmpfs" | "Volumes" => Some("map[]"),
        _ => None,
    }
}
