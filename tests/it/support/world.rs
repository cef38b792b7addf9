//! A host on which dhow runs, and a peer that plays the rest of the internet, made for one test.
//!
//! ```text
//!   host: eth0 192.0.2.2, 192.0.2.3              peer: 192.0.2.1, 198.51.100.1
//!         2001:db8:1::2, 2001:db8:1::3  ── veth ──     2001:db8:1::1, 2001:db8:2::1
//!         default route by the peer                    probe on port 7000, name service on port 53
//! ```
//!
//! Both are network namespaces, so concurrent tests can use the same addresses, those for documentation (RFC 5737,
//! RFC 3849). Behind the peer are addresses without a host that fail in different ways.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::account::is_root;
use super::name_server::NameServer;
use super::netns::Netns;
use super::probe::Facts;
use super::process::Running;
use super::{Dhow, Mode, have_programs, leave_out, probe};

/// The host's addresses.
pub(crate) const HOST: &str = "192.0.2.2";
pub(crate) const HOST_TOO: &str = "192.0.2.3";
pub(crate) const HOST6: &str = "2001:db8:1::2";
/// The peer's, on the host's network and beyond it.
pub(crate) const PEER: &str = "192.0.2.1";
pub(crate) const PEER6: &str = "2001:db8:1::1";
pub(crate) const FAR: &str = "198.51.100.1";
pub(crate) const FAR6: &str = "2001:db8:2::1";
/// The peer says that there is no such host (ICMP).
pub(crate) const UNREACHABLE: &str = "198.51.100.77";
pub(crate) const UNREACHABLE6: &str = "2001:db8:2::77";
/// The peer says that it may not pass this on (ICMP).
pub(crate) const PROHIBITED: &str = "198.51.100.78";
pub(crate) const PROHIBITED6: &str = "2001:db8:2::78";
/// Nothing ever comes back from there.
pub(crate) const BLACKHOLE: &str = "198.51.100.79";
pub(crate) const BLACKHOLE6: &str = "2001:db8:2::79";
/// The host has no route to it.
pub(crate) const NO_ROUTE: &str = "203.0.113.1";
pub(crate) const NO_ROUTE6: &str = "2001:db8:3::1";

/// The port of the peer's [`probe`], TCP and UDP.
pub(crate) const PORT: u16 = 7000;

/// The two network namespaces.
pub(crate) struct World {
    /// The peer's DNS server.
    pub(crate) names: NameServer,
    server: Option<Running>,
    pub(crate) host: Netns,
    pub(crate) peer: Netns,
}

impl World {
    /// Makes them; leaves the test out without root.
    pub(crate) fn new() -> Option<Self> {
        if !is_root() {
            leave_out("tests of networks need root, to make hosts and peers in network namespaces");
            return None;
        }
        have_programs(&["ip"]).then_some(())?;
        let peer = Netns::new();
        let host = Netns::with_etc();
        wire(&host, &peer);
        host.write_etc("resolv.conf", &format!("nameserver {PEER}\n"));
        let names = NameServer::start(&peer, &[PEER, PEER6]);
        // On each address by itself: answers to datagrams come from where those were sent to.
        let places =
            [PEER, FAR, PEER6, FAR6].map(|ip| SocketAddr::new(ip.parse().expect("an address"), PORT));
        let server = serve_in(&peer, &places.map(|place| place.to_string()));
        Some(Self { names, server: Some(server), host, peer })
    }

    /// Runs the probe in the peer as if it were another machine's program.
    pub(crate) fn at_peer(&self, line: &str) -> Facts {
        run_probe(&self.peer, line)
    }

    /// Runs the probe on the host, outside any container.
    pub(crate) fn at_host(&self, line: &str) -> Facts {
        run_probe(&self.host, line)
    }

    /// The peer's probe, which serves on [`PORT`].
    pub(crate) fn server(&self) -> &Running {
        self.server.as_ref().expect("it runs as long as the world")
    }

    /// The number of the host's established connections to `port`.
    pub(crate) fn connections(&self, port: u16) -> usize {
        let established = |table: &str| {
            let table = self.host.read(&format!("/proc/thread-self/net/{table}"));
            let fields = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
            fields.filter(|fields| fields[3] == "01" && address(fields[2]).port() == port).count()
        };
        established("tcp") + established("tcp6")
    }

    /// A TCP listener of the peer, on any port of all its addresses.
    pub(crate) fn listen(&self) -> (TcpListener, u16) {
        let listener = self.peer.call(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0))).expect("a listener");
        let port = listener.local_addr().expect("an address").port();
        (listener, port)
    }

    /// The listening sockets of the host in the form `tcp 0.0.0.0:80`.
    pub(crate) fn listening(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (kind, state) in [("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")] {
            let table = self.host.read(&format!("/proc/thread-self/net/{kind}"));
            for line in table.lines().skip(1) {
                let fields: Vec<&str> = line.split_whitespace().collect();
                // Port 53 is a name service of the test's own.
                if fields[3] == state && address(fields[1]).port() != 53 {
                    found.push(format!("{kind} {}", address(fields[1])));
                }
            }
        }
        found
    }

    /// Waits until nothing listens on the host.
    pub(crate) fn until_silent(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.listening().is_empty() {
            assert!(Instant::now() < deadline, "still listening: {:?}", self.listening());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill();
        }
        if std::thread::panicking() {
            return;
        }
        self.until_silent();
        let links = self.host.read("/proc/thread-self/net/dev");
        let links: Vec<&str> =
            links.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim()).collect();
        assert_eq!(links, ["lo", "eth0"], "dhow makes no interfaces on the host");
    }
}

