//! `NAME=value` pairs: environment variables, labels, and files of them (`--env-file`, `--label-file`).
//!
//! Lines of a file are literal: no quotes, no expansion, no trailing comments. Leading white space, blank
//! lines and lines that start with `#` are skipped; a bare name takes its value from the environment.

use dhow_error::{Failure, invalid};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// Not empty.
    pub name: String,
    /// `None` without `=`.
    pub value: Option<String>,
}

/// Parses `NAME=value` or `NAME`; `kind` names it in the error.
pub fn parse(text: &str, kind: &str) -> Result<KeyValue, Failure> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    if name.is_empty() {
        return Err(invalid(format!("invalid {kind}: `{}`: the name is missing", text.escape_debug())));
    }
    Ok(KeyValue { name: name.to_owned(), value })
}

/// Parses a label of an object, `NAME=value` or `NAME`. There is no white space in the name, but docker keeps what is
/// before it.
pub fn parse_label(text: &str) -> Result<KeyValue, Failure> {
    let pair = parse(text, "label")?;
    match pair.name.trim_start() {
        "" => Err(invalid(format!("invalid label '{}': empty name", text.escape_debug()))),
        name if name.contains(char::is_whitespace) => {
            Err(invalid(format!("label '{}' contains whitespaces", pair.name.escape_debug())))
        }
        _ => Ok(pair),
    }
}

/// Parses a file's `content`; `file` is its name for errors.
pub fn parse_file(content: &[u8], file: &str) -> Result<Vec<KeyValue>, Failure> {
    // docker skips the byte order mark that Windows editors write.
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let lines = content.split(|byte| *byte == b'\n').enumerate();
    lines.filter_map(|(index, line)| parse_line(line, file, index + 1).transpose()).collect()
}

fn parse_line(line: &[u8], file: &str, number: usize) -> Result<Option<KeyValue>, Failure> {
    let malformed = |why: String| invalid(format!("invalid file `{file}`, line {number}: {why}"));
    let line = str::from_utf8(line).map_err(|_| malformed("it is not UTF-8".into()))?;
    // Go's line scanner drops the carriage return of Windows files.
    let line = line.strip_suffix('\r').unwrap_or(line).trim_start();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let pair = parse(line, "entry")
        .map_err(|_| malformed(format!("no variable name in `{}`", line.escape_debug())))?;
    if pair.name.contains(char::is_whitespace) {
        return Err(malformed(format!("variable `{}` contains whitespaces", pair.name.escape_debug())));
    }
    Ok(Some(pair))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(pairs: Vec<KeyValue>) -> Vec<String> {
        pairs.into_iter().map(|p| p.value.map_or(p.name.clone(), |v| format!("{}={v}", p.name))).collect()
    }

    #[test]
    fn lines_are_literal() {
        let text = b"\xef\xbb\xbfA=1\r\n\n  # no\n  B=\"q\" # c \nC\nD=\nE=a=b";
        assert_eq!(show(parse_file(text, "f").unwrap()), ["A=1", "B=\"q\" # c ", "C", "D=", "E=a=b"]);
    }

    #[test]
    fn names_of_labels_have_no_white_space() {
        // What docker 26 says of each.
        for bad in ["a b", "a b=c", "e =f", "", " ", " =x"] {
            assert!(parse_label(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_label(" a=b c").unwrap(), KeyValue { name: " a".into(), value: Some("b c".into()) });
        assert_eq!(parse_label("a").unwrap().value, None);
    }

    #[test]
    fn refuses_what_is_no_name() {
        for bad in [&b"=x"[..], b"A B=1", b"A =1", b"\xff=1"] {
            assert!(parse_file(bad, "f").is_err());
        }
        assert!(parse("=x", "label").is_err());
        assert!(parse("", "label").is_err());
    }
}
