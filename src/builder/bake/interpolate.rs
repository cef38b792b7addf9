//! Interpolation of `$NAME`, `${NAME:-default}` and so on in compose files.

use dhow_error::{Failure, invalid};

/// The longest result, in bytes.
const MAX_LENGTH: usize = 1 << 20;

/// Interpolates variables; `$$` is a dollar sign.
pub(crate) fn interpolate(text: &str, value_of: &dyn Fn(&str) -> Option<String>) -> Result<String, Failure> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(inner) = after.strip_prefix('{') {
            let end = closing_brace(inner)
                .ok_or_else(|| invalid(format!("invalid interpolation format: {text:?}: `}}` is missing")))?;
            out += &braced(inner.get(..end).unwrap_or_default(), value_of)?;
            rest = inner.get(end + 1..).unwrap_or_default();
        } else {
            let length = name_length(after);
            if length == 0 {
                return Err(invalid(format!("invalid interpolation format: {text:?}"))
                    .hint("a dollar sign itself is written $$"));
            }
            let (name, tail) = after.split_at(length);
            out += &value_of(name).unwrap_or_default();
            rest = tail;
        }
        // Nested defaults can multiply the length.
        if out.len() > MAX_LENGTH {
            return Err(invalid("a value becomes too long by interpolation"));
        }
    }
    Ok(out + rest)
}

/// The position of the closing brace.
fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 0_u32;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn name_length(text: &str) -> usize {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        0
    } else {
        text.find(|c| !part(c)).unwrap_or(text.len())
    }
}

fn braced(text: &str, value_of: &dyn Fn(&str) -> Option<String>) -> Result<String, Failure> {
    let (name, rest) = text.split_at(name_length(text));
    if name.is_empty() {
        return Err(invalid(format!("invalid interpolation format: ${{{text}}}")));
    }
    let value = value_of(name);
    let (colon, rest) = rest.strip_prefix(':').map_or((false, rest), |rest| (true, rest));
    let set = value.as_ref().is_some_and(|value| !colon || !value.is_empty());
    let mut words = rest.chars();
    let (operator, word) = (words.next(), words.as_str());
    match operator {
        None if !colon => Ok(value.unwrap_or_default()),
        Some('-') if set => Ok(value.unwrap_or_default()),
        Some('-') => interpolate(word, value_of),
        Some('+') if set => interpolate(word, value_of),
        Some('+') => Ok(String::new()),
        Some('?') if set => Ok(value.unwrap_or_default()),
        Some('?') => {
            let why = interpolate(word, value_of)?;
            Err(invalid(format!("required variable {name} is missing a value: {why}")))
        }
        _ => Err(invalid(format!("invalid interpolation format: ${{{text}}}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> Result<String, String> {
        let value_of = |name: &str| match name {
            "A" => Some("1".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        interpolate(text, &value_of).map_err(|why| why.to_string())
    }

    #[test]
    fn as_compose_has_it() {
        for (text, result) in [
            ("x$A-${A}y", "x1-1y"),
            ("$$A", "$A"),
            ("${NO}|${NO:-d}|${NO-d}", "|d|d"),
            ("${EMPTY:-d}|${EMPTY-d}", "d|"),
            ("${A:+yes}|${NO+yes}|${EMPTY+yes}", "yes||yes"),
            ("${NO:-${A}}", "1"),
            ("${A:?no}", "1"),
        ] {
            assert_eq!(run(text).unwrap(), result, "{text}");
        }
        assert_eq!(run("${NO:?set it}").unwrap_err(), "required variable NO is missing a value: set it");
        for bad in ["$", "${", "${}", "${A", "$1", "${A!x}", "${A:}"] {
            assert!(run(bad).is_err(), "{bad}");
        }
    }
}
