//! Timestamps as filters accept them: absolute, or relative to now.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::duration;
use dhow_error::{Failure, invalid};

/// Parses RFC 3339, a date or date and time in the machine's zone, seconds since 1970, or a duration (`24h`)
/// before `now`; a negative duration lies after it.
pub fn parse(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    parse_any(text, now).ok_or_else(|| {
        invalid(format!("`{}` is not a point in time", text.escape_debug()))
            .hint("as 2024-01-02T15:04:05Z, 2024-01-02, seconds since 1970, or 24h for a day ago")
    })
}

fn parse_any(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    // Without a zone it is local time, as in docker's client.
    if let Ok(time) = text.parse::<DateTime>() {
        return time.to_zoned(TimeZone::system()).ok().map(|time| time.timestamp());
    }
    // docker's own form is seconds and nanoseconds, separated by a dot.
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if let Ok(seconds) = whole.parse::<i64>() {
        return Timestamp::new(seconds, nanoseconds(fraction)?).ok();
    }
    match text.strip_prefix('-') {
        Some(ahead) => now.checked_add(duration::parse(ahead).ok()?).ok(),
        None => now.checked_sub(duration::parse(text).ok()?).ok(),
    }
}

/// The digits after the decimal point, at most nine.
fn nanoseconds(fraction: &str) -> Option<i32> {
    let digits: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    digits.parse::<u32>().ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings() {
        let now = "2024-03-01T00:00:00Z".parse().unwrap();
        for (text, time) in [
            ("2024-01-02T03:04:05Z", "2024-01-02T03:04:05Z"),
            ("2024-01-02T03:04:05+01:00", "2024-01-02T02:04:05Z"),
            ("1704164645", "2024-01-02T03:04:05Z"),
            ("1704164645.123", "2024-01-02T03:04:05.123Z"),
            ("1704164645.000000001", "2024-01-02T03:04:05.000000001Z"),
            ("24h", "2024-02-29T00:00:00Z"),
            ("1h30m", "2024-02-29T22:30:00Z"),
            ("-2h", "2024-03-01T02:00:00Z"),
        ] {
            assert_eq!(parse(text, now).unwrap(), time.parse::<Timestamp>().unwrap(), "{text}");
        }
        assert!(parse("2024-01-02", now).is_ok() && parse("2024-01-02T03:04", now).is_ok());
        for bad in
            ["", "yesterday", "--1h", "1704164645.x", "1704164645.-1", "99999999999999999999", "9999999999h"]
        {
            assert!(parse(bad, now).is_err(), "{bad}");
        }
    }
}