/// `0100007F:0050` of `/proc/net/tcp`.
fn address(text: &str) -> SocketAddr {
    let (ip, port) = text.split_once(':').expect("an address");
    let words: Vec<[u8; 4]> = (0..ip.len() / 8)
        .map(|n| u32::from_str_radix(&ip[n * 8..n * 8 + 8], 16).expect("hexadecimal").to_ne_bytes())
        .collect();
    let ip = match <[u8; 16]>::try_from(words.concat()) {
        Ok(bytes) => IpAddr::from(bytes),
        Err(_) => IpAddr::from(words[0]),
    };
    SocketAddr::new(ip, u16::from_str_radix(port, 16).expect("hexadecimal"))
}

/// Connects the two. The link-local addresses are the source of neighbour solicitations, without which entries of the
/// neighbour cache expire.
fn wire(host: &Netns, peer: &Netns) {
    peer.ip(&format!(
        "link add eth0 type veth peer name eth0 netns {}\n\
         addr add {PEER}/24 dev eth0\naddr add {PEER6}/64 dev eth0 nodad\n\
         addr add {FAR}/32 dev lo\naddr add {FAR6}/128 dev lo nodad\n\
         addr add fe80::1/64 dev eth0 nodad\nlink set eth0 addrgenmode none up\n\
         route add unreachable {UNREACHABLE}\nroute add unreachable {UNREACHABLE6}\n\
         route add prohibit {PROHIBITED}\nroute add prohibit {PROHIBITED6}\n\
         route add blackhole {BLACKHOLE}\nroute add blackhole {BLACKHOLE6}\n",
        host.tid
    ));
    host.ip(&format!(
        "addr add {HOST}/24 dev eth0\naddr add {HOST_TOO}/24 dev eth0\n\
         addr add {HOST6}/64 dev eth0 nodad\naddr add 2001:db8:1::3/64 dev eth0 nodad preferred_lft 0\n\
         addr add fe80::2/64 dev eth0 nodad\nlink set eth0 addrgenmode none up\n\
         route add default via {PEER}\nroute add default via {PEER6}\n\
         route add throw {NO_ROUTE}\nroute add throw {NO_ROUTE6}\n"
    ));
    // The kernel would not send every ICMP error that tests provoke.
    for setting in ["net.ipv4.icmp_ratelimit", "net.ipv6.icmp.ratelimit"] {
        peer.sysctl(setting, "0");
    }
    peer.sysctl("net.ipv4.ip_forward", "1");
    peer.sysctl("net.ipv6.conf.all.forwarding", "1");
    for place in [host, peer] {
        place.sysctl("net.ipv4.tcp_congestion_control", "reno");
        // A connection attempt fails after 7 seconds instead of two minutes, or after 3 without a neighbour.
        place.sysctl("net.ipv4.tcp_syn_retries", "2");
    }
    host.sysctl("net.ipv4.ping_group_range", "0 2147483647");
}

/// Starts the probe as a server in `place` and waits until it listens.
pub(crate) fn serve_in(place: &Netns, arguments: &[impl AsRef<std::ffi::OsStr>]) -> Running {
    let mut command = Command::new(probe::binary());
    command.args(["net", "serve"]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let server = Running::start_in(Some(place), command, None, Duration::from_secs(3600));
    server.expect("serving=");
    server
}

fn run_probe(place: &Netns, line: &str) -> Facts {
    let mut command = Command::new(probe::binary());
    command.arg("net").args(line.split_whitespace());
    Facts::parse(&place.run(command).out())
}

/// Defines a test that runs once in each identity mode with a world of its own, as `NAME::mapped` and `NAME::single`.
macro_rules! each_mode_in_world {
    ($($(#[$meta:meta])* fn $name:ident($dhow:ident, $world:ident) $body:block)+) => {$(
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports, reason = "not every test needs more than dhow")]
            use super::*;

            fn body($dhow: &crate::support::Dhow, $world: &crate::support::World) $body

            #[test]
            fn mapped() {
                crate::support::world::run(crate::support::Mode::Mapped, body);
            }

            #[test]
            fn single() {
                crate::support::world::run(crate::support::Mode::Single, body);
            }
        }
    )+};
}
pub(crate) use each_mode_in_world;

/// Runs `body` in a new world, and checks what it left behind there.
pub(crate) fn run(mode: Mode, body: impl FnOnce(&Dhow, &World)) {
    let Some(world) = World::new() else { return };
    let world = std::sync::Arc::new(world);
    let Some(dhow) = Dhow::in_world(mode, &world) else { return };
    dhow.load(probe::with_busybox(), "net:latest");
    body(&dhow, &world);
}
