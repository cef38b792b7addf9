//! The Dockerfile language, as BuildKit's frontend reads it (`docs.docker.com/reference/dockerfile`).
//!
//! In two passes, so that errors come in BuildKit's order: `source` makes logical lines of the text (directives,
//! comments, continuations, here-documents) and splits each into its keyword, flags and words; `statement` says what
//! those mean.

pub mod ast;
mod copy;
mod directives;
pub mod excerpt;
pub mod expose;
mod flags;
pub mod health;
mod here_doc;
pub mod mode;
mod node;
mod run;
mod script;
mod source;
mod stage;
mod statement;
mod words;

pub use directives::detect_syntax;
pub use here_doc::is_whole as is_here_doc;
pub use script::summary;
pub use stage::described;

use self::ast::{Dockerfile, Instruction, Lines, Statement};
use crate::error::{Failure, invalid};

/// Reads a whole Dockerfile. Errors carry the lines that they are about.
pub fn parse(text: &[u8]) -> Result<Dockerfile, Failure> {
    if text.is_empty() {
        return Err(invalid("the Dockerfile cannot be empty"));
    }
    let read = source::read(text)?;
    let mut file = Dockerfile {
        directives: directives::read(text, read.escape),
        arguments: Vec::new(),
        stages: Vec::new(),
        empty_continuations: read.empty_continuations,
    };
    for node in read.nodes {
        let lines = node.lines.clone();
        let located = |failure| parse_error(&failure, lines.clone());
        if node.is("from") {
            file.stages.push(stage::stage(node).map_err(located)?);
            continue;
        }
        let statement = statement::statement(node).map_err(located)?;
        match file.stages.last_mut() {
            Some(stage) => stage.statements.push(statement),
            None if matches!(statement.instruction, Instruction::Arg(_)) => file.arguments.push(statement),
            None => return Err(invalid("no build stage in current context").at(lines)),
        }
    }
    if file.stages.is_empty() {
        return Err(invalid("dockerfile contains no stages to build"));
    }
    Ok(file)
}

/// `failure` as BuildKit words it where an instruction cannot be understood.
fn parse_error(failure: &Failure, lines: Lines) -> Failure {
    let message = format!("dockerfile parse error on line {}: {failure}", lines.start());
    let located = Failure::new(failure.kind(), message);
    let located = failure.hint_text().into_iter().fold(located, Failure::hint);
    located.at(lines)
}

/// Reads a single instruction, as `ONBUILD` triggers of an image and `commit --change` have it: with its
/// here-documents in the lines behind it. `FROM` is none.
pub fn parse_statement(text: &str, escape: char) -> Result<Statement, Failure> {
    let read = source::read_with(text.as_bytes(), Some(escape))?;
    let mut nodes = read.nodes.into_iter();
    match (nodes.next(), nodes.next()) {
        (Some(node), None) if node.is("from") => Err(invalid("FROM is not allowed here")),
        (Some(node), None) => statement::statement(node),
        (_, Some(_)) => Err(invalid(format!("`{}` is more than one instruction", text.escape_debug()))),
        (None, _) => Err(invalid("file with no instructions")),
    }
}

#[cfg(test)]
mod tests;
