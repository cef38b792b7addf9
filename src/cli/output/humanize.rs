//! Sizes, times and texts in the short forms of docker's listings.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use dhow_model::{bytes, duration};

/// `1.23MB`: three significant digits, as listings show sizes.
pub(crate) fn size(bytes: u64) -> String {
    bytes::human_with(bytes, 3)
}

/// Go's zero `time.Time`, 0001-01-01T00:00:00Z, in seconds since 1970.
const ZERO: i64 = -62_135_596_800;

/// `3 weeks ago`, from a time in RFC 3339. Empty if the time is invalid or Go's zero.
pub(crate) fn ago(time: &str) -> String {
    let Ok(time) = time.parse::<Timestamp>() else { return String::new() };
    // Images made without a date have it, and docker prints nothing for them.
    if time.as_second() == ZERO {
        return String::new();
    }
    span_ago(Timestamp::now().as_second().saturating_sub(time.as_second()))
}

fn span_ago(seconds: i64) -> String {
    // A time in the future, by a clock that was set back, counts as now.
    duration::human(u64::try_from(seconds).unwrap_or_default()) + " ago"
}

/// `2024-01-02 03:04:05 +0000 UTC`: a time in RFC 3339 as Go prints it in the local time zone. Empty if
/// invalid.
pub(crate) fn local_time(time: &str) -> String {
    match time.parse::<Timestamp>() {
        Ok(time) => go_time(time, TimeZone::system()),
        Err(_) => String::new(),
    }
}

fn go_time(time: Timestamp, zone: TimeZone) -> String {
    time.to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string()
}

/// `text` cut to `length` characters, the last an ellipsis if something is left out.
pub(crate) fn ellipsis(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    text.chars().take(length.saturating_sub(1)).chain(['…']).collect()
}

/// The age of a time in RFC 3339, `3 weeks`.
pub(crate) fn span_since(time: &str) -> String {
    ago(time).trim_end_matches(" ago").to_owned()
}

/// `"it's\ta \"text\""`: as Go's `strconv.Quote` writes it.
pub(crate) fn quote(text: &str) -> String {
    format!("\"{}\"", text.chars().map(|c| escape_char(c, '"', is_printable(c))).collect::<String>())
}

/// The same in ASCII, as `strconv.QuoteToASCII` writes it.
pub(crate) fn quote_ascii(text: &str) -> String {
    let escaped = text.chars().map(|c| escape_char(c, '"', matches!(c, ' '..='~')));
    format!("\"{}\"", escaped.collect::<String>())
}

/// `'x'`: as Go's `strconv.QuoteRune` writes it.
pub(crate) fn quote_char(c: char) -> String {
    format!("'{}'", escape_char(c, '\'', is_printable(c)))
}

/// `c` within a literal of Go between two `quote`.
fn escape_char(c: char, quote: char, printable: bool) -> String {
    let code = u32::from(c);
    match c {
        '\\' => "\\\\".into(),
        c if c == quote => format!("\\{c}"),
        c if printable => c.into(),
        '\x07' => "\\a".into(),
        '\x08' => "\\b".into(),
        '\x0c' => "\\f".into(),
        '\n' => "\\n".into(),
        '\r' => "\\r".into(),
        '\t' => "\\t".into(),
        '\x0b' => "\\v".into(),
        // `\x` is for ASCII, whose control characters it needs two digits for.
        c if c.is_ascii() => format!("\\x{code:02x}"),
        _ if code <= 0xffff => format!("\\u{code:04x}"),
        _ => format!("\\U{code:08x}"),
    }
}

/// Go's `unicode.IsPrint`: letters, marks, numbers, punctuation, symbols, and the blank.
fn is_printable(c: char) -> bool {
    // Rust knows the same classes, but escapes a mark unless it follows something that it may combine with. Backslashes
    // and quotes are escaped whatever their class.
    matches!(c, '\\' | '"' | '\'') || format!("x{c}").escape_debug().nth(1) == Some(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_passed() {
        assert_eq!(span_ago(61), "About a minute ago");
        assert_eq!(span_ago(-5), "Less than a second ago");
        assert!(ago("2001-01-01T00:00:00Z").ends_with(" years ago"));
        assert_eq!(ago("0001-01-01T00:00:00Z"), "");
        assert_eq!(ago("yesterday"), "");
    }

    #[test]
    fn times_of_go() {
        let time = "2024-01-02T03:04:05.678Z".parse().unwrap();
        assert_eq!(go_time(time, TimeZone::UTC), "2024-01-02 03:04:05 +0000 UTC");
        assert_eq!(local_time("never"), "");
    }

    #[test]
    fn quoted_as_go_does() {
        assert_eq!(quote("it's\ta \"b\"\\\u{1b}[1m\u{85}ü"), "\"it's\\ta \\\"b\\\"\\\\\\x1b[1m\\u0085ü\"");
        // docker 26, `info --format '{{printf "%q" …}}'`.
        assert_eq!(
            quote("\u{7}\u{8}\u{b}\u{c}\u{7f}\u{200b}\u{a0}é\u{301}\u{1f600}\u{e000}\u{feff}\u{e0001}"),
            "\"\\a\\b\\v\\f\\x7f\\u200b\\u00a0é\u{301}\u{1f600}\\ue000\\ufeff\\U000e0001\""
        );
        assert_eq!(
            (quote_ascii("é~"), quote_char('\''), quote_char('"')),
            ("\"\\u00e9~\"".into(), "'\\''".into(), "'\"'".into())
        );
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(ellipsis("übermäßig", 9), "übermäßig");
        assert_eq!(ellipsis("übermäßig", 5), "über…");
        assert_eq!(ellipsis("x", 0), "…");
    }
}
