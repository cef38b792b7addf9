//! The settings of resolv.conf(5) that matter for host names.

use std::io::Read as _;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::path::Path;
use std::time::Duration;

use resolv_conf::{Config, ScopedIp};

/// Number of servers used, as in the C library (MAXNS in resolv.conf(5)).
const MAX_SERVERS: usize = 3;
/// Bytes of the file that are read.
const MAX_FILE_SIZE: u64 = 64 << 10;

/// Which servers to ask, for which names, and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResolverConfig {
    /// At least one.
    pub servers: Vec<SocketAddr>,
    /// Domains, without final dots, to append to a name.
    pub search: Vec<String>,
    /// A name with this many dots is first asked for as it is.
    pub ndots: usize,
    /// How long an attempt at one server may take.
    pub timeout: Duration,
    /// How often each server is asked.
    pub attempts: usize,
}

impl ResolverConfig {
    /// Reads the file `path`, which counts as empty if it cannot be read, as in the C library. The servers
    /// listen on `port`.
    pub(crate) fn read(path: &Path, port: u16) -> Self {
        let mut text = Vec::new();
        let _ = std::fs::File::open(path).and_then(|file| file.take(MAX_FILE_SIZE).read_to_end(&mut text));
        Self::parse(&text, port)
    }

    /// Ignores what it does not understand, and keeps numbers within the C library's limits.
    pub(crate) fn parse(text: &[u8], port: u16) -> Self {
        let (conf, _) = Config::parse_with_errors(text);
        let named = conf.nameservers.iter().filter_map(|server| server_address(server, port));
        let mut servers: Vec<SocketAddr> = named.take(MAX_SERVERS).collect();
        if servers.is_empty() {
            servers.push((std::net::Ipv4Addr::LOCALHOST, port).into());
        }
        let mut search: Vec<String> = conf.get_last_search_or_domain().cloned().collect();
        if conf.get_search().is_none() && conf.get_domain().is_none() {
            search.extend(conf.get_system_domain());
        }
        let search = search.iter().map(|domain| domain.trim_end_matches('.').to_owned());
        Self {
            servers,
            search: search.filter(|domain| !domain.is_empty()).collect(),
            ndots: conf.ndots.min(15) as usize,
            timeout: Duration::from_secs(conf.timeout.clamp(1, 30).into()),
            attempts: conf.attempts.clamp(1, 5) as usize,
        }
    }
}

/// `None` for an address on an interface that does not exist.
fn server_address(server: &ScopedIp, port: u16) -> Option<SocketAddr> {
    match server {
        ScopedIp::V6(address, Some(interface)) => {
            let scope = interface.parse().or_else(|_| dhow_sys::interface::index_of(interface)).ok()?;
            Some(SocketAddrV6::new(*address, port, 0, scope).into())
        }
        plain => Some((IpAddr::from(plain), port).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_a_text() {
        let text = "# nameserver 192.0.2.9\n;x\ndomain old.example\nnameserver 192.0.2.1\nnameserver nonsense\n\
                    unknown x\n\tnameserver\t::1 x\nnameserver fe80::1%lo\nnameserver fe80::1%no-such\n\
                    nameserver 192.0.2.4\nsearch a.example. b.example .\n\
                    options ndots:2 edns0 unknown timeout:3 attempts:4\n";
        let config = ResolverConfig::parse(text.as_bytes(), 53);
        let servers: Vec<String> = config.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.1:53", "[::1]:53", "[fe80::1%1]:53"]);
        assert_eq!(config.search, ["a.example", "b.example"]);
        assert_eq!((config.ndots, config.timeout, config.attempts), (2, Duration::from_secs(3), 4));
        let config = ResolverConfig::parse(
            b"search a\noptions ndots:99 timeout:99 attempts:0\ndomain b\xff\ndomain c",
            53,
        );
        assert_eq!((config.ndots, config.timeout, config.attempts), (15, Duration::from_secs(30), 1));
        assert_eq!(config.search, ["c"]);
    }

    #[test]
    fn without_a_file_the_machine_itself_is_asked() {
        let config = ResolverConfig::read(Path::new("/nonexistent"), 53);
        assert_eq!(config.servers, ["127.0.0.1:53".parse().unwrap()]);
        assert_eq!((config.ndots, config.timeout, config.attempts), (1, Duration::from_secs(5), 2));
    }
}
