//! URL helpers, and text from servers made safe to print.

use ureq::http::Uri;

/// Makes untrusted text printable: control characters are escaped, and it is cut at 300 characters.
pub fn printable(text: &str) -> String {
    const LIMIT: usize = 300;
    let mut out = String::new();
    for (index, character) in text.trim().chars().enumerate() {
        if index == LIMIT {
            out.push('…');
            break;
        }
        // Bidirectional and zero-width characters can make a line read as something else.
        if character.is_control()
            || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
        {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

/// Removes the user name and password from a URL, for messages.
pub fn without_userinfo(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    // A path and a query may have an @ of their own.
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// Percent-encodes the value of a query parameter.
pub(crate) fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Resolves `location`, from a response for `base`, to an absolute http or https URL.
pub(crate) fn resolve_location(base: &Uri, location: &str) -> Option<Uri> {
    let location = location.split('#').next().unwrap_or_default().trim();
    let scheme = base.scheme_str()?;
    let authority = base.authority()?;
    let absolute = if location.contains("://") && !location.starts_with('/') {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if location.starts_with('?') {
        format!("{scheme}://{authority}{}{location}", base.path())
    } else {
        let directory = base.path().rsplit_once('/').map_or("", |(directory, _)| directory);
        format!("{scheme}://{authority}{directory}/{location}")
    };
    let uri: Uri = absolute.parse().ok()?;
    let supported = matches!(uri.scheme_str(), Some("http" | "https"));
    (supported && uri.host().is_some_and(|host| !host.is_empty())).then_some(uri)
}

/// The lower-case host and the port of a URL, by default the scheme's.
pub(crate) fn host_and_port(uri: &Uri) -> (String, u16) {
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
    (uri.host().unwrap_or_default().to_ascii_lowercase(), port)
}

/// Splits `host[:port]`; brackets around an IPv6 address are removed.
pub fn split_port(text: &str) -> (&str, Option<u16>) {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') && (host.ends_with(']') || !host.contains(':')) => {
            (host, port.parse().ok())
        }
        _ => (text, None),
    };
    (host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host), port)
}

/// Whether `host` (without a port) is local: `localhost`, its subdomains, and loopback addresses.
pub fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse::<std::net::IpAddr>() {
        return address.is_loopback();
    }
    let name = bare.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_the_cursor() {
        assert_eq!(printable("a\x1b[31mb\r\n\u{202e}c\u{9b}"), "a\\u{1b}[31mb\\r\\n\\u{202e}c\\u{9b}");
        assert_eq!(printable(&"x".repeat(1000)).chars().count(), 301);
    }

    #[test]
    fn passwords_are_removed() {
        for (url, shown) in [
            ("https://me:secret@host/x", "https://host/x"),
            ("https://me:p@ss@host?x", "https://host?x"),
            ("https://host/x@1.tar?user=me@host", "https://host/x@1.tar?user=me@host"),
            ("https://host?a@b", "https://host?a@b"),
            ("me@host", "me@host"),
        ] {
            assert_eq!(without_userinfo(url), shown);
        }
    }

    #[test]
    fn locations_are_joined() {
        let base: Uri = "https://r.example:5000/v2/a/tags/list?n=1".parse().unwrap();
        let join = |to: &str| resolve_location(&base, to).map(|uri| uri.to_string());
        assert_eq!(join("/v2/x?last=b").unwrap(), "https://r.example:5000/v2/x?last=b");
        assert_eq!(join("http://other/x").unwrap(), "http://other/x");
        assert_eq!(join("//other/x").unwrap(), "https://other/x");
        assert_eq!(join("next").unwrap(), "https://r.example:5000/v2/a/tags/next");
        assert_eq!(join("?n=2").unwrap(), "https://r.example:5000/v2/a/tags/list?n=2");
        for bad in ["ftp://x/y", "file:///etc/passwd", "https://", "http:// /", "https://a b/"] {
            assert_eq!(join(bad), None, "{bad}");
        }
    }

    #[test]
    fn ports_and_loopback() {
        assert_eq!(split_port("a:1"), ("a", Some(1)));
        assert_eq!(split_port("[::1]:5000"), ("::1", Some(5000)));
        assert_eq!(split_port("::1"), ("::1", None));
        assert_eq!(split_port("[::1]"), ("::1", None));
        for yes in ["localhost", "127.0.0.1", "127.8.9.1", "::1", "[::1]", "a.localhost", "LOCALHOST"] {
            assert!(is_loopback(yes), "{yes}");
        }
        for no in ["localhost.example", "128.0.0.1", "notlocalhost", "127.0.0.1.example"] {
            assert!(!is_loopback(no), "{no}");
        }
        assert_eq!(percent_encode("repository:a/b:pull"), "repository%3Aa%2Fb%3Apull");
    }
}
