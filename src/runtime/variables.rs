//! Lists of environment variables, as specifications have them: `NAME=value`.

fn name_of(entry: &str) -> &str {
    entry.split('=').next().unwrap_or_default()
}

pub(crate) fn is_set(variables: &[String], name: &str) -> bool {
    variables.iter().any(|entry| name_of(entry) == name)
}

/// Adds `entries`: a later variable replaces an earlier one in place. A name without `=` (`-e NAME`, not set in the
/// caller's environment) unsets the variable.
pub(crate) fn merge_variables<'a>(
    mut variables: Vec<String>,
    entries: impl IntoIterator<Item = &'a String>,
) -> Vec<String> {
    for entry in entries {
        match variables.iter_mut().find(|known| name_of(known) == name_of(entry)) {
            Some(known) => known.clone_from(entry),
            None => variables.push(entry.clone()),
        }
    }
    // An entry without `=` has replaced the variable that it unsets, or there was none.
    variables.retain(|entry| entry.contains('='));
    variables
}
