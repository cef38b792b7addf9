//! The values of bake expressions, as JSON: conversions as HCL does them, elements and equality.

use serde_json::Value;

use dhow_error::{Failure, invalid};

/// The keys and values of a list or an object.
pub(crate) fn key_values(value: Value) -> Result<Vec<(Value, Value)>, Failure> {
    match value {
        Value::Array(items) => {
            Ok(items.into_iter().enumerate().map(|(at, value)| (Value::from(at), value)).collect())
        }
        Value::Object(map) => Ok(map.into_iter().map(|(key, value)| (Value::String(key), value)).collect()),
        _ => Err(invalid("a list or an object is expected behind `in`")),
    }
}

/// An element of a list or an object.
pub(crate) fn index_value(value: &Value, key: &Value) -> Result<Value, Failure> {
    let element = match (value, key) {
        (Value::Object(map), Value::String(key)) => map.get(key),
        (Value::Array(items), key) => {
            let at = as_number(key)?;
            (at >= 0.0 && at.fract() == 0.0).then(|| items.get(at as usize)).flatten()
        }
        _ => None,
    };
    element.cloned().ok_or_else(|| invalid(format!("there is no element {key} in {value}")))
}

/// Whether two values have the same type and value.
pub(crate) fn values_equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        _ => left == right,
    }
}

/// Converts a value to a string, as far as HCL does so implicitly.
pub(crate) fn as_text(value: &Value) -> Result<String, Failure> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Null => Err(invalid("a text is expected and null is given")),
        _ => Err(invalid(format!("a text is expected and {value} is given"))),
    }
}

/// Converts a value to a number.
pub(crate) fn as_number(value: &Value) -> Result<f64, Failure> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number
        .filter(|number: &f64| number.is_finite())
        .ok_or_else(|| invalid(format!("a number is expected and {value} is given")))
}

/// Converts a value to a boolean.
pub(crate) fn as_bool(value: &Value) -> Result<bool, Failure> {
    match value {
        Value::Bool(value) => Ok(*value),
        Value::String(text) if text == "true" || text == "1" => Ok(true),
        Value::String(text) if text == "false" || text == "0" => Ok(false),
        _ => Err(invalid(format!("true or false is expected and {value} is given"))),
    }
}

/// Converts a number to a value, an integer if it has no fraction.
pub(crate) fn number_value(number: f64) -> Value {
    // 2^53: up to here every integer is exact in an f64.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        Value::from(number as i64)
    } else {
        Value::from(number)
    }
}

pub(super) fn from_hcl_number(number: &hcl::Number) -> Value {
    match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (Some(whole), ..) => Value::from(whole),
        (None, Some(whole), _) => Value::from(whole),
        (None, None, float) => float.map_or(Value::Null, Value::from),
    }
}
