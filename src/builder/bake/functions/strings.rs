//! Functions on strings.

use regex_lite::Regex;
use serde_json::{Map, Value};

use super::format::{format, format_list};
use super::{BuiltinResult, CallArguments};
use dhow_error::{Failure, invalid};

pub(super) fn call(name: &str, arguments: &CallArguments<'_>) -> BuiltinResult {
    Some(match name {
        "basename" => map_text(arguments, |text| {
            text.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned()
        }),
        "dirname" => map_text(arguments, dirname),
        "chomp" => map_text(arguments, |text| text.trim_end_matches(['\r', '\n']).to_owned()),
        "format" => format(arguments.0),
        "formatlist" => format_list(arguments.0),
        "indent" => indent(arguments),
        "join" => join(arguments),
        "lower" => map_text(arguments, str::to_lowercase),
        "regex" => regex(arguments),
        "regex_replace" => regex_replace(arguments),
        "regexall" => regex_all(arguments),
        "replace" => map_text3(arguments, |text, search, by| text.replace(search, by)),
        "sanitize" => map_text(arguments, sanitize),
        "semvercmp" => semver(arguments),
        "split" => split(arguments),
        "strlen" => arguments.text(0).map(|text| Value::from(text.chars().count())),
        "strrev" => map_text(arguments, |text| text.chars().rev().collect()),
        "substr" => substr(arguments),
        "title" => map_text(arguments, title),
        "trim" => map_text2(arguments, |text, set| text.trim_matches(|c| set.contains(c)).to_owned()),
        "trimprefix" => {
            map_text2(arguments, |text, prefix| text.strip_prefix(prefix).unwrap_or(text).to_owned())
        }
        "trimsuffix" => {
            map_text2(arguments, |text, suffix| text.strip_suffix(suffix).unwrap_or(text).to_owned())
        }
        "trimspace" => map_text(arguments, |text| text.trim().to_owned()),
        "upper" => map_text(arguments, str::to_uppercase),
        _ => return None,
    })
}

fn map_text(arguments: &CallArguments<'_>, change: impl Fn(&str) -> String) -> Result<Value, Failure> {
    arguments.text(0).map(|text| Value::String(change(&text)))
}

fn map_text2(arguments: &CallArguments<'_>, change: impl Fn(&str, &str) -> String) -> Result<Value, Failure> {
    Ok(Value::String(change(&arguments.text(0)?, &arguments.text(1)?)))
}

fn map_text3(
    arguments: &CallArguments<'_>,
    change: impl Fn(&str, &str, &str) -> String,
) -> Result<Value, Failure> {
    Ok(Value::String(change(&arguments.text(0)?, &arguments.text(1)?, &arguments.text(2)?)))
}

fn dirname(path: &str) -> String {
    match path.trim_end_matches('/').rsplit_once('/') {
        Some(("", _)) => "/".into(),
        Some((dir, _)) => dir.to_owned(),
        None => ".".into(),
    }
}

/// Replaces characters that target names cannot contain.
fn sanitize(text: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    text.chars().map(|c| if allowed(c) { c } else { '_' }).collect()
}

