//! A logical line split into its keyword, flags and words; what is wrong with a line by itself is found here.

use super::ast::{HereDoc, Lines};
use super::here_doc::Open;
use super::words;
use crate::error::{Failure, invalid};

/// An instruction that was split.
#[derive(Debug)]
pub(super) struct Node {
    /// The keyword as written.
    pub(super) keyword: String,
    /// The flags.
    pub(super) flags: Vec<String>,
    /// What follows them.
    pub(super) arguments: Arguments,
    /// The whole logical line.
    pub(super) text: String,
    /// Its here-documents.
    pub(super) here_docs: Vec<HereDoc>,
    /// Where it stands.
    pub(super) lines: Lines,
    /// The comment lines directly above.
    pub(super) comments: Vec<String>,
}

/// What follows keyword and flags.
#[derive(Debug)]
pub(super) enum Arguments {
    /// Words, or a whole line as one of them; none where nothing was written.
    Words(Vec<String>),
    /// A JSON array.
    Json(Vec<String>),
    /// Pairs.
    Pairs {
        /// Names and values, quotes kept.
        pairs: Vec<(String, String)>,
        /// Written without `=`.
        legacy: bool,
    },
    /// A word and what follows it, of `HEALTHCHECK`.
    Typed {
        /// The word.
        kind: String,
        /// What follows: a line or a JSON array.
        command: Box<Arguments>,
    },
    /// Another instruction, of `ONBUILD`.
    Trigger(Box<Node>),
}

impl Arguments {
    /// The words, and whether they came from a JSON array.
    pub(super) fn words(self) -> (Vec<String>, bool) {
        match self {
            Self::Words(words) => (words, false),
            Self::Json(words) => (words, true),
            Self::Pairs { .. } | Self::Typed { .. } | Self::Trigger(_) => (Vec::new(), false),
        }
    }

    /// A whole line; none where it is empty.
    fn line(text: &str) -> Self {
        Self::Words(if text.is_empty() { Vec::new() } else { vec![text.to_owned()] })
    }
}

impl Node {
    /// Whether the keyword is `keyword`, which is in lower case.
    pub(super) fn is(&self, keyword: &str) -> bool {
        self.keyword.eq_ignore_ascii_case(keyword)
    }

    /// Whether `<<` means something in it.
    pub(super) fn may_have_here_docs(&self) -> bool {
        match &self.arguments {
            Arguments::Trigger(trigger) => trigger.may_have_here_docs(),
            Arguments::Json(_) => false,
            _ => self.is("run") || self.is("copy") || self.is("add"),
        }
    }

    /// Gives it its here-documents.
    pub(super) fn set_here_docs(&mut self, docs: Vec<Open>) {
        self.here_docs = docs.into_iter().map(Open::close).collect();
    }
}

/// Splits `line`. An unknown keyword is no error yet.
pub(super) fn node(line: &str, escape: char) -> Result<Node, Failure> {
    nested(line, escape, 0)
}

fn nested(line: &str, escape: char, depth: u32) -> Result<Node, Failure> {
    let (keyword, rest) = words::first(line.trim());
    let (flags, rest) = words::flags(rest.unwrap_or_default());
    let rest = rest.trim();
    let arguments = match keyword.to_ascii_lowercase().as_str() {
        "run" | "cmd" | "entrypoint" | "shell" => json_or(rest, Arguments::line)?,
        "copy" | "add" | "volume" => json_or(rest, |rest| Arguments::Words(words::blanks(rest)))?,
        "expose" | "from" => Arguments::Words(words::blanks(rest)),
        "arg" => Arguments::Words(words::quoted(rest, escape)),
        "env" => pairs(rest, "ENV", escape)?,
        "label" => pairs(rest, "LABEL", escape)?,
        "healthcheck" => typed(rest)?,
        // One inside another is refused later; a long chain of them need not be followed.
        "onbuild" if !rest.is_empty() && depth < 2 => {
            Arguments::Trigger(Box::new(nested(rest, escape, depth + 1)?))
        }
        _ => Arguments::line(rest),
    };
    Ok(Node {
        keyword: keyword.to_owned(),
        flags,
        arguments,
        text: line.to_owned(),
        here_docs: Vec::new(),
        lines: 1..=1,
        comments: Vec::new(),
    })
}

/// A JSON array of strings; what is no JSON is taken by `other`.
fn json_or(text: &str, other: impl Fn(&str) -> Arguments) -> Result<Arguments, Failure> {
    if !text.starts_with('[') {
        return Ok(other(text));
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(text) else { return Ok(other(text)) };
    let words: Option<Vec<String>> = values.iter().map(|value| value.as_str().map(str::to_owned)).collect();
    words
        .map(Arguments::Json)
        .ok_or_else(|| invalid("when using JSON array syntax, arrays must be comprised of strings only"))
}

/// `NAME=value …`, or the old form `NAME value`, which the first word decides.
fn pairs(text: &str, keyword: &str, escape: char) -> Result<Arguments, Failure> {
    let all = words::quoted(text, escape);
    let legacy = all.first().is_some_and(|first| !first.contains('='));
    if legacy {
        return match words::first(text) {
            (name, Some(value)) => {
                Ok(Arguments::Pairs { pairs: vec![(name.to_owned(), value.to_owned())], legacy })
            }
            (_, None) => Err(invalid(format!("{keyword} must have two arguments"))),
        };
    }
    let mut pairs = Vec::new();
    for word in &all {
        let Some((name, value)) = word.split_once('=') else {
            let word = word.escape_debug();
            let why = format!("Syntax error - can't find = in \"{word}\". Must be of the form: name=value");
            return Err(invalid(why));
        };
        pairs.push((name.to_owned(), value.to_owned()));
    }
    Ok(Arguments::Pairs { pairs, legacy })
}

/// A word, then a line or a JSON array.
fn typed(text: &str) -> Result<Arguments, Failure> {
    if text.is_empty() {
        return Ok(Arguments::Words(Vec::new()));
    }
    let (kind, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let command = Box::new(json_or(rest.trim_start(), Arguments::line)?);
    Ok(Arguments::Typed { kind: kind.to_owned(), command })
}
