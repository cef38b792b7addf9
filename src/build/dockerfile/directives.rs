//! Parser directives: `# name=value` at the top of a file.

use std::collections::BTreeSet;

use crate::ast::ParserDirectives;
use dhow_error::{Failure, invalid};

const KNOWN: [&str; 3] = ["syntax", "escape", "check"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ParserDirective {
    /// In lower case.
    pub(super) name: String,
    /// Without surrounding blanks.
    pub(super) value: String,
}

/// Parses the first lines of a file one by one, until one is not a directive.
#[derive(Debug, Default)]
pub(super) struct DirectiveParser {
    done: bool,
    seen: BTreeSet<String>,
}

impl DirectiveParser {
    /// The directive in `line`, if it is one. Fails on a duplicate.
    pub(super) fn parse_line(&mut self, line: &str) -> Result<Option<ParserDirective>, Failure> {
        if self.done {
            return Ok(None);
        }
        let candidate = line.strip_prefix('#').and_then(split);
        let Some(directive) = candidate.filter(|candidate| KNOWN.contains(&candidate.name.as_str())) else {
            // Any other line, comments included, ends the directives.
            self.done = true;
            return Ok(None);
        };
        if !self.seen.insert(directive.name.clone()) {
            return Err(invalid(format!("only one {} parser directive can be used", directive.name)));
        }
        Ok(Some(directive))
    }
}

/// `name = value`, with blanks allowed around both.
fn split(text: &str) -> Option<ParserDirective> {
    let (name, value) = text.trim_start().split_once('=')?;
    let (name, value) = (name.trim_end(), value.trim());
    let word = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric());
    (word && !value.is_empty())
        .then(|| ParserDirective { name: name.to_ascii_lowercase(), value: value.to_owned() })
}

/// The escape character that `# escape=` names.
pub(super) fn escape(value: &str) -> Result<char, Failure> {
    match value {
        "\\" => Ok('\\'),
        "`" => Ok('`'),
        other => Err(invalid(format!("invalid escape token '{other}' does not match ` or \\"))),
    }
}

/// The directives of `text`; the escape character was found while reading lines.
pub(super) fn parse_directives(text: &[u8], escape: char) -> ParserDirectives {
    ParserDirectives { syntax: find(text, "syntax"), escape, check: find(text, "check") }
}

/// `text` without a byte order mark and a `#!` line, and the number of lines skipped.
fn head(text: &[u8]) -> (&[u8], u32) {
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    if !text.starts_with(b"#!") {
        return (text, 0);
    }
    let end = text.iter().position(|byte| *byte == b'\n').map_or(text.len(), |end| end + 1);
    (text.get(end..).unwrap_or_default(), 1)
}

/// The value and line of the directive `name`.
fn find(text: &[u8], name: &str) -> Option<(String, u32)> {
    let (text, skipped) = head(text);
    let mut parser = DirectiveParser::default();
    for (line, number) in text.split(|byte| *byte == b'\n').zip(skipped + 1..) {
        let directive = parser.parse_line(String::from_utf8_lossy(line).trim_start()).ok()?;
        match directive {
            Some(directive) if directive.name == name => return Some((directive.value, number)),
            Some(_) => {}
            None => break,
        }
    }
    None
}
