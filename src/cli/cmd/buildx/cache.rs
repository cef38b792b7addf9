//! The build cache in the words of buildx: filters, tables and totals, shared by `du` and the `prune` commands.

use crate::cmd::prune_report::deleted_list;
use crate::output::{humanize, table};
use dhow_builder::prune::CacheEntry;
use dhow_error::Failure;
use dhow_model::bytes;
use dhow_model::filter::ListFilter;

/// A table with a row for each entry.
pub(crate) fn cache_table(entries: &[CacheEntry]) -> String {
    let mut text = String::from("ID\tRECLAIMABLE\tSIZE\tLAST ACCESSED\n");
    for entry in entries {
        // The marks of buildx: behind the ID for mutable, behind the size for shared.
        let mutable = if entry.mutable { "*" } else { "" };
        let shared = if entry.shared { "*" } else { "" };
        let last = entry.last_used.as_deref().map(humanize::ago).unwrap_or_default();
        let (id, reclaimable, size) = (&entry.id, !entry.in_use, bytes::human(entry.size));
        text += &format!("{id}{mutable}\t{reclaimable}\t{size}{shared}\t{last}\n");
    }
    table::align_columns(&text)
}

/// Every detail of an entry, followed by an empty line.
pub(crate) fn cache_details(entry: &CacheEntry) -> String {
    let mut lines = vec![("ID", entry.id.clone())];
    if !entry.parents.is_empty() {
        lines.push(("Parents", entry.parents.join(", ")));
    }
    lines.extend([
        ("Created at", humanize::local_time(&entry.created)),
        ("Mutable", entry.mutable.to_string()),
        ("Reclaimable", (!entry.in_use).to_string()),
        ("Shared", entry.shared.to_string()),
        ("Size", bytes::human(entry.size)),
    ]);
    if !entry.description.is_empty() {
        // Descriptions quote Dockerfiles, which must not control the terminal.
        lines.push(("Description", entry.description.escape_debug().to_string()));
    }
    lines.push(("Usage count", entry.uses.to_string()));
    if let Some(used) = &entry.last_used {
        lines.push(("Last used", humanize::ago(used)));
    }
    lines.push(("Type", entry.kind.clone()));
    let text: String = lines.into_iter().map(|(name, value)| format!("{name}:\t{value}\n")).collect();
    table::align_columns(&text) + "\n"
}

/// The size of all entries in bytes.
pub(crate) fn total_size(entries: &[CacheEntry]) -> u64 {
    entries.iter().map(|entry| entry.size).fold(0, u64::saturating_add)
}

/// The list of removed entries.
pub(crate) fn deleted_lines(removed: &[CacheEntry]) -> String {
    deleted_list("build cache objects", removed.iter().map(|entry| &entry.id))
}

/// Parses `KEY=VALUE`, `KEY~=PART` and, for booleans, `KEY`.
pub(crate) fn parse_cache_filter(text: &str) -> Result<ListFilter, Failure> {
    if let Some((key, part)) = text.split_once("~=") {
        // The tilde moves into the value, because a filter is split at its `=`.
        return format!("{key}=~{part}").parse();
    }
    match text.contains('=') {
        true => text.parse(),
        false => Ok(ListFilter { key: text.trim().to_lowercase(), value: String::new() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_of_the_cache() {
        let read = |text: &str| parse_cache_filter(text).map(|filter| (filter.key, filter.value)).unwrap();
        assert_eq!(read("until=24h"), ("until".into(), "24h".into()));
        assert_eq!(read("description~=RUN a=b"), ("description".into(), "~RUN a=b".into()));
        assert_eq!(read("inuse"), ("inuse".into(), String::new()));
    }
}