fn title(text: &str) -> String {
    let mut start = true;
    let mut out = String::new();
    for c in text.chars() {
        if start {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
        start = c.is_whitespace();
    }
    out
}

fn indent(arguments: &CallArguments<'_>) -> Result<Value, Failure> {
    const WIDEST: usize = 1000;
    let blanks = " ".repeat(arguments.count(0)?.min(WIDEST));
    Ok(Value::String(arguments.text(1)?.replace('\n', &format!("\n{blanks}"))))
}

fn join(arguments: &CallArguments<'_>) -> Result<Value, Failure> {
    let separator = arguments.text(0)?;
    let mut texts = Vec::new();
    for at in 1..arguments.0.len() {
        for item in arguments.list(at)? {
            texts.push(crate::bake::value::as_text(item)?);
        }
    }
    Ok(Value::String(texts.join(&separator)))
}

fn split(arguments: &CallArguments<'_>) -> Result<Value, Failure> {
    let (separator, text) = (arguments.text(0)?, arguments.text(1)?);
    if separator.is_empty() {
        return Ok(text.chars().map(String::from).collect());
    }
    Ok(text.split(&separator).collect())
}

fn substr(arguments: &CallArguments<'_>) -> Result<Value, Failure> {
    let text: Vec<char> = arguments.text(0)?.chars().collect();
    let (from, length) = (arguments.number(1)?, arguments.number(2)?);
    let count = text.len() as f64;
    // A negative start counts from the end; a negative length means the rest.
    let from = if from < 0.0 { (count + from).max(0.0) } else { from.min(count) };
    let end = if length < 0.0 { count } else { (from + length).min(count) };
    let part = text.get(from as usize..end as usize).unwrap_or_default();
    Ok(Value::String(part.iter().collect()))
}

fn pattern(text: &str) -> Result<Regex, Failure> {
    Regex::new(text).map_err(|why| invalid(format!("the pattern {text:?}: {why}")))
}

fn regex(arguments: &CallArguments<'_>) -> Result<Value, Failure> {
    let (pattern, text) = (pattern(&arguments.text(0)?)?, arguments.text(1)?);
    let captures = pattern
        .captures(&text)
        .ok_or_else(|| invalid("pattern did not match any part of the given string"))?;
    Ok(captured(&pattern, &captures))
}

fn regex_all(arguments: &CallArguments<'_>) -> Result<Value, Failure> {
    let (pattern, text) = (pattern(&arguments.text(0)?)?, arguments.text(1)?);
    Ok(pattern.captures_iter(&text).map(|captures| captured(&pattern, &captures)).collect())
}

/// The whole match, or the groups: a list, or an object if they have names.
fn captured(pattern: &Regex, captures: &regex_lite::Captures<'_>) -> Value {
    let group = |at: usize| captures.get(at).map_or(Value::Null, |part| Value::from(part.as_str()));
    if pattern.captures_len() == 1 {
        return group(0);
    }
    let names: Vec<Option<&str>> = pattern.capture_names().collect();
    let named: Map<String, Value> =
        names.iter().enumerate().filter_map(|(at, name)| Some(((*name)?.to_owned(), group(at)))).collect();
    if named.is_empty() { (1..pattern.captures_len()).map(group).collect() } else { Value::Object(named) }
}

fn regex_replace(arguments: &CallArguments<'_>) -> Result<Value, Failure> {
    let (text, pattern) = (arguments.text(0)?, pattern(&arguments.text(1)?)?);
    Ok(Value::String(pattern.replace_all(&text, arguments.text(2)?.as_str()).into_owned()))
}

/// Whether a version satisfies constraints such as `>= 1.2, < 2`, `^1.2`, `~1.2.3`; `||` separates
/// alternatives.
fn semver(arguments: &CallArguments<'_>) -> Result<Value, Failure> {
    let actual = version(&arguments.text(0)?)?.0;
    for alternative in arguments.text(1)?.split("||") {
        let mut holds = true;
        let conditions = alternative.split(',').map(str::trim).filter(|condition| !condition.is_empty());
        for condition in conditions {
            holds &= satisfies(actual, condition)?;
        }
        if holds {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn satisfies(actual: [u64; 3], condition: &str) -> Result<bool, Failure> {
    let end = condition.find(|c: char| c.is_ascii_alphanumeric() || c == '*').unwrap_or(condition.len());
    let (operator, rest) = condition.split_at(end);
    let (expected, precision) = version(rest)?;
    let same = |count: usize| actual.iter().zip(&expected).take(count).all(|(a, b)| a == b);
    // For `^`: the leftmost part that is not zero is fixed.
    let fixed = expected.iter().position(|part| *part != 0).map_or(precision, |at| at + 1);
    Ok(match operator.trim() {
        "" | "=" | "==" => same(precision),
        "!=" => !same(precision),
        ">" => actual > expected,
        ">=" | "=>" => actual >= expected,
        "<" => actual < expected,
        "<=" | "=<" => actual <= expected || same(precision),
        "^" => actual >= expected && same(fixed),
        "~" | "~>" => actual >= expected && same(precision.clamp(1, 2)),
        other => return Err(invalid(format!("{other:?} is no comparison of versions"))),
    })
}

/// The three numbers of a version, and how many were given.
fn version(text: &str) -> Result<([u64; 3], usize), Failure> {
    let bare = text.trim().trim_start_matches('v');
    let core = bare.split(['-', '+']).next().unwrap_or(bare);
    let mut numbers = [0; 3];
    let mut count = 0;
    for (number, part) in numbers.iter_mut().zip(core.split('.')) {
        if matches!(part, "x" | "X" | "*") {
            break;
        }
        *number = part.parse().map_err(|_| invalid(format!("{text:?} is no version")))?;
        count += 1;
    }
    Ok((numbers, count))
}
