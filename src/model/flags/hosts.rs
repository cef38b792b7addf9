//! `--add-host NAME:ADDRESS` (or `=`), and validation of `--dns`, `--dns-search` and `--hostname`.

use std::net::IpAddr;

use dhow_error::{Failure, invalid};

/// A placeholder for the host's address.
pub(crate) const HOST_GATEWAY: &str = "host-gateway";

/// Parses an entry for /etc/hosts into name and address. An IPv6 address may be in brackets.
pub fn parse_entry(text: &str) -> Result<(String, String), Failure> {
    let malformed = || {
        invalid(format!("bad format for add-host: `{}`", text.escape_debug()))
            .hint("NAME:ADDRESS, as in db:10.0.0.2 or db=fd00::2")
    };
    // `=` first, since an IPv6 address contains colons.
    let (name, address) = text.split_once('=').or_else(|| text.split_once(':')).ok_or_else(malformed)?;
    if name.is_empty() || name.contains(|c: char| c == ':' || c.is_whitespace() || c.is_control()) {
        return Err(malformed());
    }
    if address == HOST_GATEWAY {
        return Ok((name.to_owned(), address.to_owned()));
    }
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    match bare.parse::<IpAddr>() {
        Ok(_) => Ok((name.to_owned(), bare.to_owned())),
        Err(_) => Err(invalid(format!("invalid IP address in add-host: `{}`", address.escape_debug()))),
    }
}

/// Validates the address of a name server.
pub fn check_server(text: &str) -> Result<String, Failure> {
    match text.trim().parse::<IpAddr>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) => Err(invalid(format!("`{}` is not an IP address", text.escape_debug()))),
    }
}

/// Validates a search domain; `.` disables the search list.
pub fn check_search(text: &str) -> Result<String, Failure> {
    let text = text.trim();
    if text == "."
        || (text.len() < 255 && text.strip_suffix('.').unwrap_or(text).split('.').all(is_dns_label))
    {
        return Ok(text.to_owned());
    }
    Err(invalid(format!("`{}` is not a valid domain", text.escape_debug())))
}

/// One label of a domain name (RFC 1035, section 2.3.1), with the underscore that service names use.
pub(crate) fn is_dns_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// Validates a host name: 1 to 64 bytes (the kernel's `__NEW_UTS_LEN`), without spaces, control characters
/// and slashes.
pub fn check_hostname(text: &str) -> Result<String, Failure> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == '/';
    if text.is_empty() || text.len() > 64 || text.contains(bad) {
        return Err(invalid(format!("`{}` is not a host name (1 to 64 characters)", text.escape_debug())));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_separators_and_both_families() {
        let entry = |text: &str| parse_entry(text).map(|(name, address)| format!("{name} {address}"));
        for (text, result) in [
            ("a:1.2.3.4", "a 1.2.3.4"),
            ("a=1.2.3.4", "a 1.2.3.4"),
            ("a:::1", "a ::1"),
            ("a=[::1]", "a ::1"),
            ("a:[fe80::1]", "a fe80::1"),
            ("gw:host-gateway", "gw host-gateway"),
            ("gw=host-gateway", "gw host-gateway"),
        ] {
            assert_eq!(entry(text).unwrap(), result);
        }
        for bad in ["", "a", "a:", ":1.2.3.4", "a:b", "a:1.2.3", "a:b=1.2.3.4", "a b:1.2.3.4", "a\n:1.2.3.4"]
        {
            assert!(entry(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn resolver_values() {
        assert_eq!(check_server(" 1.1.1.1").unwrap(), "1.1.1.1");
        assert!(check_server("dns.example").is_err());
        for good in [".", "example.com", "a.b.", "_tcp.x"] {
            assert!(check_search(good).is_ok(), "{good}");
        }
        for bad in ["", "a..b", "-a", "a b", "a\nnameserver 6.6.6.6"] {
            assert!(check_search(bad).is_err(), "{bad}");
        }
    }
}
