//! Functions on numbers and booleans.

use serde_json::Value;

use super::expr::{boolean, equal, number, to_number};
use super::{Answer, Arguments};
use crate::error::{Failure, invalid};

pub(super) fn call(name: &str, arguments: &Arguments<'_>) -> Answer {
    Some(match name {
        "absolute" => one(arguments, f64::abs),
        "add" => two(arguments, |a, b| a + b),
        "ceil" => one(arguments, f64::ceil),
        "divide" => divisor(arguments).and_then(|()| two(arguments, |a, b| a / b)),
        "floor" => one(arguments, f64::floor),
        "int" => one(arguments, f64::trunc),
        "log" => two(arguments, f64::log),
        "max" => most(arguments, f64::max),
        "min" => most(arguments, f64::min),
        "modulo" => divisor(arguments).and_then(|()| two(arguments, |a, b| a % b)),
        "multiply" => two(arguments, |a, b| a * b),
        "negate" => one(arguments, |number| -number),
        "parseint" => parse(arguments),
        "pow" => two(arguments, f64::powf),
        "signum" => one(arguments, |number| if number == 0.0 { 0.0 } else { number.signum() }),
        "subtract" => two(arguments, |a, b| a - b),
        "greaterthan" => compare(arguments, |a, b| a > b),
        "greaterthanorequalto" => compare(arguments, |a, b| a >= b),
        "lessthan" => compare(arguments, |a, b| a < b),
        "lessthanorequalto" => compare(arguments, |a, b| a <= b),
        "and" => truths(arguments).map(|(a, b)| Value::Bool(a && b)),
        "or" => truths(arguments).map(|(a, b)| Value::Bool(a || b)),
        "not" => arguments.get(0).and_then(boolean).map(|value| Value::Bool(!value)),
        "equal" => same(arguments).map(Value::Bool),
        "notequal" => same(arguments).map(|same| Value::Bool(!same)),
        _ => return None,
    })
}

fn checked(number: f64) -> Result<Value, Failure> {
    if number.is_finite() { Ok(to_number(number)) } else { Err(invalid("the result is no number")) }
}

fn one(arguments: &Arguments<'_>, change: impl Fn(f64) -> f64) -> Result<Value, Failure> {
    checked(change(arguments.number(0)?))
}

fn two(arguments: &Arguments<'_>, join: impl Fn(f64, f64) -> f64) -> Result<Value, Failure> {
    checked(join(arguments.number(0)?, arguments.number(1)?))
}

fn compare(arguments: &Arguments<'_>, holds: impl Fn(f64, f64) -> bool) -> Result<Value, Failure> {
    Ok(Value::Bool(holds(arguments.number(0)?, arguments.number(1)?)))
}

fn truths(arguments: &Arguments<'_>) -> Result<(bool, bool), Failure> {
    Ok((boolean(arguments.get(0)?)?, boolean(arguments.get(1)?)?))
}

fn same(arguments: &Arguments<'_>) -> Result<bool, Failure> {
    Ok(equal(arguments.get(0)?, arguments.get(1)?))
}

fn divisor(arguments: &Arguments<'_>) -> Result<(), Failure> {
    if arguments.number(1)? == 0.0 { Err(invalid("Division by zero")) } else { Ok(()) }
}

fn most(arguments: &Arguments<'_>, join: impl Fn(f64, f64) -> f64) -> Result<Value, Failure> {
    let mut best = arguments.number(0)?;
    for value in arguments.rest(1) {
        best = join(best, number(value)?);
    }
    checked(best)
}

fn parse(arguments: &Arguments<'_>) -> Result<Value, Failure> {
    let (text, base) = (arguments.text(0)?, arguments.count(1)?);
    let base = u32::try_from(base).ok().filter(|base| (2..=36).contains(base));
    let base = base.ok_or_else(|| invalid("the base is 2 to 36"))?;
    let number = i64::from_str_radix(&text, base);
    number.map(Value::from).map_err(|_| invalid(format!("{text:?} is no number to base {base}")))
}
