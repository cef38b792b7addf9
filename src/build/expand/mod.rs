//! Variable expansion in Dockerfiles: quotes, escapes, `$NAME` and `${NAME…}` with all its operators.
//!
//! [`expand_instruction`] decides what is expanded. Commands of `RUN`, `CMD` and `ENTRYPOINT` are not: their
//! shell does it.

mod instruction;
mod lexer;
mod shell_pattern;
mod variables;

use std::collections::BTreeSet;

pub(crate) use instruction::expand_instruction;
pub(crate) use lexer::ShellLexer;
pub(crate) use variables::Variables;

use dhow_error::Failure;

/// The variables that an expansion referred to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReferencedNames {
    /// Those that are set.
    pub used: BTreeSet<String>,
    /// Those that are not.
    pub undefined: BTreeSet<String>,
}

impl ReferencedNames {
    pub(crate) fn extend(&mut self, other: ReferencedNames) {
        self.used.extend(other.used);
        self.undefined.extend(other.undefined);
    }
}

/// The result of an expansion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExpandedText {
    /// As a single word.
    pub text: String,
    /// Split at white space that was not quoted in the expanded text.
    pub words: Vec<String>,
    pub names: ReferencedNames,
}

/// Removes quotes and escapes, and substitutes variables. `escape` is the file's escape character.
pub(crate) fn expand_word(
    text: &str,
    escape: char,
    variables: &dyn Variables,
) -> Result<ExpandedText, Failure> {
    ShellLexer::new(escape).expand(text, variables)
}

/// Expands a here-document: quotes are literal, and the escape character is always `\`.
pub(crate) fn expand_here_doc(content: &str, variables: &dyn Variables) -> Result<ExpandedText, Failure> {
    ShellLexer { skip_quotes: true, ..ShellLexer::new('\\') }.expand(content, variables)
}

#[cfg(test)]
mod tests;
