//! The functions of Go's text/template, and those that docker adds.

use serde_json::Value;

use super::printf::printf;
use super::value::{compare, equal, format_value, is_truthy, type_name};

/// The value of a function, or what is wrong with its arguments.
type TemplateResult = Result<Value, String>;

/// The name of a function, and its implementation.
type TemplateFunction = (&'static str, fn(&[Value]) -> TemplateResult);

const FUNCTIONS: &[TemplateFunction] = &[
    ("eq", eq),
    ("ge", |a| two(a).and_then(|(a, b)| Ok(compare(a, b)?.is_ge().into()))),
    ("gt", |a| two(a).and_then(|(a, b)| Ok(compare(a, b)?.is_gt().into()))),
    ("html", |a| Ok(html(&sprint(a)).into())),
    ("index", index),
    ("join", join),
    ("json", |a| one(a).map(|value| value.to_string().into())),
    ("le", |a| two(a).and_then(|(a, b)| Ok(compare(a, b)?.is_le().into()))),
    ("len", len),
    ("lower", |a| Ok(string(one(a)?)?.to_lowercase().into())),
    ("lt", |a| two(a).and_then(|(a, b)| Ok(compare(a, b)?.is_lt().into()))),
    ("ne", |a| two(a).and_then(|(a, b)| Ok((!equal(a, b)?).into()))),
    ("not", |a| Ok((!is_truthy(one(a)?)).into())),
    ("pad", pad),
    ("print", |a| Ok(sprint(a).into())),
    ("printf", |a| match a {
        [Value::String(format), arguments @ ..] => Ok(printf(format, arguments).into()),
        _ => Err("the first argument of printf is the format".into()),
    }),
    ("println", |a| Ok((a.iter().map(format_value).collect::<Vec<_>>().join(" ") + "\n").into())),
    ("slice", slice),
    ("split", split),
    ("title", |a| Ok(title(string(one(a)?)?).into())),
    ("truncate", truncate),
    ("upper", |a| Ok(string(one(a)?)?.to_uppercase().into())),
];

/// Whether function `name` exists. `and` and `or` are evaluated elsewhere, since they do not need all
/// arguments.
pub(crate) fn is_function(name: &str) -> bool {
    matches!(name, "and" | "or") || FUNCTIONS.iter().any(|(known, _)| *known == name)
}

/// Calls function `name`.
pub(crate) fn call_function(name: &str, arguments: &[Value]) -> TemplateResult {
    match FUNCTIONS.iter().find(|(known, _)| *known == name) {
        Some((_, function)) => function(arguments).map_err(|why| format!("error calling {name}: {why}")),
        None => Err(format!("{name:?} is not a defined function")),
    }
}

fn one(arguments: &[Value]) -> Result<&Value, String> {
    match arguments {
        [one] => Ok(one),
        other => Err(format!("wrong number of args: want 1 got {}", other.len())),
    }
}

fn two(arguments: &[Value]) -> Result<(&Value, &Value), String> {
    match arguments {
        [a, b] => Ok((a, b)),
        other => Err(format!("wrong number of args: want 2 got {}", other.len())),
    }
}

fn string(value: &Value) -> Result<&str, String> {
    match value {
        Value::Null => Ok(""),
        Value::String(text) => Ok(text),
        other => Err(format!("wrong type for value; expected string; got {}", type_name(other))),
    }
}

fn integer(value: &Value) -> Result<usize, String> {
    let number = value.as_i64().ok_or_else(|| format!("expected integer; found {}", format_value(value)))?;
    usize::try_from(number).map_err(|_| format!("index out of range: {number}"))
}

fn eq(arguments: &[Value]) -> TemplateResult {
    let [first, others @ ..] = arguments else { return Err("missing argument for comparison".into()) };
    if others.is_empty() {
        return Err("missing argument for comparison".into());
    }
    for other in others {
        if equal(first, other)? {
            return Ok(true.into());
        }
    }
    Ok(false.into())
}

fn len(arguments: &[Value]) -> TemplateResult {
    match one(arguments)? {
        Value::Null => Ok(0.into()),
        // Go counts bytes.
        Value::String(text) => Ok(text.len().into()),
        Value::Array(list) => Ok(list.len().into()),
        Value::Object(map) => Ok(map.len().into()),
        other => Err(format!("len of type {}", type_name(other))),
    }
}

fn index(arguments: &[Value]) -> TemplateResult {
    let [value, keys @ ..] = arguments else {
        return Err("wrong number of args: want at least 1 got 0".into());
    };
    let mut value = value;
    const ABSENT: &Value = &Value::Null;
    for key in keys {
        value = match value {
            // Go yields the zero value of the map's element type for a missing key; most maps hold strings.
            Value::Null => ABSENT,
            Value::Object(map) => match map.get(string(key)?) {
                Some(field) => field,
                None if map.values().all(Value::is_string) => return Ok("".into()),
                None => ABSENT,
            },
            Value::Array(list) => {
                let at = integer(key)?;
                list.get(at).ok_or_else(|| format!("index out of range: {at}"))?
            }
            // Go indexes bytes.
            Value::String(text) => {
                let at = integer(key)?;
                return text
                    .as_bytes()
                    .get(at)
                    .map(|byte| (*byte).into())
                    .ok_or_else(|| format!("index out of range: {at}"));
            }
            other => return Err(format!("can't index item of type {}", type_name(other))),
        };
    }
    Ok(value.clone())
}

fn slice(arguments: &[Value]) -> TemplateResult {
    let [value, bounds @ ..] = arguments else { return Err("wrong number of args".into()) };
    let length = match value {
        Value::String(text) => text.len(),
        Value::Array(list) => list.len(),
        other => return Err(format!("can't slice item of type {}", type_name(other))),
    };
    let from = bounds.first().map_or(Ok(0), integer)?;
    let to = bounds.get(1).map_or(Ok(length), integer)?;
    let out_of_range = || format!("slice bounds out of range: {from}:{to} of {length}");
    match value {
        Value::String(text) => text.get(from..to).map(Value::from).ok_or_else(out_of_range),
        Value::Array(list) => list.get(from..to).map(|part| part.to_vec().into()).ok_or_else(out_of_range),
        other => Err(format!("can't slice item of type {}", type_name(other))),
    }
}

/// Puts a space between two arguments if neither is a string, as Go's `Sprint` does.
fn sprint(arguments: &[Value]) -> String {
    let mut printed = String::new();
    for (index, argument) in arguments.iter().enumerate() {
        let previous = index.checked_sub(1).and_then(|previous| arguments.get(previous));
        if previous.is_some_and(|previous| !previous.is_string() && !argument.is_string()) {
            printed.push(' ');
        }
        printed.push_str(&format_value(argument));
    }
    printed
}

fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => escaped.push_str("&#34;"),
            '\'' => escaped.push_str("&#39;"),
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\0' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

fn join(arguments: &[Value]) -> TemplateResult {
    let (list, separator) = two(arguments)?;
    let items: Vec<String> = match list {
        Value::Null => Vec::new(),
        Value::Array(list) => list.iter().map(format_value).collect(),
        other => return Err(format!("wrong type for value; expected []string; got {}", type_name(other))),
    };
    Ok(items.join(string(separator)?).into())
}

fn split(arguments: &[Value]) -> TemplateResult {
    let (text, separator) = two(arguments)?;
    let (text, separator) = (string(text)?, string(separator)?);
    let parts: Vec<Value> = match separator {
        // As in Go, an empty separator splits into characters.
        "" => text.chars().map(|c| c.to_string().into()).collect(),
        separator => text.split(separator).map(Value::from).collect(),
    };
    Ok(parts.into())
}

/// Capitalizes the first letter of each word.
fn title(text: &str) -> String {
    let mut in_word = false;
    let mut titled = String::with_capacity(text.len());
    for c in text.chars() {
        match in_word {
            true => titled.push(c),
            false => titled.extend(c.to_uppercase()),
        }
        in_word = c.is_alphanumeric() || c == '_' || c == '\'';
    }
    titled
}

/// `pad TEXT BEFORE AFTER`: puts spaces around the text, unless it is empty.
fn pad(arguments: &[Value]) -> TemplateResult {
    let [text, before, after] = arguments else {
        return Err(format!("wrong number of args: want 3 got {}", arguments.len()));
    };
    let text = string(text)?;
    if text.is_empty() {
        return Ok("".into());
    }
    // The count comes from the template; the limit keeps a typo from taking all memory.
    let blanks = |count: &Value| integer(count).map(|count| " ".repeat(count.min(1_000_000)));
    Ok(format!("{}{text}{}", blanks(before)?, blanks(after)?).into())
}

fn truncate(arguments: &[Value]) -> TemplateResult {
    let (text, length) = two(arguments)?;
    Ok(string(text)?.chars().take(integer(length)?).collect::<String>().into())
}
