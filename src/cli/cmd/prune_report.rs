//! What the `prune` commands print, in docker's words.

use std::fmt::Display;

use dhow_model::bytes;

/// The removed objects below a heading, and an empty line after them; empty if there are none.
pub(crate) fn deleted_list(kind: &str, names: impl IntoIterator<Item = impl Display>) -> String {
    let lines: String = names.into_iter().map(|name| format!("{name}\n")).collect();
    if lines.is_empty() { lines } else { format!("Deleted {kind}:\n{lines}\n") }
}

/// The last line of the commands.
pub(crate) fn reclaimed_line(reclaimed: u64) -> String {
    format!("Total reclaimed space: {}\n", bytes::human(reclaimed))
}
