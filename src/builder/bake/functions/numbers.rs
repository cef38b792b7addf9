//! Functions on numbers and booleans.

use serde_json::Value;

use super::{BuiltinResult, CallArguments};
use crate::bake::value::{as_bool, as_number, number_value, values_equal};
use dhow_error::{Failure, invalid};

pub(super) fn call(name: &str, arguments: &CallArguments<'_>) -> BuiltinResult {
    Some(match name {
        "absolute" => unary(arguments, f64::abs),
        "add" => binary(arguments, |a, b| a + b),
        "ceil" => unary(arguments, f64::ceil),
        "divide" => check_divisor(arguments).and_then(|()| binary(arguments, |a, b| a / b)),
        "floor" => unary(arguments, f64::floor),
        "int" => unary(arguments, f64::trunc),
        "log" => binary(arguments, f64::log),
        "max" => fold(arguments, f64::max),
        "min" => fold(arguments, f64::min),
        "modulo" => check_divisor(arguments).and_then(|()| binary(arguments, |a, b| a % b)),
        "multiply" => binary(arguments, |a, b| a * b),
        "negate" => unary(arguments, |number| -number),
        "parseint" => parse(arguments),
        "pow" => binary(arguments, f64::powf),
        // `f64::signum` of 0.0 is 1.0.
        "signum" => unary(arguments, |number| if number == 0.0 { 0.0 } else { number.signum() }),
        "subtract" => binary(arguments, |a, b| a - b),
        "greaterthan" => compare(arguments, |a, b| a > b),
        "greaterthanorequalto" => compare(arguments, |a, b| a >= b),
        "lessthan" => compare(arguments, |a, b| a < b),
        "lessthanorequalto" => compare(arguments, |a, b| a <= b),
        "and" => bool_pair(arguments).map(|(a, b)| Value::Bool(a && b)),
        "or" => bool_pair(arguments).map(|(a, b)| Value::Bool(a || b)),
        "not" => arguments.get(0).and_then(as_bool).map(|value| Value::Bool(!value)),
        "equal" => arguments_equal(arguments).map(Value::Bool),
        "notequal" => arguments_equal(arguments).map(|same| Value::Bool(!same)),
        _ => return None,
    })
}

fn checked(number: f64) -> Result<Value, Failure> {
    if number.is_finite() { Ok(number_value(number)) } else { Err(invalid("the result is no number")) }
}

fn unary(arguments: &CallArguments<'_>, change: impl Fn(f64) -> f64) -> Result<Value, Failure> {
    checked(change(arguments.number(0)?))
}

fn binary(arguments: &CallArguments<'_>, join: impl Fn(f64, f64) -> f64) -> Result<Value, Failure> {
    checked(join(arguments.number(0)?, arguments.number(1)?))
}

fn compare(arguments: &CallArguments<'_>, holds: impl Fn(f64, f64) -> bool) -> Result<Value, Failure> {
    Ok(Value::Bool(holds(arguments.number(0)?, arguments.number(1)?)))
}

fn bool_pair(arguments: &CallArguments<'_>) -> Result<(bool, bool), Failure> {
    Ok((as_bool(arguments.get(0)?)?, as_bool(arguments.get(1)?)?))
}

fn arguments_equal(arguments: &CallArguments<'_>) -> Result<bool, Failure> {
    Ok(values_equal(arguments.get(0)?, arguments.get(1)?))
}

fn check_divisor(arguments: &CallArguments<'_>) -> Result<(), Failure> {
    if arguments.number(1)? == 0.0 { Err(invalid("Division by zero")) } else { Ok(()) }
}

fn fold(arguments: &CallArguments<'_>, join: impl Fn(f64, f64) -> f64) -> Result<Value, Failure> {
    let mut best = arguments.number(0)?;
    for value in arguments.rest(1) {
        best = join(best, as_number(value)?);
    }
    checked(best)
}

fn parse(arguments: &CallArguments<'_>) -> Result<Value, Failure> {
    let (text, base) = (arguments.text(0)?, arguments.count(1)?);
    let base = u32::try_from(base).ok().filter(|base| (2..=36).contains(base));
    let base = base.ok_or_else(|| invalid("the base is 2 to 36"))?;
    let number = i64::from_str_radix(&text, base);
    number.map(Value::from).map_err(|_| invalid(format!("{text:?} is no number to base {base}")))
}
