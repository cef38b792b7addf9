//! Container ports: `80`, `53/udp`, `8000-8010/tcp`.

use dhow_error::{Failure, invalid};

/// Expands a range into ports such as `80/tcp`.
pub fn parse(text: &str) -> Result<Vec<String>, Failure> {
    let malformed = || invalid(format!("`{}` is not a port", text.escape_debug()));
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let first: u16 = first.parse().map_err(|_| malformed())?;
    let last: u16 = last.parse().map_err(|_| malformed())?;
    if first == 0 || first > last || !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(malformed());
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

/// `80` or `80-90` as first and last port; plain digits only.
pub fn parse_bounds(text: &str) -> Option<(u16, u16)> {
    // `u16::parse` alone would accept `+80`.
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u16>().ok())?;
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_listed() {
        assert_eq!(parse("80").unwrap(), ["80/tcp"]);
        assert_eq!(parse("53/UDP").unwrap(), ["53/udp"]);
        assert_eq!(parse("8000-8002/sctp").unwrap(), ["8000/sctp", "8001/sctp", "8002/sctp"]);
        for bad in ["", "0", "65536", "9-8", "80/icmp", "x", "80-", "-80", "80/"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
