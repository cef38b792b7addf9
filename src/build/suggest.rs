//! "did you mean" suggestions, as BuildKit makes them: fewer than three edits apart.

/// The candidate closest to `word`, if close enough to be a typo; `None` also if `word` itself is known.
pub(crate) fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Untrusted names may be long, and the distance costs the product of both lengths.
    if word.len() > 128 {
        return None;
    }
    // Only distances below 3 are accepted.
    let mut best = (3, None);
    for candidate in candidates {
        if candidate == word {
            return None;
        }
        if candidate.len() > 256 {
            continue;
        }
        let distance = distance(word, candidate);
        if distance < best.0 {
            best = (distance, Some(candidate));
        }
    }
    best.1
}

/// Appends ` (did you mean …?)` to `message` if a known word is close.
pub(crate) fn did_you_mean<'a>(
    message: String,
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> String {
    match closest(word, candidates) {
        Some(meant) => format!("{message} (did you mean {meant}?)"),
        None => message,
    }
}

/// Levenshtein distance.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    // One row of the matrix at a time; `diagonal`, `above` and `left` are the neighbours of the current cell.
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(&to) {
            let above = *cell;
            left = (diagonal + usize::from(a != *b)).min(above + 1).min(left + 1);
            diagonal = above;
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_edits() {
        for (from, to, expected) in
            [("", "", 0), ("a", "", 1), ("", "abc", 3), ("kitten", "sitting", 3), ("frm", "from", 1)]
        {
            assert_eq!(distance(from, to), expected, "{from} {to}");
        }
    }

    #[test]
    fn means_what_is_near_and_nothing_else() {
        assert_eq!(closest("RUNN", ["COPY", "RUN", "USER"]), Some("RUN"));
        assert_eq!(closest("RUN", ["COPY", "RUN"]), None);
        assert_eq!(closest("BOGUS", ["COPY", "RUN"]), None);
        assert_eq!(did_you_mean("no x".into(), "x", ["xy"]), "no x (did you mean xy?)");
    }
}
