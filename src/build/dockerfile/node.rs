//! Splits a logical line into keyword, flags and words, and reports errors that need no knowledge of the
//! instruction.

use super::here_doc::OpenHereDoc;
use super::words;
use crate::ast::{HereDoc, LineRange};
use dhow_error::{Failure, invalid};

/// A split instruction.
#[derive(Debug)]
pub(super) struct InstructionNode {
    /// As written.
    pub(super) keyword: String,
    pub(super) flags: Vec<String>,
    pub(super) arguments: NodeArguments,
    /// The whole logical line.
    pub(super) text: String,
    pub(super) here_docs: Vec<HereDoc>,
    pub(super) lines: LineRange,
    /// Directly above.
    pub(super) comments: Vec<String>,
}

/// What follows the keyword and flags.
#[derive(Debug)]
pub(super) enum NodeArguments {
    /// Words, or a whole line as one word; empty if there was nothing.
    Words(Vec<String>),
    Json(Vec<String>),
    /// `ENV` and `LABEL`.
    Pairs {
        /// With quotes.
        pairs: Vec<(String, String)>,
        /// In the legacy form `NAME value`.
        legacy: bool,
    },
    /// `HEALTHCHECK`: a keyword and its command.
    Typed {
        /// `CMD` or `NONE`.
        kind: String,
        /// Words or a JSON array.
        command: Box<NodeArguments>,
    },
    /// `ONBUILD`: another instruction.
    Trigger(Box<InstructionNode>),
}

impl NodeArguments {
    /// The words, and whether they came from a JSON array.
    pub(super) fn words(self) -> (Vec<String>, bool) {
        match self {
            Self::Words(words) => (words, false),
            Self::Json(words) => (words, true),
            Self::Pairs { .. } | Self::Typed { .. } | Self::Trigger(_) => (Vec::new(), false),
        }
    }

    /// A whole line as one word; empty if there is nothing.
    fn line(text: &str) -> Self {
        Self::Words(if text.is_empty() { Vec::new() } else { vec![text.to_owned()] })
    }
}

impl InstructionNode {
    /// `keyword` is in lower case.
    pub(super) fn is(&self, keyword: &str) -> bool {
        self.keyword.eq_ignore_ascii_case(keyword)
    }

    /// Whether `<<` starts a here-document in this instruction.
    pub(super) fn may_have_here_docs(&self) -> bool {
        match &self.arguments {
            NodeArguments::Trigger(trigger) => trigger.may_have_here_docs(),
            NodeArguments::Json(_) => false,
            _ => self.is("run") || self.is("copy") || self.is("add"),
        }
    }

    pub(super) fn set_here_docs(&mut self, docs: Vec<OpenHereDoc>) {
        self.here_docs = docs.into_iter().map(OpenHereDoc::into_doc).collect();
    }
}

/// Splits `line`. Unknown keywords are reported by the second pass.
pub(super) fn split_line(line: &str, escape: char) -> Result<InstructionNode, Failure> {
    nested(line, escape, 0)
}

fn nested(line: &str, escape: char, depth: u32) -> Result<InstructionNode, Failure> {
    let (keyword, rest) = words::split_first(line.trim());
    let (flags, rest) = words::split_flags(rest.unwrap_or_default());
    let rest = rest.trim();
    let arguments = match keyword.to_ascii_lowercase().as_str() {
        "run" | "cmd" | "entrypoint" | "shell" => json_or(rest, NodeArguments::line)?,
        "copy" | "add" | "volume" => json_or(rest, |rest| NodeArguments::Words(words::split_blanks(rest)))?,
        // Split without regard to quotes: FROM and EXPOSE take none.
        "expose" | "from" => NodeArguments::Words(words::split_blanks(rest)),
        "arg" => NodeArguments::Words(words::split_quoted(rest, escape)),
        "env" => pairs(rest, "ENV", escape)?,
        "label" => pairs(rest, "LABEL", escape)?,
        "healthcheck" => typed(rest)?,
        // Nested ONBUILD is refused later; two levels suffice to see it, and bound the recursion.
        "onbuild" if !rest.is_empty() && depth < 2 => {
            NodeArguments::Trigger(Box::new(nested(rest, escape, depth + 1)?))
        }
        _ => NodeArguments::line(rest),
    };
    Ok(InstructionNode {
        keyword: keyword.to_owned(),
        flags,
        arguments,
        text: line.to_owned(),
        here_docs: Vec::new(),
        lines: 1..=1,
        comments: Vec::new(),
    })
}

/// A JSON array of strings; anything that is not JSON is handled by `other`.
fn json_or(text: &str, other: impl Fn(&str) -> NodeArguments) -> Result<NodeArguments, Failure> {
    if !text.starts_with('[') {
        return Ok(other(text));
    }
    // Not JSON: shell form, in which `[` is a command.
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(text) else { return Ok(other(text)) };
    let words: Option<Vec<String>> = values.iter().map(|value| value.as_str().map(str::to_owned)).collect();
    words
        .map(NodeArguments::Json)
        .ok_or_else(|| invalid("when using JSON array syntax, arrays must be comprised of strings only"))
}

/// `NAME=value …`, or the legacy form `NAME value`; the first word decides which.
fn pairs(text: &str, keyword: &str, escape: char) -> Result<NodeArguments, Failure> {
    let assignments = words::split_quoted(text, escape);
    let legacy = assignments.first().is_some_and(|first| !first.contains('='));
    if legacy {
        return match words::split_first(text) {
            (name, Some(value)) => {
                Ok(NodeArguments::Pairs { pairs: vec![(name.to_owned(), value.to_owned())], legacy })
            }
            (_, None) => Err(invalid(format!("{keyword} must have two arguments"))),
        };
    }
    let mut pairs = Vec::new();
    for word in &assignments {
        let Some((name, value)) = word.split_once('=') else {
            let word = word.escape_debug();
            let why = format!("Syntax error - can't find = in \"{word}\". Must be of the form: name=value");
            return Err(invalid(why));
        };
        pairs.push((name.to_owned(), value.to_owned()));
    }
    Ok(NodeArguments::Pairs { pairs, legacy })
}

/// A keyword, then a line or a JSON array.
fn typed(text: &str) -> Result<NodeArguments, Failure> {
    if text.is_empty() {
        return Ok(NodeArguments::Words(Vec::new()));
    }
    let (kind, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let command = Box::new(json_or(rest.trim_start(), NodeArguments::line)?);
    Ok(NodeArguments::Typed { kind: kind.to_owned(), command })
}
