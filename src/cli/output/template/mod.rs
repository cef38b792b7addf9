//! Go's text/template, as docker's `--format` uses it: fields, pipelines, conditions, loops, variables and functions,
//! on JSON values. Go's documentation of the package is the reference, with the functions that docker adds.
//!
//! # Stages
//! `lexer` splits the source into text and tokens, `parse` makes a tree of nodes, `execute` renders the tree on data,
//! and `fields` tells beforehand what of the data that needs.
//! Syntax errors, unknown functions and undefined variables are found by `parse`, all else while executing.
//!
//! # Types
//! Go's templates work on typed structs, these on JSON. `value` says how a JSON value prints, compares and counts as
//! true in Go; where that needs a type that JSON lacks (a nil slice prints `[]`), it goes by docker's field names.
//!
//! # Left out
//! `define`, `template` and `block`, for which a one-line format has no use.

mod error;
mod execute;
mod fields;
mod functions;
mod lexer;
mod parse;
mod printf;
mod value;

use serde_json::{Map, Value};

pub(crate) use error::TemplateError;
pub(crate) use fields::FieldSet;

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

    /// The fields of its data that it may use.
    pub(crate) fn used_fields(&self) -> FieldSet {
        FieldSet::of(&self.nodes)
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

#[cfg(test)]
mod tests;
