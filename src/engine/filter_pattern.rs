//! Patterns in the values of `--filter`.

use regex_lite::Regex;

/// A pattern as docker reads it: a literal text or a regular expression that matches part of the text.
pub(crate) struct FilterPattern {
    text: String,
    /// `None` for a text that stands for itself.
    expression: Option<Regex>,
    /// Whether every text with this one in it matches.
    literal: bool,
}

impl FilterPattern {
    /// A text that is not a valid expression matches only itself.
    pub(crate) fn new(text: &str) -> Self {
        // Searched for without the expression, which takes a hundred times as long.
        let literal = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/'));
        let expression = if literal { None } else { Regex::new(text).ok() };
        Self { text: text.to_owned(), expression, literal }
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        if self.literal {
            return text.contains(&self.text);
        }
        self.text == text || self.expression.as_ref().is_some_and(|expression| expression.is_match(text))
    }
}
