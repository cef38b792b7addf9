//! A stub resolver (RFC 1034, section 5.3.1): asks the name servers of resolv.conf(5) for a host's addresses.
//!
//! [`config`] reads the settings, [`inquiry`] puts one question to the servers. Here: which names are asked
//! for, and what the answers about IPv4 and IPv6 mean together.

pub(crate) mod config;
mod inquiry;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use self::config::ResolverConfig;
use self::inquiry::{InquiryOutcome, NameInquiry};
use dhow_model::dns_message::{code, kind};

/// How long the answer about IPv6 may take once the one about IPv4 is known: some servers never give it.
const IPV6_GRACE: Duration = Duration::from_secs(2);

/// Why a host has no known address. Of several reasons, the greatest is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LookupError {
    NoSuchHost,
    /// The name exists.
    NoAddress,
    /// All servers that answer report this [`code`].
    Failed(u8),
    Silent,
}

impl fmt::Display for LookupError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchHost => out.write_str("no such host"),
            Self::NoAddress => out.write_str("it has no address"),
            Self::Failed(code) => {
                write!(out, "the name servers report {}", code::name(*code).unwrap_or("a failure"))
            }
            Self::Silent => out.write_str("the name servers do not answer"),
        }
    }
}

/// The addresses of `host`, IPv4 first: machines without IPv6 are more common than machines without IPv4. At
/// least one.
pub(crate) fn look_up(
    config: &ResolverConfig,
    host: &str,
    timeout: Duration,
) -> Result<Vec<IpAddr>, LookupError> {
    let deadline = Instant::now() + timeout;
    let mut failure = LookupError::NoSuchHost;
    for name in candidates(config, host) {
        match addresses_of(config, &name, deadline) {
            // The servers would be silent about the other names as well.
            found @ (Ok(_) | Err(LookupError::Silent)) => return found,
            Err(error) => failure = failure.max(error),
        }
    }
    Err(failure)
}

/// The names that `host` may stand for, in the order of resolv.conf(5).
fn candidates(config: &ResolverConfig, host: &str) -> Vec<String> {
    let mut names = vec![host.to_owned()];
    if !host.ends_with('.') {
        names.extend(config.search.iter().map(|domain| format!("{host}.{domain}")));
        if host.matches('.').count() < config.ndots {
            names.rotate_left(1);
        }
    }
    names
}

/// Asks for both kinds of addresses of `name` at the same time.
fn addresses_of(config: &ResolverConfig, name: &str, deadline: Instant) -> Result<Vec<IpAddr>, LookupError> {
    let servers = config.servers.repeat(config.attempts);
    let begun = Instant::now();
    let mut limit = deadline.min(begun + config.timeout * u32::try_from(servers.len()).unwrap_or(u32::MAX));
    let inquiry = |kind| NameInquiry::new(name, kind, servers.clone(), begun);
    // A name that cannot be encoded does not exist.
    let mut inquiries = [
        inquiry(kind::A).ok_or(LookupError::NoSuchHost)?,
        inquiry(kind::AAAA).ok_or(LookupError::NoSuchHost)?,
    ];
    loop {
        let now = Instant::now();
        for inquiry in &mut inquiries {
            inquiry.advance(now);
        }
        let [v4, _] = &inquiries;
        if matches!(v4.outcome(), Some(Ok(_) | Err(LookupError::NoSuchHost))) {
            // Later rounds do not extend it.
            limit = limit.min(now + IPV6_GRACE);
        }
        if now >= limit || inquiries.iter().all(|inquiry| inquiry.outcome().is_some()) {
            break;
        }
        wait(&inquiries, limit);
        for inquiry in &mut inquiries {
            inquiry.hear(limit.min(Instant::now() + config.timeout));
        }
    }
    let [v4, v6] = inquiries.map(NameInquiry::finish);
    combine(v4, v6)
}

/// What the outcomes about IPv4 and IPv6 mean together: addresses of one kind are enough.
fn combine(v4: InquiryOutcome, v6: InquiryOutcome) -> InquiryOutcome {
    match (v4, v6) {
        (Ok(v4), Ok(v6)) => Ok([v4, v6].concat()),
        (Ok(found), Err(_)) | (Err(_), Ok(found)) => Ok(found),
        // It is true for records of all types.
        (Err(LookupError::NoSuchHost), Err(_)) | (Err(_), Err(LookupError::NoSuchHost)) => {
            Err(LookupError::NoSuchHost)
        }
        (Err(v4), Err(v6)) => Err(v4.max(v6)),
    }
}

/// Waits until a server answers, the next one is to be asked, or `limit`. May return early.
fn wait(inquiries: &[NameInquiry], limit: Instant) {
    let until = inquiries.iter().filter_map(NameInquiry::due).fold(limit, Instant::min);
    let sockets = inquiries.iter().flat_map(NameInquiry::sockets);
    let mut polled: Vec<PollFd<'_>> = sockets.map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
    let timeout = Timespec::try_from(until.saturating_duration_since(Instant::now())).unwrap_or_default();
    // The sockets tell what has happened, so neither the result nor an interruption matters.
    let _ = poll(&mut polled, Some(&timeout));
}
