//! Parses `COPY` and `ADD`.

use super::ast::{Copy, HereDoc};
use super::flags::{Flags, Takes};
use super::here_doc;
use super::node::Node;
use crate::error::{Failure, invalid};

const COPY: [(&str, Takes); 6] = [
    ("from", Takes::One),
    ("chown", Takes::One),
    ("chmod", Takes::One),
    ("link", Takes::Bool),
    ("parents", Takes::Bool),
    ("exclude", Takes::Many),
];

const ADD: [(&str, Takes); 7] = [
    ("chown", Takes::One),
    ("chmod", Takes::One),
    ("link", Takes::Bool),
    ("keep-git-dir", Takes::Bool),
    ("checksum", Takes::One),
    ("unpack", Takes::Bool),
    ("exclude", Takes::Many),
];

pub(super) fn copy(node: Node) -> Result<Copy, Failure> {
    read(node, "COPY", &COPY)
}

pub(super) fn add(node: Node) -> Result<Copy, Failure> {
    read(node, "ADD", &ADD)
}

fn read(node: Node, keyword: &str, known: &[(&'static str, Takes)]) -> Result<Copy, Failure> {
    let (mut words, _) = node.arguments.words();
    let target = words.pop().filter(|_| !words.is_empty()).ok_or_else(|| {
        invalid(format!(
            "{keyword} requires at least two arguments, but only one was provided. Destination could not be determined"
        ))
    })?;
    let mut flags = Flags::read(&node.flags, known)?;
    if here_doc::is_whole(&target) {
        return Err(invalid(format!("{keyword} cannot accept a heredoc as a destination")));
    }
    let (here_docs, sources) = sources(words, &node.here_docs);
    let text = |value: Option<String>| value.filter(|value| !value.is_empty());
    Ok(Copy {
        sources,
        here_docs,
        target,
        from: text(flags.one("from")),
        chown: text(flags.one("chown")),
        chmod: text(flags.one("chmod")),
        link: flags.is_true("link"),
        parents: flags.is_true("parents"),
        exclude: flags.many("exclude"),
        checksum: text(flags.one("checksum")),
        keep_git_dir: flags.is_true("keep-git-dir"),
        unpack: flags.bool("unpack"),
    })
}

/// Separates here-documents from paths. If two share an end marker both get the last one's text, as in
/// BuildKit.
fn sources(words: Vec<String>, read: &[HereDoc]) -> (Vec<HereDoc>, Vec<String>) {
    let mut docs = Vec::new();
    let mut paths = Vec::new();
    for word in words {
        let doc = here_doc::name(&word).and_then(|name| read.iter().rev().find(|doc| doc.name == name));
        match doc {
            Some(doc) => docs.push(doc.clone()),
            None => paths.push(word),
        }
    }
    (docs, paths)
}
