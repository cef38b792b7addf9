//! The key sequence that detaches from a container's terminal.

use std::str::FromStr;

use dhow_error::{Failure, invalid};

/// The bytes that a terminal sends for the sequence; empty disables detaching.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetachKeys(pub Vec<u8>);

impl Default for DetachKeys {
    /// `ctrl-p,ctrl-q`.
    fn default() -> Self {
        Self(vec![0x10, 0x11])
    }
}

impl FromStr for DetachKeys {
    type Err = Failure;

    /// Comma-separated: single characters, `DEL`, or `ctrl-` with a letter or one of `@`, `^`, `[`, `\`, `]`,
    /// `_`.
    fn from_str(text: &str) -> Result<Self, Failure> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        text.split(',').map(key).collect::<Option<Vec<u8>>>().map(Self).ok_or_else(|| {
            invalid(format!("invalid detach keys `{}`", text.escape_debug()))
                .hint("single characters and ctrl-LETTER with commas between, as in ctrl-p,ctrl-q")
        })
    }
}

fn key(name: &str) -> Option<u8> {
    if let [single] = name.as_bytes() {
        return single.is_ascii().then_some(*single);
    }
    if name == "DEL" {
        return Some(127);
    }
    match name.strip_prefix("ctrl-")?.as_bytes() {
        // Ctrl clears the upper bits: ctrl-a is 1.
        [letter @ (b'a'..=b'z')] => Some(letter - b'a' + 1),
        [symbol @ (b'@' | b'[' | b'\\' | b']' | b'^' | b'_')] => Some(symbol - b'@'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_control_keys_and_letters() {
        let keys = |text: &str| text.parse::<DetachKeys>().map(|keys| keys.0);
        assert_eq!(keys("ctrl-p,ctrl-q").unwrap(), DetachKeys::default().0);
        assert_eq!(keys("a,ctrl-\\,ctrl-@,ctrl-_").unwrap(), [b'a', 28, 0, 31]);
        assert!(keys("").unwrap().is_empty());
        for bad in ["ctrl-", "ctrl-1", "ab", "a,,b", "é", "ctrl-P"] {
            assert!(keys(bad).is_err(), "{bad}");
        }
    }
}
