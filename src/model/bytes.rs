//! Sizes, parsed and formatted like docker's go-units package.

use dhow_error::{Failure, invalid};

/// Parses `64m`, `1.5 GiB`, `512`: powers of 1024, any case, `i` and `b` optional.
pub fn parse(text: &str) -> Result<u64, Failure> {
    read(text).ok_or_else(|| {
        invalid(format!("invalid size: '{}'", text.escape_debug()))
            .hint("a number, optionally followed by b, k, m, g, t or p, as in 512m")
    })
}

fn read(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    // go-units allows one space before the unit.
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let shift = match unit.as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        "p" | "pb" | "pib" => 50,
        _ => return None,
    };
    // The parser of floating-point numbers would accept `.5`.
    if !number.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    // Exact for integers; only fractions go through floating point.
    if let Ok(integer) = number.parse::<u64>() {
        return integer.checked_mul(1 << shift);
    }
    let scaled = number.parse::<f64>().ok()? * f64::from(2u8).powi(shift);
    // Just below i64::MAX, docker's type for sizes.
    (scaled < 9.2e18).then_some(scaled as u64)
}

/// `1.23MB`: powers of 1000, at most four significant digits.
pub fn human(size: u64) -> String {
    scaled(size as f64, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB", "EB"], 4)
}

/// `1.23MB` with at most `digits` significant digits.
pub fn human_with(size: u64, digits: usize) -> String {
    scaled(size as f64, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB", "EB"], digits)
}

/// `1.205MiB`: powers of 1024.
pub fn binary(size: u64) -> String {
    scaled(size as f64, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"], 4)
}

fn scaled(mut size: f64, base: f64, units: &[&str], digits: usize) -> String {
    let mut unit = 0;
    while size >= base && unit + 1 < units.len() {
        size /= base;
        unit += 1;
    }
    significant(size, digits) + units[unit]
}

/// C's `%.Ng`, for the values used here (below 10^N, or integral).
fn significant(value: f64, digits: usize) -> String {
    let integer_digits = format!("{}", value.trunc() as u64).len();
    let text = format!("{value:.*}", digits.saturating_sub(integer_digits));
    // Unlike Rust's format, %g drops trailing zeros.
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_docker_reads() {
        for (text, value) in [
            ("0", 0),
            ("32", 32),
            ("32b", 32),
            ("32k", 32 << 10),
            ("32KB", 32 << 10),
            ("32KiB", 32 << 10),
            ("1.5m", 3 << 19),
            ("32 G", 32 << 30),
            ("2tb", 2 << 40),
            ("1p", 1 << 50),
        ] {
            assert_eq!(parse(text).unwrap(), value, "{text}");
        }
        for bad in
            ["", "-1", "k", "1x", "1..2", "1 2", "hello", "32 bb", "18446744073709551615k", "1e3", " 1", "."]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn writes_what_docker_writes() {
        for (size, text) in [
            (0, "0B"),
            (1000, "1kB"),
            (1024, "1.024kB"),
            (1_000_000, "1MB"),
            (1_048_576, "1.049MB"),
            (4_261_550, "4.262MB"),
            (116_543_210, "116.5MB"),
            (999_999, "1000kB"),
            (3_420_000_000_000, "3.42TB"),
        ] {
            assert_eq!(human(size), text);
        }
        assert_eq!(binary(1024 * 1024), "1MiB");
        assert_eq!(binary(3 * 512), "1.5KiB");
    }
}
