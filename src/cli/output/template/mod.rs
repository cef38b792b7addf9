//! Go's text/template, as docker's `--format` uses it: fields, pipelines, conditions, loops, variables and functions,
//! on JSON values. Go's documentation of the package is the reference, with the functions that docker adds.
//!
//! # Stages
//! `lexer` splits the source into text and tokens, `parse` makes a tree of nodes, `execute` renders the tree on data.
//! Syntax errors, unknown functions and undefined variables are found by `parse`, all else while executing.
//!
//! # Types
//! Go's templates work on typed structs, these on JSON. `value` says how a JSON value prints, compares and counts as
//! true in Go; where that needs a type that JSON lacks (a nil slice prints `[]`), it goes by docker's field names.
//!
//! # Left out
//! `define`, `template` and `block`, for which a one-line format has no use.

mod execute;
mod functions;
mod lexer;
mod parse;
mod printf;
mod value;

use std::fmt;

use serde_json::{Map, Value};

/// A parsed template.
#[derive(Debug)]
pub(crate) struct Template {
    source: String,
    nodes: Vec<parse::TemplateNode>,
}

impl Template {
    /// Parses `source`.
    pub(crate) fn parse(source: &str) -> Result<Self, TemplateError> {
        Ok(Self { source: source.to_owned(), nodes: parse::parse_template(source)? })
    }

    /// Renders the template on `data`.
    pub(crate) fn render(&self, data: &Value) -> Result<String, TemplateError> {
        execute::execute(&self.source, &self.nodes, data, &execute::RenderMode::Plain)
    }

    /// Renders a row of a listing; `labels` are what `.Label "name"` selects from.
    pub(crate) fn render_row(
        &self,
        data: &Value,
        labels: &Map<String, Value>,
    ) -> Result<String, TemplateError> {
        execute::execute(&self.source, &self.nodes, data, &execute::RenderMode::Row(labels))
    }

    /// Renders the heading of a table. `data` holds the heading of each field, and functions leave it as it
    /// is.
    pub(crate) fn render_header(&self, data: &Value) -> Result<String, TemplateError> {
        execute::execute(&self.source, &self.nodes, data, &execute::RenderMode::Header)
    }
}

/// An error in a template, in the words of Go and docker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TemplateError {
    message: String,
}

impl TemplateError {
    /// An error found while parsing, at byte `at` of `source`.
    fn at(source: &str, at: usize, message: impl Into<String>) -> Self {
        let (line, _) = position(source, at);
        Self { message: format!("template: :{line}: {}", message.into()) }
    }

    /// An error found while executing the piece `start..end` of `source`.
    fn executing(source: &str, (start, end): (usize, usize), message: impl Into<String>) -> Self {
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

#[cfg(test)]
mod tests;
