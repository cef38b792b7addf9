//! Host name resolution without the C library: `localhost`, then `/etc/hosts`, then DNS.
//!
//! A static executable cannot use glibc's name services (NSS).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{NextTimeout, time};

use super::stub_resolver;
use super::stub_resolver::config::ResolverConfig;
use super::text::{host_and_port, is_loopback, printable};
use dhow_error::{Failure, FailureKind};

/// Resolves host names for all connections of a client, with a cache.
#[derive(Debug)]
pub(crate) struct HostResolver {
    hosts: PathBuf,
    resolv_conf: PathBuf,
    /// The name servers' port.
    port: u16,
    known: Mutex<HashMap<String, Vec<IpAddr>>>,
}

impl Default for HostResolver {
    fn default() -> Self {
        Self {
            hosts: PathBuf::from("/etc/hosts"),
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            port: 53,
            known: Mutex::default(),
        }
    }
}

impl HostResolver {
    /// The addresses of `host`; at least one.
    pub(crate) fn addresses(&self, host: &str, timeout: Duration) -> Result<Vec<IpAddr>, Failure> {
        let host = host.trim_matches(['[', ']']);
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        if is_loopback(host) {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        if let Some(found) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(host) {
            return Ok(found.clone());
        }
        let found = match from_hosts_file(&self.hosts, host) {
            found if !found.is_empty() => found,
            _ => self.ask_servers(host, timeout)?,
        };
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(host.to_owned(), found.clone());
        Ok(found)
    }

    fn ask_servers(&self, host: &str, timeout: Duration) -> Result<Vec<IpAddr>, Failure> {
        // Read each time: another network may have brought other servers.
        let config = ResolverConfig::read(&self.resolv_conf, self.port);
        stub_resolver::look_up(&config, host, timeout).map_err(|why| {
            Failure::new(
                FailureKind::Network,
                format!("cannot look up the host `{}`: {why}", printable(host)),
            )
        })
    }
}

/// An unreadable file counts as empty, as in the C library.
fn from_hosts_file(path: &Path, host: &str) -> Vec<IpAddr> {
    let text = std::fs::read(path).unwrap_or_default();
    search_hosts(&String::from_utf8_lossy(&text), host)
}

fn search_hosts(text: &str, host: &str) -> Vec<IpAddr> {
    let host = host.trim_end_matches('.');
    text.lines()
        .filter_map(|line| {
            let mut words = line.split('#').next()?.split_whitespace();
            let address: IpAddr = words.next()?.parse().ok()?;
            words.any(|name| name.eq_ignore_ascii_case(host)).then_some(address)
        })
        .collect()
}

/// Adapts the shared [`HostResolver`] to the HTTP library.
#[derive(Debug)]
pub(crate) struct SharedResolver(pub std::sync::Arc<HostResolver>);

impl Resolver for SharedResolver {
    fn resolve(
        &self,
        uri: &Uri,
        _: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        /// The capacity of `ResolvedSocketAddrs`.
        const MOST: usize = 16;
        const LONGEST: Duration = Duration::from_secs(30);
        let timeout = match timeout.after {
            time::Duration::Exact(limit) => limit.min(LONGEST),
            time::Duration::NotHappening => LONGEST,
        };
        let (host, port) = proxy_or_host(uri);
        let addresses =
            self.0.addresses(&host, timeout).map_err(|error| ureq::Error::Other(Box::new(error)))?;
        let mut result = self.empty();
        for address in addresses.into_iter().take(MOST) {
            result.push(SocketAddr::new(address, port));
        }
        Ok(result)
    }
}

/// A proxy's scheme has its own default port.
fn proxy_or_host(uri: &Uri) -> (String, u16) {
    let (host, port) = host_and_port(uri);
    let socks = uri.scheme_str().is_some_and(|scheme| scheme.starts_with("socks"));
    (host, if socks && uri.port_u16().is_none() { 1080 } else { port })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn reads_the_hosts_file() {
        let text = "127.0.0.1 localhost\n# 9.9.9.9 r.example\n10.0.0.1\tR.example alias # x\nbad r.example\nfe80::1 r.example\n";
        assert_eq!(
            search_hosts(text, "r.Example"),
            ["10.0.0.1", "fe80::1"].map(|a| a.parse::<IpAddr>().unwrap())
        );
        assert_eq!(search_hosts(text, "alias.").len(), 1);
        assert!(search_hosts(text, "x").is_empty());
        assert!(search_hosts(text, "10.0.0.1").is_empty());
    }

    #[test]
    fn literals_and_localhost_ask_nobody() {
        let names = HostResolver { hosts: "/nonexistent".into(), ..HostResolver::default() };
        assert_eq!(names.addresses("[::1]", SECOND).unwrap(), ["::1".parse::<IpAddr>().unwrap()]);
        assert_eq!(names.addresses("192.0.2.1", SECOND).unwrap(), ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(names.addresses("x.localhost", SECOND).unwrap().len(), 2);
    }
    #[test]
    fn the_hosts_file_goes_before_the_servers_and_what_is_known_is_not_asked_again() {
        use hickory_proto::op::Message;
        use hickory_proto::rr::{RData, Record};
        let dir = tempfile::tempdir().unwrap();
        let (hosts, resolv_conf) = (dir.path().join("hosts"), dir.path().join("resolv.conf"));
        std::fs::write(&hosts, "192.0.2.9 own.example\n").unwrap();
        std::fs::write(&resolv_conf, "nameserver 127.0.0.1\nsearch .\n").unwrap();
        let server = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        // Answers about one name, then is gone.
        let answering = std::thread::spawn(move || {
            for _ in 0..2 {
                let mut buffer = [0; 512];
                let (length, from) = server.recv_from(&mut buffer).unwrap();
                let mut reply = Message::from_vec(&buffer[..length]).unwrap().into_response();
                reply.metadata.recursion_available = true;
                let name = reply.queries[0].name().clone();
                reply.add_answer(Record::from_rdata(name, 60, RData::A(Ipv4Addr::new(192, 0, 2, 1).into())));
                server.send_to(&reply.to_vec().unwrap(), from).unwrap();
            }
        });
        let names = HostResolver { hosts, resolv_conf, port, known: Mutex::default() };
        let found = |host: &str| match names.addresses(host, 20 * SECOND) {
            Ok(found) => found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            Err(failure) => failure.to_string(),
        };
        assert_eq!(found("own.example"), "192.0.2.9");
        assert_eq!(found("r.example"), "192.0.2.1");
        answering.join().unwrap();
        assert_eq!(found("r.example"), "192.0.2.1");
        assert_eq!(
            found("other.example"),
            "cannot look up the host `other.example`: the name servers do not answer"
        );
    }
}
