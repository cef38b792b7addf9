//! Reserves host ports, TCP and UDP: all that a container asks for, or none.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::{fmt, fs};

use rustix::io::Errno;
use rustix::net::{SocketType, sockopt};
use serde::{Deserialize, Serialize};

use super::BACKLOG;
use crate::socket::open_socket;
use dhow_error::{Failure, FailureKind};
use dhow_model::network::{PortProtocol, PortSpec, PublishedPort};

/// How often to let the kernel choose a port, which may be free in one family and taken in the other.
const ATTEMPTS: u32 = 64;

/// Bound ports; dropping this releases them.
#[derive(Debug)]
pub(crate) struct ReservedPorts(Vec<BoundPort>);

/// A port bound on one address.
#[derive(Debug)]
pub(crate) struct BoundPort {
    pub published: PublishedPort,
    /// Bound. A TCP socket usually does not listen yet.
    pub socket: OwnedFd,
}

impl ReservedPorts {
    /// The ports, with the numbers that were chosen.
    pub(crate) fn published(&self) -> Vec<PublishedPort> {
        self.0.iter().map(|binding| binding.published).collect()
    }

    /// Takes the UDP ports out.
    pub(crate) fn take_udp(&mut self) -> Vec<BoundPort> {
        self.0.extract_if(.., |binding| binding.published.protocol == PortProtocol::Udp).collect()
    }

    /// All ports, to be handed to another process.
    pub(crate) fn into_bindings(self) -> Vec<BoundPort> {
        self.0
    }
}

/// A port that cannot be bound, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortUnavailable {
    pub protocol: PortProtocol,
    pub at: SocketAddr,
    errno: i32,
    /// The same container asked for it twice.
    twice: bool,
}

/// Binds the ports in the caller's network namespace.
pub(crate) fn reserve_ports(ports: &[PortSpec]) -> Result<ReservedPorts, PortUnavailable> {
    let mut reserved = Vec::new();
    for port in ports {
        match reserve_one(port) {
            Ok(mut bindings) => reserved.append(&mut bindings),
            Err(error) => {
                let twice = reserved.iter().any(|other| error.is_taken_by(&other.published));
                return Err(PortUnavailable { twice, ..error });
            }
        }
    }
    Ok(ReservedPorts(reserved))
}

fn reserve_one(port: &PortSpec) -> Result<Vec<BoundPort>, PortUnavailable> {
    let failure = |(at, error): (SocketAddr, Errno)| PortUnavailable {
        protocol: port.protocol,
        at,
        errno: error.raw_os_error(),
        twice: false,
    };
    let Some((first, last)) = port.host else {
        let mut result = bind_all(port, 0);
        for _ in 0..ATTEMPTS {
            match result {
                Err((_, Errno::ADDRINUSE)) => result = bind_all(port, 0),
                _ => break,
            }
        }
        return result.map_err(failure);
    };
    let mut first_error = None;
    for number in first..=last {
        match bind_all(port, number) {
            Ok(bindings) => return Ok(bindings),
            // Other ports of a range may be free, or unprivileged.
            Err((at, error @ (Errno::ADDRINUSE | Errno::ACCESS))) if number < last => {
                first_error.get_or_insert((at, error));
            }
            Err((at, error)) => {
                return Err(failure(first_error.unwrap_or((at, error))));
            }
        }
    }
    Err(failure((SocketAddr::new(port.ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), first), Errno::INVAL)))
}

/// Binds `number` on every requested address; with 0 the kernel chooses one number for all.
fn bind_all(port: &PortSpec, mut number: u16) -> Result<Vec<BoundPort>, (SocketAddr, Errno)> {
    let everywhere = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    let addresses = port.ip.as_ref().map_or(&everywhere[..], std::slice::from_ref);
    let mut bindings: Vec<BoundPort> = Vec::new();
    let mut missing = None;
    for ip in addresses {
        let at = SocketAddr::new(*ip, number);
        let socket = match bind(port.protocol, at) {
            Ok(socket) => socket,
            // "All addresses" does not include a family that the host does not have.
            Err(error @ (Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL)) if port.ip.is_none() => {
                missing = Some((at, error));
                continue;
            }
            Err(error) => return Err((at, error)),
        };
        // The number that the kernel chose for the first address is used for the others.
        number = rustix::net::getsockname(&socket)
            .and_then(SocketAddr::try_from)
            .map_err(|error| (at, error))?
            .port();
        let published =
            PublishedPort { container: port.container, protocol: port.protocol, ip: *ip, host: number };
        bindings.push(BoundPort { published, socket });
    }
    match missing {
        Some(missing) if bindings.is_empty() => Err(missing),
        _ => Ok(bindings),
    }
}

