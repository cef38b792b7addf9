//! Durations: Go's format in and out (`1h30m0s`), and docker's rough wording (`About an hour`).

use std::time::Duration;

use dhow_error::{Failure, invalid};

/// Parses what Go's `time.ParseDuration` accepts, without a sign: `300ms`, `1.5h`, `2h45m`, `0`.
pub fn parse(text: &str) -> Result<Duration, Failure> {
    read(text).ok_or_else(|| {
        invalid(format!("invalid duration `{}`", text.escape_debug()))
            .hint("numbers with a unit each (ns, us, ms, s, m, h), as in 1m30s")
    })
}

fn read(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let unit = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let seconds = number.parse::<f64>().ok()? * unit_seconds(&tail[..unit])?;
        total = total.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?;
        rest = &tail[unit..];
    }
    (!text.is_empty()).then_some(total)
}

fn unit_seconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1e-9,
        // Both micro signs: U+00B5 and the Greek mu, U+03BC.
        "us" | "µs" | "μs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    })
}

/// `time.Duration.String`: `1m30s`, `1.5s`, `0s`.
pub fn format_go(nanoseconds: i64) -> String {
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

/// docker's wording for an elapsed time (go-units `HumanDuration`).
pub fn human(seconds: u64) -> String {
    let minutes = seconds / 60;
    // Rounded, unlike the other units, as in go-units.
    let hours = (seconds as f64 / 3600.0).round() as u64;
    match (seconds, minutes, hours) {
        (0, ..) => "Less than a second".into(),
        (1, ..) => "1 second".into(),
        (s @ 2..60, ..) => format!("{s} seconds"),
        (_, 1, _) => "About a minute".into(),
        (_, m @ 2..60, _) => format!("{m} minutes"),
        (.., 1) => "About an hour".into(),
        (.., h @ 2..48) => format!("{h} hours"),
        (.., h) if h < 24 * 7 * 2 => format!("{} days", h / 24),
        (.., h) if h < 24 * 30 * 2 => format!("{} weeks", h / 24 / 7),
        (.., h) if h < 24 * 365 * 2 => format!("{} months", h / 24 / 30),
        (.., h) => format!("{} years", h / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_go() {
        assert_eq!(parse("1h30m").unwrap(), Duration::from_secs(5400));
        assert_eq!(parse("1.5s").unwrap(), Duration::from_millis(1500));
        assert_eq!(parse("100us").unwrap(), Duration::from_micros(100));
        assert_eq!(parse("0").unwrap(), Duration::ZERO);
        for bad in ["", "5", "s", "1x", "1h-3m", "-1s", ".s", "99999999999999999999h", "1d"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn writes_go() {
        for (nanoseconds, text) in [
            (0, "0s"),
            (1_500_000_000, "1.5s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
            (250_000_000, "250ms"),
            (1_500, "1.5µs"),
            (-2_000_000_000, "-2s"),
        ] {
            assert_eq!(format_go(nanoseconds), text);
        }
    }

    #[test]
    fn speaks_docker() {
        for (seconds, text) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (3600, "About an hour"),
            (3 * 3600, "3 hours"),
            (47 * 3600, "47 hours"),
            (48 * 3600, "2 days"),
            (13 * 86400, "13 days"),
            (14 * 86400, "2 weeks"),
            (59 * 86400, "8 weeks"),
            (60 * 86400, "2 months"),
            (729 * 86400, "24 months"),
            (730 * 86400, "2 years"),
        ] {
            assert_eq!(human(seconds), text);
        }
    }
}
