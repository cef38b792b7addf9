//! The last lines of a step's output, as a small terminal would show them.

use std::collections::VecDeque;

use unicode_width::UnicodeWidthChar as _;

/// How many lines of a running step are shown.
pub(crate) const TAIL_LINES: usize = 6;
/// The longest line that is kept, in bytes.
const MAX_LINE_BYTES: usize = 4096;

/// What the next character belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum EscapeState {
    #[default]
    Text,
    /// After an escape character.
    Escape,
    /// In a control sequence, which a byte from `@` to `~` ends.
    Sequence,
    /// In an operating system command, which a bell or an escape character ends.
    Command,
}

/// Turns the bytes that a step writes into lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct OutputTail {
    lines: VecDeque<String>,
    /// The line that has no end yet.
    partial_line: String,
    /// A carriage return came: the next character begins the line again.
    carriage_return: bool,
    state: EscapeState,
    /// The bytes of an incomplete character.
    partial_char: Vec<u8>,
}

impl OutputTail {
    /// Adds output.
    pub(crate) fn write(&mut self, data: &[u8]) {
        // A character may be split between two writes.
        self.partial_char.extend_from_slice(data);
        let bytes = std::mem::take(&mut self.partial_char);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            match str::from_utf8(rest) {
                Ok(text) => return text.chars().for_each(|c| self.feed(c)),
                Err(error) => {
                    let (valid, invalid) = rest.split_at(error.valid_up_to());
                    str::from_utf8(valid).unwrap_or_default().chars().for_each(|c| self.feed(c));
                    // No length: the character is incomplete, and its end may come with the next write.
                    let Some(length) = error.error_len() else {
                        self.partial_char = invalid.to_vec();
                        return;
                    };
                    self.feed(char::REPLACEMENT_CHARACTER);
                    rest = invalid.get(length..).unwrap_or_default();
                }
            }
        }
    }

    fn feed(&mut self, c: char) {
        self.state = match (self.state, c) {
            (EscapeState::Text, '\x1b') => EscapeState::Escape,
            (EscapeState::Text, c) => {
                self.write_char(c);
                EscapeState::Text
            }
            (EscapeState::Escape, '[') => EscapeState::Sequence,
            (EscapeState::Escape, ']') => EscapeState::Command,
            // Other sequences count as two characters. So does `ESC \`, the second way to end a command.
            (EscapeState::Escape, _) => EscapeState::Text,
            (EscapeState::Sequence, '@'..='~') => EscapeState::Text,
            (EscapeState::Sequence, _) => EscapeState::Sequence,
            (EscapeState::Command, '\x07') => EscapeState::Text,
            (EscapeState::Command, '\x1b') => EscapeState::Escape,
            (EscapeState::Command, _) => EscapeState::Command,
        };
    }

    fn write_char(&mut self, c: char) {
        match c {
            '\n' => {
                self.lines.push_back(std::mem::take(&mut self.partial_line));
                self.carriage_return = false;
                while self.lines.len() > TAIL_LINES {
                    self.lines.pop_front();
                }
            }
            // Nothing is erased yet, or the line would be lost in `\r\n`.
            '\r' => self.carriage_return = true,
            '\x08' => drop(self.partial_line.pop()),
            '\t' => self.push(' '),
            c if c.is_control() => {}
            c => self.push(c),
        }
    }

    fn push(&mut self, c: char) {
        if std::mem::take(&mut self.carriage_return) {
            self.partial_line.clear();
        }
        // Bounded, since a step may write without ever ending the line.
        if self.partial_line.len() < MAX_LINE_BYTES {
            self.partial_line.push(c);
        }
    }

    /// The last lines that are not empty, wrapped at `width` columns.
    pub(crate) fn rows(&self, width: usize) -> Vec<String> {
        let lines = self.lines.iter().chain([&self.partial_line]);
        let mut rows: Vec<String> =
            lines.flat_map(|line| wrap(line, width.max(1))).filter(|row| !row.trim().is_empty()).collect();
        rows.split_off(rows.len().saturating_sub(TAIL_LINES))
    }
}

fn wrap(line: &str, width: usize) -> Vec<String> {
    let mut rows = vec![String::new()];
    let mut used = 0;
    for c in line.chars() {
        let columns = c.width().unwrap_or(0);
        if used + columns > width {
            rows.push(String::new());
            used = 0;
        }
        used += columns;
        if let Some(row) = rows.last_mut() {
            row.push(c);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(data: &[u8], width: usize) -> Vec<String> {
        let mut tail = OutputTail::default();
        data.iter().for_each(|byte| tail.write(&[*byte]));
        tail.rows(width)
    }

    #[test]
    fn the_last_six_lines() {
        let data: Vec<u8> = (1..=9).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
        assert_eq!(rows(&data, 80).join("|"), "line 4|line 5|line 6|line 7|line 8|line 9");
        assert_eq!(rows(b"a\n\n \nb", 80), ["a", "b"]);
    }

    #[test]
    fn a_terminal_is_not_steered() {
        assert_eq!(rows(b"\x1b[2J\x1b[31mred\x1b[0m \x1b]0;title\x07x\x07\x1b(y\n", 80), ["red xy"]);
        assert_eq!(rows(b"10%\r20%\r100%\r\ndone", 80), ["100%", "done"]);
        assert_eq!(rows("\u{fc}\tb\u{ff}".as_bytes(), 80), ["\u{fc} b\u{ff}"]);
        assert_eq!(rows(b"a\xff\xfeb", 80), ["a\u{fffd}\u{fffd}b"]);
    }

    #[test]
    fn long_lines_are_wrapped() {
        assert_eq!(rows(b"abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(rows("日本語".as_bytes(), 4), ["日本", "語"]);
    }
}
