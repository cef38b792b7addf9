//! Spelling suggestions.

/// The closest of `candidates` to `word`, if it is close enough to be a typo.
pub(crate) fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // In a short word, two mistakes make a different word.
    let allowed = if word.chars().count() <= 3 { 1 } else { 2 };
    let best = candidates.into_iter().map(|candidate| (distance(word, candidate), candidate)).min()?;
    (best.0 <= allowed && word.len() <= 64).then_some(best.1)
}

/// The Damerau–Levenshtein distance: swapping two neighbours counts as one step.
fn distance(from: &str, to: &str) -> usize {
    // A longer word is refused by `closest`; the limit keeps the matrix small.
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().take(65).collect(), to.chars().collect());
    let mut rows = vec![vec![0; to.len() + 1]; from.len() + 1];
    for i in 0..=from.len() {
        for j in 0..=to.len() {
            rows[i][j] = if i == 0 || j == 0 { i + j } else { step(&rows, &from, &to, i, j) };
        }
    }
    rows[from.len()][to.len()]
}

fn step(rows: &[Vec<usize>], from: &[char], to: &[char], i: usize, j: usize) -> usize {
    let replaced = rows[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
    let best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
    let swapped = i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1];
    if swapped { best.min(rows[i - 2][j - 2] + 1) } else { best }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_and_nothing_far() {
        let known = ["images", "image", "pull", "ps", "rm", "run"];
        assert_eq!(closest("iamges", known), Some("images"));
        assert_eq!(closest("pul", known), Some("pull"));
        assert_eq!(closest("rnu", known), Some("run"));
        assert_eq!(closest("kubernetes", known), None);
        assert_eq!(closest("x", []), None);
    }
}
