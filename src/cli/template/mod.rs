//! Go's text/template as docker's `--format` uses it: fields, pipelines, conditions, loops, variables and functions,
//! on JSON values. Without `define`, `template` and `block`, which a one-line format has no use for.
//!
//! The reference is the documentation of Go's package of that name, with the functions that docker adds.

mod functions;
mod parse;
mod printf;
mod run;
mod token;
mod value;

use std::fmt;

use serde_json::{Map, Value};

/// A template that was understood.
#[derive(Debug)]
pub(crate) struct Template {
    source: String,
    nodes: Vec<parse::Node>,
}

impl Template {
    /// Reads `source`.
    pub(crate) fn parse(source: &str) -> Result<Self, TemplateError> {
        Ok(Self { source: source.to_owned(), nodes: parse::parse(source)? })
    }

    /// Fills the template in with `data`.
    pub(crate) fn render(&self, data: &Value) -> Result<String, TemplateError> {
        run::run(&self.source, &self.nodes, data, &run::Manner::Plain)
    }

    /// The same for a row of a listing, whose `labels` `.Label "name"` asks for.
    pub(crate) fn render_row(
        &self,
        data: &Value,
        labels: &Map<String, Value>,
    ) -> Result<String, TemplateError> {
        run::run(&self.source, &self.nodes, data, &run::Manner::Row(labels))
    }

    /// The heading of a table: `data` says what stands over each field, functions leave it as it is.
    pub(crate) fn render_header(&self, data: &Value) -> Result<String, TemplateError> {
        run::run(&self.source, &self.nodes, data, &run::Manner::Header)
    }
}

/// What is wrong with a template, in the words of Go and docker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TemplateError {
    message: String,
}

impl TemplateError {
    /// A mistake found while reading `source` at byte `at`.
    fn at(source: &str, at: usize, message: impl Into<String>) -> Self {
        let (line, _) = position(source, at);
        Self { message: format!("template: :{line}: {}", message.into()) }
    }

    /// A failure while the piece `start..end` of `source` was carried out.
    fn executing(source: &str, (start, end): (usize, usize), message: impl Into<String>) -> Self {
        let (line, column) = position(source, start);
        let piece = source.get(start..end).unwrap_or_default();
        let message = message.into();
        Self { message: format!("template: :{line}:{column}: executing \"\" at <{piece}>: {message}") }
    }
}

/// The line, counted from one, and the byte in it, counted from zero.
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

#[cfg(test)]
mod tests;
