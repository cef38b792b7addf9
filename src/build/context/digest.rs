//! The digest of a selection: equal for equal files, wherever and whenever they were created.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use super::attributes::FileAttributes;
use super::select::{CopySelection, NodeKind, SelectedNode};
use dhow_model::digest::Digest;

/// Bump when what is hashed changes.
const VERSION: &[u8] = b"dhow selection 1\n";

/// Covers names, types, modes, owners, xattrs, link targets and contents (whose digests must be filled in),
/// but no times. If only the content of a directory is copied, its own name and metadata do not count.
pub(super) fn digest(selection: &CopySelection, parents: bool) -> Digest {
    let mut stream = SelectionHasher { hash: Sha256::new(), selection, links: HashMap::new() };
    stream.hash.update(VERSION);
    for matched in &selection.matches {
        stream.number(matched.parents.len());
        for (name, attributes) in &matched.parents {
            stream.bytes(name);
            stream.attributes(attributes, true);
        }
        match &matched.node.kind {
            NodeKind::Dir(nodes) if !parents => stream.nodes(nodes),
            _ => stream.node(&matched.node),
        }
    }
    Digest::from_sha256(stream.hash.finalize().as_slice())
}

struct SelectionHasher<'a> {
    hash: Sha256,
    selection: &'a CopySelection,
    /// The number of the first name of each hard-linked file.
    links: HashMap<(u64, u64), usize>,
}

impl SelectionHasher<'_> {
    fn number(&mut self, number: usize) {
        self.hash.update((number as u64).to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.hash.update(bytes);
    }

    fn attributes(&mut self, attributes: &FileAttributes, with_mode: bool) {
        let mode = if with_mode { attributes.mode } else { 0 };
        for number in [mode, attributes.owner.0, attributes.owner.1] {
            self.hash.update(number.to_le_bytes());
        }
        self.number(attributes.xattrs.len());
        for (name, value) in &attributes.xattrs {
            self.bytes(name);
            self.bytes(value);
        }
    }

    fn nodes(&mut self, nodes: &[SelectedNode]) {
        self.hash.update(b"d");
        self.number(nodes.len());
        for node in nodes {
            self.node(node);
        }
    }

    fn node(&mut self, node: &SelectedNode) {
        self.bytes(&node.name);
        // The mode of a symlink is always 0777 and has no effect.
        self.attributes(&node.attributes, !matches!(node.kind, NodeKind::Symlink(_)));
        match &node.kind {
            NodeKind::Dir(nodes) => self.nodes(nodes),
            NodeKind::File(number) => self.file(*number),
            NodeKind::Symlink(target) => {
                self.hash.update(b"l");
                self.bytes(target);
            }
            NodeKind::Fifo => self.hash.update(b"p"),
            NodeKind::Device(block, major, minor) => {
                self.hash.update(if *block { b"b" } else { b"c" });
                self.hash.update(major.to_le_bytes());
                self.hash.update(minor.to_le_bytes());
            }
        }
    }

    fn file(&mut self, number: usize) {
        let Some(file) = self.selection.files.get(number) else { return };
        // Later names of a file hash as a reference to the first: hard links survive a copy.
        if file.hard_linked {
            let first = *self.links.entry((file.identity.device, file.identity.inode)).or_insert(number);
            if first != number {
                self.hash.update(b"h");
                return self.number(first);
            }
        }
        self.hash.update(b"f");
        self.hash.update(file.digest.unwrap_or_default());
    }
}
