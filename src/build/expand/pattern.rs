//! Shell patterns of `${NAME#…}`, `${NAME%…}` and `${NAME/…/…}`: `*`, `?` and escapes; no brackets, as in BuildKit.
//!
//! Matched over characters in one pass with one point to go back to, so that no pattern can make it slow.

/// One element of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    /// `*`
    Any,
    /// `?`
    One,
    /// A character that stands for itself.
    This(char),
}

/// A pattern that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Element>);

/// Which of the matches is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// The shortest.
    Short,
    /// The longest.
    Long,
}

impl Pattern {
    /// Reads `text`. Its escape character is `\` whatever the file's is; only what means something can be escaped.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut elements = Vec::new();
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            elements.push(match c {
                '*' => Element::Any,
                '?' => Element::One,
                '\\' => match rest.next() {
                    // These are escaped for the sake of `${}` around the pattern.
                    Some(c @ ('}' | '/' | '*' | '?' | '\\')) => Element::This(c),
                    Some(other) => return Err(format!("invalid escape '\\{other}'")),
                    None => return Err("invalid escape at the end".into()),
                },
                other => Element::This(other),
            });
        }
        elements.dedup_by(|a, b| *a == Element::Any && *b == Element::Any);
        Ok(Self(elements))
    }

    /// About how many steps it takes to look for it at every place of a text of `length` characters, or at the
    /// beginning alone.
    pub(super) fn work(&self, length: usize, everywhere: bool) -> usize {
        let once = if self.0.contains(&Element::Any) { length + 1 } else { 1 };
        let places = if everywhere { length + 1 } else { 1 };
        (self.0.len() + 1).saturating_mul(once).saturating_mul(places)
    }

    /// The same pattern for a reversed text.
    fn reversed(&self) -> Self {
        Self(self.0.iter().rev().copied().collect())
    }

    /// How many characters at the beginning of `text` match.
    fn prefix(&self, text: &[char], length: Length) -> Option<usize> {
        // Without `*` nothing but so many characters can match.
        let most = if self.0.contains(&Element::Any) { text.len() } else { self.0.len().min(text.len()) };
        let lengths = self.lengths(text.get(..most).unwrap_or_default());
        match length {
            Length::Short => lengths.iter().position(|matches| *matches),
            Length::Long => lengths.iter().rposition(|matches| *matches),
        }
    }

    /// For each length from 0, whether so many characters at the beginning of `text` match. Like `.` of a regular
    /// expression, neither `*` nor `?` stands for a line's end.
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
                Element::Any => swept(&reached, text),
                Element::One => stepped(&reached, text, |c| c != '\n'),
                Element::This(this) => stepped(&reached, text, |c| c == *this),
            };
        }
        reached
    }

    /// `text` without what matches at its beginning.
    pub(super) fn trim_start(&self, text: &str, length: Length) -> String {
        let text: Vec<char> = text.chars().collect();
        let cut = self.prefix(&text, length).unwrap_or(0);
        text.get(cut..).unwrap_or_default().iter().collect()
    }

    /// `text` without what matches at its end.
    pub(super) fn trim_end(&self, text: &str, length: Length) -> String {
        let text: Vec<char> = text.chars().rev().collect();
        let cut = self.reversed().prefix(&text, length).unwrap_or(0);
        text.get(cut..).unwrap_or_default().iter().rev().collect()
    }

    /// `text` with the first match, or all of them, replaced. At each place the longest match is taken.
    pub(super) fn replace(&self, text: &str, by: &str, all: bool) -> String {
        let text: Vec<char> = text.chars().collect();
        let mut out = String::new();
        let mut at = 0;
        let mut replaced_to = None;
        while at <= text.len() {
            let rest = text.get(at..).unwrap_or_default();
            let found =
                self.prefix(rest, Length::Long).filter(|length| *length > 0 || replaced_to != Some(at));
            if let Some(length) = found {
                out.push_str(by);
                if !all {
                    out.extend(text.get(at + length..).unwrap_or_default());
                    return out;
                }
                at += length;
                replaced_to = Some(at);
                if length > 0 {
                    continue;
                }
            }
            out.extend(text.get(at));
            at += 1;
        }
        out
    }
}

/// What can be reached when `*` takes any number of characters.
fn swept(reached: &[bool], text: &[char]) -> Vec<bool> {
    let mut on = false;
    let mut out = Vec::with_capacity(reached.len());
    for (at, from) in reached.iter().enumerate() {
        let broken = at.checked_sub(1).and_then(|before| text.get(before)) == Some(&'\n');
        on = *from || (on && !broken);
        out.push(on);
    }
    out
}

/// What can be reached when one character that `fits` is taken.
fn stepped(reached: &[bool], text: &[char], fits: impl Fn(char) -> bool) -> Vec<bool> {
    let taken = reached.iter().zip(text).map(|(from, c)| *from && fits(*c));
    std::iter::once(false).chain(taken).collect()
}
