//! Parses `FROM`.

use super::flags::{FlagArity, InstructionFlags};
use super::node::InstructionNode;
use crate::ast::Stage;
use dhow_error::{Failure, invalid};

/// Parses `FROM [--platform=…] BASE [AS NAME]`.
pub(super) fn parse_from(node: InstructionNode) -> Result<Stage, Failure> {
    let text = node.text.trim().to_owned();
    let (words, _) = node.arguments.words();
    let (base, naming) = match words.as_slice() {
        [base] => (base, None),
        [base, keyword, name] if keyword.eq_ignore_ascii_case("as") => (base, Some((keyword, name))),
        _ => return Err(invalid("FROM requires either one or three arguments")),
    };
    let name = naming.map(|(_, name)| name.to_ascii_lowercase());
    if let (Some(lower), Some((_, written))) = (&name, naming)
        && !is_name(lower)
    {
        let why = "name can't start with a number or contain symbols";
        let written = written.escape_debug();
        return Err(invalid(format!("invalid name for build stage: \"{written}\", {why}")));
    }
    let mut flags = InstructionFlags::read(&node.flags, &[("platform", FlagArity::One)])?;
    Ok(Stage {
        base: base.clone(),
        comment: name.as_deref().and_then(|name| description_of(&node.comments, name)),
        name,
        written_name: naming.map(|(_, name)| name.clone()),
        platform: flags.take_one("platform").filter(|platform| !platform.is_empty()),
        statements: Vec::new(),
        text,
        lines: node.lines,
        comments: node.comments,
        keyword: node.keyword,
        as_keyword: naming.map(|(keyword, _)| keyword.clone()),
    })
}

/// A letter, then letters, digits, `-`, `_` and `.`; already in lower case.
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.'))
}

/// The description in a comment `# NAME …` above an instruction.
pub(crate) fn description_of(comments: &[String], name: &str) -> Option<String> {
    let of_name = |line: &String| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned);
    comments.iter().find_map(of_name)
}
