//! The Dockerfile parser, compatible with BuildKit's (`docs.docker.com/reference/dockerfile`).
//!
//! Two passes, so that errors appear in BuildKit's order: `reader` joins physical lines into logical ones
//! (directives, comments, continuations, here-documents) and `node` splits them into keyword, flags and
//! words; then `statement` interprets each. The result, [`Dockerfile`], is unexpanded.

pub(crate) mod chmod;
mod copy;
mod directives;
pub mod excerpt;
pub(crate) mod expose;
mod flags;
pub(crate) mod health;
mod here_doc;
mod node;
mod reader;
mod run;
mod stage;
mod statement;
mod summary;
mod words;

pub(crate) use here_doc::is_whole as is_here_doc;
pub(crate) use stage::description_of;

use self::node::InstructionNode;
use crate::ast::{Dockerfile, Instruction, LineRange, Statement};
use dhow_error::{Failure, invalid};

/// Parses a whole Dockerfile. Errors carry the lines they refer to.
pub fn parse(text: &[u8]) -> Result<Dockerfile, Failure> {
    match parse_prefix(text)? {
        (file, None) => Ok(file),
        (_, Some(failure)) => Err(failure),
    }
}

/// Parses up to the first instruction that is wrong. Returns what stands before it, and what is wrong; fails if
/// the text does not split into instructions.
pub fn parse_prefix(text: &[u8]) -> Result<(Dockerfile, Option<Failure>), Failure> {
    if text.is_empty() {
        return Err(invalid("the Dockerfile cannot be empty"));
    }
    let read = reader::read_source(text)?;
    let mut file = Dockerfile {
        directives: directives::parse_directives(text, read.escape),
        arguments: Vec::new(),
        stages: Vec::new(),
        empty_continuations: read.empty_continuations,
    };
    for node in read.nodes {
        if let Err(failure) = add_node(&mut file, node) {
            return Ok((file, Some(failure)));
        }
    }
    let empty = file.stages.is_empty().then(|| invalid("dockerfile contains no stages to build"));
    Ok((file, empty))
}

fn add_node(file: &mut Dockerfile, node: InstructionNode) -> Result<(), Failure> {
    let lines = node.lines.clone();
    let located = |failure| parse_error(&failure, lines.clone());
    if node.is("from") {
        file.stages.push(stage::parse_from(node).map_err(located)?);
        return Ok(());
    }
    let statement = statement::parse_node(node).map_err(located)?;
    match file.stages.last_mut() {
        Some(stage) => stage.statements.push(statement),
        None if matches!(statement.instruction, Instruction::Arg(_)) => file.arguments.push(statement),
        None => return Err(invalid("no build stage in current context").at(lines)),
    }
    Ok(())
}

/// Words `failure` as BuildKit does for syntax errors.
fn parse_error(failure: &Failure, lines: LineRange) -> Failure {
    let message = format!("dockerfile parse error on line {}: {failure}", lines.start());
    let located = Failure::new(failure.kind(), message);
    let located = failure.hint_text().into_iter().fold(located, Failure::hint);
    located.at(lines)
}

/// Parses a single instruction other than `FROM`, with its here-documents on the following lines: an
/// `ONBUILD` trigger, or `commit --change`.
pub(crate) fn parse_statement(text: &str, escape: char) -> Result<Statement, Failure> {
    let read = reader::read_fragment(text.as_bytes(), Some(escape))?;
    let mut nodes = read.nodes.into_iter();
    match (nodes.next(), nodes.next()) {
        (Some(node), None) if node.is("from") => Err(invalid("FROM is not allowed here")),
        (Some(node), None) => statement::parse_node(node),
        (_, Some(_)) => Err(invalid(format!("`{}` is more than one instruction", text.escape_debug()))),
        (None, _) => Err(invalid("file with no instructions")),
    }
}

#[cfg(test)]
mod tests;
