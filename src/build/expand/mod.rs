//! Variable expansion in Dockerfiles: quotes, escapes, `$NAME` and `${NAME…}` with all its operators.
//!
//! [`expand_instruction`] decides what is expanded. Commands of `RUN`, `CMD` and `ENTRYPOINT` are not: their shell does it.

mod instruction;
mod lexer;
mod pattern;
mod variables;

use std::collections::BTreeSet;

pub use instruction::instruction;
pub(crate) use lexer::Lexer;
pub use variables::{Chain, Variables};

use crate::error::Failure;

/// The variables that an expansion referred to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Those that are set.
    pub used: BTreeSet<String>,
    /// Those that are not.
    pub undefined: BTreeSet<String>,
}

impl Names {
    pub fn extend(&mut self, other: Names) {
        self.used.extend(other.used);
        self.undefined.extend(other.undefined);
    }
}

/// The result of an expansion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expanded {
    /// As a single word.
    pub text: String,
    /// Split at white space that was not quoted in the expanded text.
    pub words: Vec<String>,
    pub names: Names,
}

/// Removes quotes and escapes, and substitutes variables. `escape` is the file's escape character.
pub fn word(text: &str, escape: char, variables: &dyn Variables) -> Result<Expanded, Failure> {
    Lexer::new(escape).expand(text, variables)
}

/// Expands a here-document: quotes are literal, and the escape character is always `\`.
pub fn here_doc(content: &str, variables: &dyn Variables) -> Result<Expanded, Failure> {
    Lexer { skip_quotes: true, ..Lexer::new('\\') }.expand(content, variables)
}

#[cfg(test)]
mod tests;
