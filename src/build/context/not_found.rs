//! The error for a source that does not exist: BuildKit's message, with a hint (ignored, misspelt, outside
//! the context).

use super::SourceTree;
use super::tree_view::{components, display_path, join};
use crate::suggest::closest;
use dhow_error::not_found as failure;

/// The error for `path`, which the pattern `written` resolved to.
pub(super) fn not_found(source: &SourceTree, written: &str, path: &[u8]) -> anyhow::Error {
    let shown = display_path(path);
    let message = format!(
        "failed to compute cache key: failed to calculate checksum of ref {}: \"/{shown}\": not found",
        source.name
    );
    let failure = failure(message);
    // Resolved without the ignore file: it exists, but is excluded.
    if matches!(source.view.resolve(path, true, &mut |_, _| true), Ok(Some(_))) {
        let file = source.ignore.file();
        return failure.hint(format!("`{shown}` is in the context, but {file} leaves it out")).into();
    }
    match suggestion(source, path) {
        Some(meant) => {
            failure.hint(format!("did you mean `{}`?", super::tree_view::display_path(&meant))).into()
        }
        None if written.starts_with("..") || written.contains("/../") => failure
            .hint("nothing outside the context can be copied; give a directory above it as the context")
            .into(),
        None => failure.into(),
    }
}

/// `path` with its first wrong component replaced by a similar name, if that exists.
fn suggestion(source: &SourceTree, path: &[u8]) -> Option<Vec<u8>> {
    let mut dir = source.resolve(b"", true).ok()??;
    let mut existing = Vec::new();
    let parts = components(path);
    for (index, part) in parts.iter().enumerate() {
        let next = join(&existing, part);
        match source.resolve(&next, true).ok()? {
            Some(resolved) => {
                dir = resolved;
                existing = next;
            }
            None => {
                if !dir.is_dir() {
                    return None;
                }
                let names = dir.dir.names().ok()?;
                let names: Vec<&str> = names.iter().filter_map(|name| name.to_str().ok()).collect();
                let component = std::str::from_utf8(part).ok()?;
                // A wrong case is the likeliest mistake on case-insensitive file systems, and may be more
                // than two edits.
                let other_case = || names.iter().copied().find(|name| name.eq_ignore_ascii_case(component));
                let meant = other_case().or_else(|| closest(component, names.iter().copied()))?;
                let rest: Vec<u8> =
                    parts.iter().skip(index + 1).fold(Vec::new(), |rest, part| join(&rest, part));
                let candidate = join(&existing, meant.as_bytes());
                let candidate = if rest.is_empty() { candidate } else { join(&candidate, &rest) };
                return matches!(source.resolve(&candidate, true), Ok(Some(_))).then_some(candidate);
            }
        }
    }
    None
}
