//! Variables in a Dockerfile's words: quotes, escapes, `$NAME` and `${NAME…}` with all its operators.
//!
//! What is expanded of which instruction is decided by [`instruction`]; `RUN`, `CMD` and `ENTRYPOINT` are not: their
//! shell does it.

mod instruction;
mod lexer;
mod pattern;
mod variables;

use std::collections::BTreeSet;

pub use instruction::instruction;
pub(crate) use lexer::Lexer;
pub use variables::{Chain, Variables};

use crate::error::Failure;

/// The names that an expansion asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Those that had a value.
    pub used: BTreeSet<String>,
    /// Those that had none.
    pub undefined: BTreeSet<String>,
}

impl Names {
    /// Adds those of another expansion.
    pub fn extend(&mut self, other: Names) {
        self.used.extend(other.used);
        self.undefined.extend(other.undefined);
    }
}

/// What came out of an expansion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expanded {
    /// The whole text, as one word.
    pub text: String,
    /// The text split at white space that was not quoted, after the expansion.
    pub words: Vec<String>,
    /// The names asked for.
    pub names: Names,
}

/// Expands `text`: quotes and escapes are removed, variables replaced. `escape` is the file's escape character.
pub fn word(text: &str, escape: char, variables: &dyn Variables) -> Result<Expanded, Failure> {
    Lexer::new(escape).expand(text, variables)
}

/// Expands the content of a here-document: quotes mean nothing in it, and its escape character is always `\`.
pub fn here_doc(content: &str, variables: &dyn Variables) -> Result<Expanded, Failure> {
    Lexer { skip_quotes: true, ..Lexer::new('\\') }.expand(content, variables)
}

#[cfg(test)]
mod tests;
