//! Host name resolution without the C library: `localhost`, then `/etc/hosts`, then DNS.
//!
//! A static executable cannot use glibc's name services (NSS). The asynchronous DNS resolver runs on the
//! calling thread in a small runtime, which exists only during the lookup.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolveHosts};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{NextTimeout, time};

use super::text::{host_and_port, is_loopback, printable};
use dhow_error::{Failure, FailureKind};

/// Resolves host names for all connections of a client, with a cache.
#[derive(Debug)]
pub(crate) struct HostResolver {
    hosts: PathBuf,
    known: Mutex<HashMap<String, Vec<IpAddr>>>,
}

impl Default for HostResolver {
    fn default() -> Self {
        Self { hosts: PathBuf::from("/etc/hosts"), known: Mutex::default() }
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
            _ => from_dns(host, timeout)?,
        };
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(host.to_owned(), found.clone());
        Ok(found)
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

fn from_dns(host: &str, timeout: Duration) -> Result<Vec<IpAddr>, Failure> {
    let failed = |why: String| {
        Failure::new(FailureKind::Network, format!("cannot look up the host `{}`: {why}", printable(host)))
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed(error.to_string()))?;
    let lookup = async {
        let mut builder =
            TokioResolver::builder_tokio().map_err(|error| format!("/etc/resolv.conf: {error}"))?;
        // /etc/hosts was searched already.
        builder.options_mut().use_hosts_file = ResolveHosts::Never;
        builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        let resolver = builder.build().map_err(|error| error.to_string())?;
        let answer = match tokio::time::timeout(timeout, resolver.lookup_ip(host)).await {
            Err(_) => return Err("the name servers do not answer".to_owned()),
            Ok(Err(error)) if error.is_no_records_found() => return Err("no such host".to_owned()),
            Ok(answer) => answer.map_err(|error| printable(&error.to_string()))?,
        };
        let mut addresses: Vec<IpAddr> = answer.iter().collect();
        // IPv4 first: machines without IPv6 are more common than machines without IPv4.
        addresses.sort_by_key(IpAddr::is_ipv6);
        Ok(addresses)
    };
    let addresses = runtime.block_on(lookup).map_err(failed)?;
    if addresses.is_empty() { Err(failed("it has no address".into())) } else { Ok(addresses) }
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
}
