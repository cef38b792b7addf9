//! Go's `path.Match`: `*` and `?` do not match slashes, `[a-z]` and `[^a-z]` are classes.

use dhow_error::{Failure, invalid};

/// Whether all of `text` matches. Fails on a malformed pattern.
pub fn matches(pattern: &str, text: &str) -> Result<bool, Failure> {
    let pieces = read(pattern)
        .ok_or_else(|| invalid(format!("syntax error in pattern `{}`", pattern.escape_debug())))?;
    let text: Vec<char> = text.chars().collect();
    Ok(walk(&pieces, &text))
}

enum GlobToken {
    Star,
    Any,
    One(char),
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl GlobToken {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Star => false,
            Self::Any => c != '/',
            Self::One(literal) => *literal == c,
            // In Go a class may match a slash.
            Self::Class { negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
            }
        }
    }
}

fn read(pattern: &str) -> Option<Vec<GlobToken>> {
    let mut rest = pattern.chars();
    let mut pieces = Vec::new();
    while let Some(c) = rest.next() {
        pieces.push(match c {
            '*' => GlobToken::Star,
            '?' => GlobToken::Any,
            // Go refuses a backslash at the end, where it escapes nothing.
            '\\' => GlobToken::One(rest.next()?),
            '[' => class(&mut rest)?,
            c => GlobToken::One(c),
        });
    }
    Some(pieces)
}

fn class(rest: &mut std::str::Chars<'_>) -> Option<GlobToken> {
    let negated = rest.as_str().starts_with('^');
    if negated {
        rest.next();
    }
    let mut ranges = Vec::new();
    loop {
        let low = match rest.next()? {
            // A class has at least one range, so an earlier `]` is malformed.
            ']' if !ranges.is_empty() => return Some(GlobToken::Class { negated, ranges }),
            ']' | '-' => return None,
            '\\' => rest.next()?,
            c => c,
        };
        let mut high = low;
        if rest.as_str().starts_with('-') {
            rest.next();
            high = match rest.next()? {
                ']' | '-' => return None,
                '\\' => rest.next()?,
                c => c,
            };
        }
        ranges.push((low, high));
    }
}

/// On a mismatch only the last star is retried, as in Go.
fn walk(pieces: &[GlobToken], text: &[char]) -> bool {
    let (mut piece, mut at) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match (pieces.get(piece), text.get(at)) {
            (None, None) => return true,
            (Some(GlobToken::Star), _) => {
                retry = Some((piece + 1, at));
                piece += 1;
            }
            (Some(token), Some(c)) if token.takes(*c) => (piece, at) = (piece + 1, at + 1),
            // Lets the last star take one more character.
            _ => match retry {
                Some((after, from)) if text.get(from).is_some_and(|c| *c != '/') => {
                    retry = Some((after, from + 1));
                    (piece, at) = (after, from + 1);
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_go_does() {
        for (pattern, text, matched) in [
            ("abc", "abc", true),
            ("b*", "busybox", true),
            ("*", "busybox", true),
            ("*", "a/b", false),
            ("*/*", "a/b", true),
            ("a*c*d", "abcbcd", true),
            ("a*c*d", "abcbc", false),
            ("?usy*", "busybox:1", true),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("a[^b]c", "a/c", true),
            ("a[./]c", "a/c", true),
            ("a?c", "a/c", false),
            // Go does not go back to the first star, which could take the `a`.
            ("*[a/]*c", "a/c", false),
            ("", "", true),
            ("*a", "", false),
        ] {
            assert_eq!(matches(pattern, text).unwrap(), matched, "{pattern} {text}");
        }
    }

    #[test]
    fn refuses_the_malformed() {
        for bad in ["[", "[]", "[a", "[a-]", "[-a]", "\\", "[^", "[a-"] {
            assert!(matches(bad, "a").is_err(), "{bad}");
        }
    }
}
