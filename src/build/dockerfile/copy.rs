//! Parses `COPY` and `ADD`.

use super::flags::{FlagArity, InstructionFlags};
use super::here_doc;
use super::node::InstructionNode;
use crate::ast::{CopyFlags, CopyInstruction, HereDoc};
use dhow_error::{Failure, invalid};

const COPY: [(&str, FlagArity); 6] = [
    ("from", FlagArity::One),
    ("chown", FlagArity::One),
    ("chmod", FlagArity::One),
    ("link", FlagArity::Bool),
    ("parents", FlagArity::Bool),
    ("exclude", FlagArity::Many),
];

const ADD: [(&str, FlagArity); 7] = [
    ("chown", FlagArity::One),
    ("chmod", FlagArity::One),
    ("link", FlagArity::Bool),
    ("keep-git-dir", FlagArity::Bool),
    ("checksum", FlagArity::One),
    ("unpack", FlagArity::Bool),
    ("exclude", FlagArity::Many),
];

pub(super) fn parse_copy(node: InstructionNode) -> Result<CopyInstruction, Failure> {
    parse_instruction(node, "COPY", &COPY)
}

pub(super) fn parse_add(node: InstructionNode) -> Result<CopyInstruction, Failure> {
    parse_instruction(node, "ADD", &ADD)
}

fn parse_instruction(
    node: InstructionNode,
    keyword: &str,
    supported: &[(&'static str, FlagArity)],
) -> Result<CopyInstruction, Failure> {
    let (mut words, _) = node.arguments.words();
    let target = words.pop().filter(|_| !words.is_empty()).ok_or_else(|| {
        invalid(format!(
            "{keyword} requires at least two arguments, but only one was provided. Destination could not be determined"
        ))
    })?;
    let mut flags = InstructionFlags::read(&node.flags, supported)?;
    if here_doc::is_whole(&target) {
        return Err(invalid(format!("{keyword} cannot accept a heredoc as a destination")));
    }
    let (here_docs, sources) = sources(words, &node.here_docs);
    // An empty value counts as not given.
    let text = |value: Option<String>| value.filter(|value| !value.is_empty());
    Ok(CopyInstruction {
        sources,
        here_docs,
        target,
        from: text(flags.take_one("from")),
        flags: CopyFlags {
            chown: text(flags.take_one("chown")),
            chmod: text(flags.take_one("chmod")),
            link: flags.take_true("link"),
            parents: flags.take_true("parents"),
            exclude: flags.take_all("exclude"),
        },
        checksum: text(flags.take_one("checksum")),
        keep_git_dir: flags.take_true("keep-git-dir"),
        unpack: flags.take_bool("unpack"),
    })
}

/// Joins `<<` with the word after it: `COPY << EOF /file` has a here-document.
fn join_blanks(words: Vec<String>) -> Vec<String> {
    let mut joined: Vec<String> = Vec::with_capacity(words.len());
    for word in words {
        match joined.last_mut() {
            Some(before) if before == "<<" || before == "<<-" => before.push_str(&word),
            _ => joined.push(word),
        }
    }
    joined
}

/// Separates here-documents from paths. If two share an end marker both get the last one's text, as in
/// BuildKit.
fn sources(words: Vec<String>, read: &[HereDoc]) -> (Vec<HereDoc>, Vec<String>) {
    let mut docs = Vec::new();
    let mut paths = Vec::new();
    for word in join_blanks(words) {
        let doc = here_doc::name(&word).and_then(|name| read.iter().rev().find(|doc| doc.name == name));
        match doc {
            Some(doc) => docs.push(doc.clone()),
            None => paths.push(word),
        }
    }
    (docs, paths)
}
