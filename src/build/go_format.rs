//! Values in Go's formatting, as BuildKit writes them into image histories.

use std::fmt::Write as _;

/// `%q` of a string slice: `["a" "b"]`.
pub(crate) fn quoted_list(words: &[String]) -> String {
    format!("[{}]", words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "))
}

/// `%v` of a string slice: `[a b]`.
pub(crate) fn plain_list(words: &[String]) -> String {
    format!("[{}]", words.join(" "))
}

/// `strconv.Quote`.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            c if c < ' ' || c == '\u{7f}' => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(c));
            }
            // Of white space, Go considers only the ASCII space printable (`unicode.IsPrint`).
            c if c.is_control() || (c.is_whitespace() && c != ' ') => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// `time.Duration.String`: `1m30s`, `1.5s`, `0s`.
pub fn duration(nanoseconds: i64) -> String {
    if nanoseconds == 0 {
        return "0s".into();
    }
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let total = nanoseconds.unsigned_abs();
    if total < 1_000_000_000 {
        let (unit, size) = match total {
            0..1_000 => ("ns", 1),
            1_000..1_000_000 => ("µs", 1_000),
            _ => ("ms", 1_000_000),
        };
        return format!("{sign}{}{unit}", decimal(total, size));
    }
    let (hours, rest) = (total / 3_600_000_000_000, total % 3_600_000_000_000);
    let (minutes, seconds) = (rest / 60_000_000_000, rest % 60_000_000_000);
    let seconds = decimal(seconds, 1_000_000_000);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

/// `number` / `size` as a decimal without trailing zeros; `size` is a power of ten.
fn decimal(number: u64, size: u64) -> String {
    let (whole, part) = (number / size, number % size);
    if part == 0 {
        return whole.to_string();
    }
    let digits = size.to_string().len() - 1;
    format!("{whole}.{}", format!("{part:0digits$}").trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_go_does() {
        assert_eq!(quoted_list(&["a \"b\"".into(), "c\nd\u{1}".into()]), r#"["a \"b\"" "c\nd\x01"]"#);
        assert_eq!(plain_list(&["/a".into(), "b".into()]), "[/a b]");
        for (nanoseconds, text) in [
            (0, "0s"),
            (1_500_000_000, "1.5s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
            (250_000_000, "250ms"),
            (1_500, "1.5µs"),
            (-2_000_000_000, "-2s"),
        ] {
            assert_eq!(duration(nanoseconds), text);
        }
    }
}
