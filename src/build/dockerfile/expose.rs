//! The port syntax of `EXPOSE`.

use dhow_error::{Failure, invalid};
use dhow_model::port_range::parse_bounds;

/// A parsed port specification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExposedPort {
    pub ports: (u16, u16),
    /// As written; `tcp` by default.
    pub protocol: String,
    /// It also names a host address or port, which has no effect in `EXPOSE`.
    pub published: bool,
}

/// The ports in expanded `words` as `80/tcp` each: ranges unfolded, host addresses and ports dropped.
pub(crate) fn expand_ports(words: &[String]) -> Result<Vec<String>, Failure> {
    let mut ports = Vec::new();
    for word in words {
        let ExposedPort { ports: (first, last), protocol, .. } = parse_exposed_port(word)?;
        let protocol = protocol.to_ascii_lowercase();
        ports.extend((first..=last).map(|port| format!("{port}/{protocol}")));
    }
    Ok(ports)
}

/// Parses `[[address:]host port:]port[/protocol]`.
pub(crate) fn parse_exposed_port(word: &str) -> Result<ExposedPort, Failure> {
    let wrong = |why: String| invalid(format!("invalid port: \"{}\": {why}", word.escape_debug()));
    let (outside, port) = word.rsplit_once(':').unwrap_or(("", word));
    let (port, protocol) = port.split_once('/').unwrap_or((port, ""));
    if port.is_empty() {
        return Err(wrong(format!("no port specified: {word}<empty>")));
    }
    let protocol = if protocol.is_empty() { "tcp" } else { protocol };
    if !["tcp", "udp", "sctp"].iter().any(|known| protocol.eq_ignore_ascii_case(known)) {
        return Err(wrong(format!("invalid proto: {protocol}")));
    }
    let (address, host) = outside.rsplit_once(':').unwrap_or(("", outside));
    let address = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    if !address.is_empty() && address.parse::<std::net::IpAddr>().is_err() {
        return Err(wrong(format!("invalid IP address: {address}")));
    }
    let ports = parse_bounds(port).ok_or_else(|| wrong(format!("invalid containerPort: {port}")))?;
    if !host.is_empty() {
        let (first, last) = parse_bounds(host).ok_or_else(|| wrong(format!("invalid hostPort: {host}")))?;
        // A host range may go with a single port: `docker run -p` picks one port of it.
        if last - first != ports.1 - ports.0 && ports.0 != ports.1 {
            let why = format!("invalid ranges specified for container and host Ports: {port} and {host}");
            return Err(wrong(why));
        }
    }
    Ok(ExposedPort { ports, protocol: protocol.to_owned(), published: word.contains(':') })
}
