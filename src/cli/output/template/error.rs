//! Errors in templates, with the place in the source where Go would report them.

use std::fmt;

/// An error in a template, in the words of Go and docker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TemplateError {
    message: String,
}

impl TemplateError {
    /// An error found while parsing, at byte `at` of `source`.
    pub(super) fn at(source: &str, at: usize, message: impl Into<String>) -> Self {
        let (line, _) = position(source, at);
        Self { message: format!("template: :{line}: {}", message.into()) }
    }

    /// An error found while executing the piece `start..end` of `source`.
    pub(super) fn executing(source: &str, (start, end): (usize, usize), message: impl Into<String>) -> Self {
        let (line, column) = position(source, start);
        let piece = source.get(start..end).unwrap_or_default();
        let message = message.into();
        Self { message: format!("template: :{line}:{column}: executing \"\" at <{piece}>: {message}") }
    }
}

/// The line, counted from 1, and the byte in it, counted from 0.
fn position(source: &str, at: usize) -> (usize, usize) {
    let before = source.get(..at).unwrap_or(source);
    let line = before.matches('\n').count() + 1;
    (line, before.rfind('\n').map_or(at, |newline| at - newline - 1))
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "template parsing error: {}", self.message)
    }
}

impl std::error::Error for TemplateError {}
