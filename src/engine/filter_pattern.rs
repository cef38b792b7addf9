//! Patterns in the values of `--filter`.

use regex_lite::Regex;

/// A pattern as docker reads it: a literal text or a regular expression that matches part of the text.
pub(crate) struct FilterPattern {
    text: String,
    expression: Option<Regex>,
}

impl FilterPattern {
    /// A text that is not a valid expression matches only itself.
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), expression: Regex::new(text).ok() }
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        self.text == text || self.expression.as_ref().is_some_and(|expression| expression.is_match(text))
    }
}
