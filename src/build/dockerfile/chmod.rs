//! `--chmod`: an octal mode, or symbolic changes as in chmod(1).

use dhow_error::{Failure, invalid};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChmodMode {
    Octal(u32),
    /// Applied in order to the file's own mode.
    Symbolic(Vec<ModeChange>),
}

/// A single change, such as `go-w`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ModeChange {
    /// A mask of user (4), group (2) and others (1).
    who: u8,
    operator: ChmodOperator,
    /// `rwx` as 4, 2 and 1.
    bits: u8,
    /// `X`: execute permission for directories, and for files that are already executable.
    conditional: bool,
    /// `s`: setuid or setgid.
    set_id: bool,
    /// `t`: sticky.
    sticky: bool,
    /// Copy the permissions of another class (4, 2 or 1), as in `g=u`.
    copied: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChmodOperator {
    Add,
    Remove,
    Set,
}

/// Parses `0755` or `u=rwX,go=rX`. Without `u`, `g`, `o` or `a` a change applies to all.
pub(crate) fn parse(text: &str) -> Result<ChmodMode, Failure> {
    let refused = || {
        invalid(format!(
            "invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777"
        ))
    };
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        let digits = text.chars().all(|c| c.is_digit(8));
        let mode = u32::from_str_radix(text, 8).ok().filter(|mode| digits && *mode <= 0o7777);
        return mode.map(ChmodMode::Octal).ok_or_else(refused);
    }
    let mut changes = Vec::new();
    for clause in text.split(',') {
        changes.extend(
            clause_of(clause)
                .ok_or_else(|| refused().hint("or changes as chmod(1) takes them: u=rwX,go=rX"))?,
        );
    }
    Ok(ChmodMode::Symbolic(changes))
}

/// `[ugoa]*([-+=]([rwxXst]*|[ugo]))+`
fn clause_of(clause: &str) -> Option<Vec<ModeChange>> {
    let end = clause.find(['+', '-', '='])?;
    let (who, mut rest) = clause.split_at(end);
    let mut mask = 0;
    for c in who.chars() {
        mask |= class(c).or_else(|| (c == 'a').then_some(7))?;
    }
    let who = if mask == 0 { 7 } else { mask };
    let mut changes = Vec::new();
    while let Some(sign) = rest.chars().next() {
        let operator = match sign {
            '+' => ChmodOperator::Add,
            '-' => ChmodOperator::Remove,
            '=' => ChmodOperator::Set,
            _ => return None,
        };
        let tail = rest.get(1..)?;
        let end = tail.find(['+', '-', '=']).unwrap_or(tail.len());
        let (letters, tail) = tail.split_at(end);
        changes.push(change(who, operator, letters)?);
        rest = tail;
    }
    Some(changes)
}

fn class(c: char) -> Option<u8> {
    match c {
        'u' => Some(4),
        'g' => Some(2),
        'o' => Some(1),
        _ => None,
    }
}

fn change(who: u8, operator: ChmodOperator, letters: &str) -> Option<ModeChange> {
    let mut change =
        ModeChange { who, operator, bits: 0, conditional: false, set_id: false, sticky: false, copied: None };
    let mut chars = letters.chars();
    if let (Some(only), None) = (chars.next(), chars.next())
        && let Some(class) = class(only)
    {
        change.copied = Some(class);
        return Some(change);
    }
    for c in letters.chars() {
        match c {
            'r' => change.bits |= 4,
            'w' => change.bits |= 2,
            'x' => change.bits |= 1,
            'X' => change.conditional = true,
            's' => change.set_id = true,
            't' => change.sticky = true,
            _ => return None,
        }
    }
    Some(change)
}

impl ChmodMode {
    /// The new mode (12 bits) of a file with mode `old`.
    pub(crate) fn apply(&self, old: u32, directory: bool) -> u32 {
        match self {
            Self::Octal(mode) => *mode,
            Self::Symbolic(changes) => {
                changes.iter().fold(old & 0o7777, |mode, change| change.apply(mode, directory))
            }
        }
    }
}

impl ModeChange {
    fn apply(self, old: u32, directory: bool) -> u32 {
        let mut bits = u32::from(self.bits);
        if self.conditional && (directory || old & 0o111 != 0) {
            bits |= 1;
        }
        if let Some(class) = self.copied {
            bits = old >> shift(class) & 7;
        }
        let (mut set, mut mask) = (0, 0);
        for class in [4, 2, 1].into_iter().filter(|class| self.who & class != 0) {
            set |= bits << shift(class);
            mask |= 7 << shift(class);
            // setuid and setgid are in the same order above the permission bits.
            let id = match class {
                4 => 0o4000,
                2 => 0o2000,
                _ => 0,
            };
            set |= if self.set_id { id } else { 0 };
            // Like chmod(1), `=` does not clear setuid and setgid of directories.
            mask |= if directory { 0 } else { id };
        }
        // The sticky bit goes with the others class.
        if self.who & 1 != 0 {
            set |= if self.sticky { 0o1000 } else { 0 };
            mask |= if directory { 0 } else { 0o1000 };
        }
        match self.operator {
            ChmodOperator::Add => old | set,
            ChmodOperator::Remove => old & !set,
            ChmodOperator::Set => old & !mask | set,
        }
    }
}

fn shift(class: u8) -> u32 {
    match class {
        4 => 6,
        2 => 3,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_made_in_order() {
        for (text, old, file, directory) in [
            ("0755", 0o644, 0o755, 0o755),
            ("4711", 0o644, 0o4711, 0o4711),
            ("u+x", 0o644, 0o744, 0o744),
            ("+x", 0o644, 0o755, 0o755),
            ("a=rX", 0o600, 0o444, 0o555),
            ("a=rX", 0o700, 0o555, 0o555),
            ("go-w", 0o666, 0o644, 0o644),
            ("u=rwX,go=rX", 0o640, 0o644, 0o755),
            ("g=u", 0o640, 0o660, 0o660),
            ("go=", 0o777, 0o700, 0o700),
            ("u+s,+t", 0o755, 0o5755, 0o5755),
            ("ug-s", 0o6755, 0o755, 0o755),
            ("u=rw", 0o4755, 0o655, 0o4655),
            ("u+w-x", 0o555, 0o655, 0o655),
        ] {
            let mode = parse(text).unwrap();
            assert_eq!(mode.apply(old, false), file, "{text}");
            assert_eq!(mode.apply(old, true), directory, "{text} of a directory");
        }
    }

    #[test]
    fn refuses_the_rest() {
        for bad in ["64a", "10000", "888", "", "u", "u+y", "z+x", "u+x,", "u+ug", "+-1"] {
            let failure = parse(bad).map(|mode| format!("{mode:?}")).expect_err(bad);
            let wording = format!(
                "invalid chmod parameter: '{bad}'. it should be octal string and between 0 and 07777"
            );
            assert_eq!(failure.to_string(), wording);
        }
    }
}
