//! Sizes, times and texts in the short forms of docker's listings.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use dhow_model::{bytes, duration};

/// `1.23MB`: three significant digits, as listings show sizes.
pub(crate) fn size(bytes: u64) -> String {
    bytes::human_with(bytes, 3)
}

/// Go's zero `time.Time`.
const ZERO: &str = "0001-01-01T00:00:00Z";

/// `3 weeks ago`, from a time in RFC 3339. Empty if the time is invalid or Go's zero.
pub(crate) fn ago(time: &str) -> String {
    let Ok(time) = time.parse::<Timestamp>() else { return String::new() };
    // Images made without a date have it, and docker prints nothing for them.
    if ZERO.parse().is_ok_and(|zero: Timestamp| zero == time) {
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
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            // Go has `\x` for control characters of ASCII, and `\u` for those above.
            c if u32::from(c) < 0x20 || c == '\x7f' => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_passed() {
        assert_eq!(span_ago(61), "About a minute ago");
        assert_eq!(span_ago(-5), "Less than a second ago");
        assert!(ago("2001-01-01T00:00:00Z").ends_with(" years ago"));
        assert_eq!(ago(ZERO), "");
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
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(ellipsis("übermäßig", 9), "übermäßig");
        assert_eq!(ellipsis("übermäßig", 5), "über…");
        assert_eq!(ellipsis("x", 0), "…");
    }
}
