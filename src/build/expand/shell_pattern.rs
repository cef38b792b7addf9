//! Shell patterns of `${NAME#…}`, `${NAME%…}` and `${NAME/…/…}`: `*`, `?` and escapes, no brackets, as in
//! BuildKit.
//!
//! Matching computes the set of all matching prefix lengths at once, without backtracking.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GlobElement {
    /// `*`
    Any,
    /// `?`
    One,
    /// A literal character.
    This(char),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShellPattern(Vec<GlobElement>);

/// Which match to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MatchLength {
    Short,
    Long,
}

impl ShellPattern {
    /// Always uses `\` as the escape character, which only special characters may follow.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut elements = Vec::new();
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            elements.push(match c {
                '*' => GlobElement::Any,
                '?' => GlobElement::One,
                '\\' => match rest.next() {
                    // These need escaping inside `${…}`.
                    Some(c @ ('}' | '/' | '*' | '?' | '\\')) => GlobElement::This(c),
                    Some(other) => return Err(format!("invalid escape '\\{other}'")),
                    None => return Err("invalid escape at the end".into()),
                },
                other => GlobElement::This(other),
            });
        }
        // `**` is the same as `*`; removing it keeps the work bounded.
        elements.dedup_by(|a, b| *a == GlobElement::Any && *b == GlobElement::Any);
        Ok(Self(elements))
    }

    /// An estimate of the matching steps on a text of `length` characters, at every position or at the start
    /// only.
    pub(super) fn work(&self, length: usize, everywhere: bool) -> usize {
        let once = if self.0.contains(&GlobElement::Any) { length + 1 } else { 1 };
        let positions = if everywhere { length + 1 } else { 1 };
        (self.0.len() + 1).saturating_mul(once).saturating_mul(positions)
    }

    /// For matching a reversed text.
    fn reversed(&self) -> Self {
        Self(self.0.iter().rev().copied().collect())
    }

    /// The length of the match at the start of `text`, in characters.
    fn prefix(&self, text: &[char], length: MatchLength) -> Option<usize> {
        // Without `*` the length of a match is fixed.
        let longest =
            if self.0.contains(&GlobElement::Any) { text.len() } else { self.0.len().min(text.len()) };
        let lengths = self.lengths(text.get(..longest).unwrap_or_default());
        match length {
            MatchLength::Short => lengths.iter().position(|matches| *matches),
            MatchLength::Long => lengths.iter().rposition(|matches| *matches),
        }
    }

    /// For each length from 0, whether that many characters at the start of `text` match. As `.` in Go's
    /// regexp, neither `*` nor `?` matches a newline.
    fn lengths(&self, text: &[char]) -> Vec<bool> {
        let mut reached = vec![false; text.len() + 1];
        if let Some(first) = reached.first_mut() {
            *first = true;
        }
        for element in &self.0 {
            if !reached.contains(&true) {
                break;
            }
            reached = match element {
                GlobElement::Any => step_any(&reached, text),
                GlobElement::One => step_one(&reached, text, |c| c != '\n'),
                GlobElement::This(this) => step_one(&reached, text, |c| c == *this),
            };
        }
        reached
    }

    /// Without the prefix that matches.
    pub(super) fn trim_start(&self, text: &str, length: MatchLength) -> String {
        let text: Vec<char> = text.chars().collect();
        let cut = self.prefix(&text, length).unwrap_or(0);
        text.get(cut..).unwrap_or_default().iter().collect()
    }

    /// Without the suffix that matches.
    pub(super) fn trim_end(&self, text: &str, length: MatchLength) -> String {
        let text: Vec<char> = text.chars().rev().collect();
        let cut = self.reversed().prefix(&text, length).unwrap_or(0);
        text.get(cut..).unwrap_or_default().iter().rev().collect()
    }

    /// With the first match, or all, replaced; at each position the longest match.
    pub(super) fn replace(&self, text: &str, replacement: &str, all: bool) -> String {
        let text: Vec<char> = text.chars().collect();
        let mut out = String::new();
        let mut position = 0;
        let mut replaced_to = None;
        while position <= text.len() {
            let rest = text.get(position..).unwrap_or_default();
            // Like Go's ReplaceAll: no empty match directly after a match.
            let matched = self
                .prefix(rest, MatchLength::Long)
                .filter(|length| *length > 0 || replaced_to != Some(position));
            if let Some(length) = matched {
                out.push_str(replacement);
                if !all {
                    out.extend(text.get(position + length..).unwrap_or_default());
                    return out;
                }
                position += length;
                replaced_to = Some(position);
                if length > 0 {
                    continue;
                }
            }
            out.extend(text.get(position));
            position += 1;
        }
        out
    }
}

/// The prefix lengths reachable by consuming any number of characters.
fn step_any(reached: &[bool], text: &[char]) -> Vec<bool> {
    let mut reachable = false;
    let mut out = Vec::with_capacity(reached.len());
    for (at, from) in reached.iter().enumerate() {
        let broken = at.checked_sub(1).and_then(|before| text.get(before)) == Some(&'\n');
        reachable = *from || (reachable && !broken);
        out.push(reachable);
    }
    out
}

/// The prefix lengths reachable by consuming one character that `fits`.
fn step_one(reached: &[bool], text: &[char], fits: impl Fn(char) -> bool) -> Vec<bool> {
    let taken = reached.iter().zip(text).map(|(from, c)| *from && fits(*c));
    std::iter::once(false).chain(taken).collect()
}