/// Binds a socket so that nobody else can bind its port.
fn bind(protocol: PortProtocol, at: SocketAddr) -> Result<OwnedFd, Errno> {
    let kind = match protocol {
        PortProtocol::Tcp => SocketType::STREAM,
        PortProtocol::Udp => SocketType::DGRAM,
    };
    let socket = || {
        let socket = open_socket(at.is_ipv6(), kind, None)?;
        if at.is_ipv6() {
            sockopt::set_ipv6_v6only(&socket, true)?;
        }
        Ok(socket)
    };
    let exclusive = socket()?;
    match rustix::net::bind(&exclusive, &at) {
        Ok(()) => Ok(exclusive),
        Err(Errno::ADDRINUSE) if protocol == PortProtocol::Tcp => {
            // Perhaps only connections in TIME_WAIT have it. SO_REUSEADDR shares the port with those, but
            // also with other users of that option, until one of them listens; so listen at once.
            drop(exclusive);
            let shared = socket()?;
            sockopt::set_socket_reuseaddr(&shared, true)?;
            rustix::net::bind(&shared, &at)?;
            rustix::net::listen(&shared, BACKLOG)?;
            Ok(shared)
        }
        Err(error) => Err(error),
    }
}

impl PortUnavailable {
    pub fn is_taken(&self) -> bool {
        self.error() == Errno::ADDRINUSE
    }

    /// Whether `other` is what takes the port.
    pub fn is_taken_by(&self, other: &PublishedPort) -> bool {
        let (ip, own) = (other.ip, self.at.ip());
        // 0.0.0.0 and :: overlap with every address of their family; dhow's IPv6 sockets are for IPv6 alone.
        let overlap =
            ip == own || ip.is_ipv4() == own.is_ipv4() && (ip.is_unspecified() || own.is_unspecified());
        self.is_taken() && (other.protocol, other.host) == (self.protocol, self.at.port()) && overlap
    }

    fn error(&self) -> Errno {
        Errno::from_raw_os_error(self.errno)
    }

    /// The failure, with a hint what to do; `holder` is who has the port, if known.
    pub fn failure(&self, holder: Option<&str>) -> Failure {
        let Self { protocol, at, .. } = self;
        let port = at.port();
        let failure = |kind| Failure::new(kind, self.to_string());
        // docker's words where a container has the port, which scripts look for; another program's is "in use".
        let allocated =
            || Failure::new(FailureKind::InUse, format!("Bind for {at} failed: port is already allocated"));
        match self.error() {
            Errno::ADDRINUSE if self.twice => allocated().hint("it is asked for twice"),
            Errno::ADDRINUSE => match holder {
                Some(holder) => {
                    allocated().hint(format!("it is held by {holder}; stop that, or publish another port"))
                }
                None => failure(FailureKind::InUse).hint(format!(
                    "see who holds it with `ss -Hlnp --{protocol} sport = :{port}`, or publish another port"
                )),
            },
            Errno::ACCESS => {
                let first = first_unprivileged_port();
                let other = suggest_port(port, first);
                failure(FailureKind::Denied).hint(format!(
                    "ports below {first} are for root (net.ipv4.ip_unprivileged_port_start): publish another port, such as \
                     {other}, or have an administrator run `sysctl net.ipv4.ip_unprivileged_port_start={port}`"
                ))
            }
            Errno::ADDRNOTAVAIL => {
                failure(FailureKind::Invalid).hint("the address must be one of this host's: see `ip address`")
            }
            Errno::MFILE | Errno::NFILE => failure(FailureKind::Full)
                .hint("publish fewer ports, or have more open files allowed to you: see `ulimit -Hn`"),
            _ => failure(FailureKind::Other),
        }
    }
}

/// In docker's words.
impl fmt::Display for PortUnavailable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, at, .. } = self;
        write!(out, "failed to bind host port {at}/{protocol}: ")?;
        match self.error() {
            Errno::ADDRINUSE => out.write_str("address already in use"),
            Errno::ACCESS => out.write_str("permission denied"),
            Errno::ADDRNOTAVAIL => out.write_str("cannot assign requested address"),
            Errno::MFILE | Errno::NFILE => out.write_str("too many open files"),
            error => write!(out, "{error}"),
        }
    }
}

impl std::error::Error for PortUnavailable {}

/// The first unprivileged port (ip(7), `ip_unprivileged_port_start`).
fn first_unprivileged_port() -> u16 {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1024)
}

/// A similar unprivileged port: 8080 for 80, 8443 for 443.
fn suggest_port(port: u16, first: u16) -> u16 {
    let alike = if port < 100 { 8000 + port } else { 8000 + port % 1000 };
    alike.max(first)
}
