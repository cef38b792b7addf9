//! The SYN interceptor with a fake device, and servers on the loopback interface under other names.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::*;
use crate::sync::lock;

const LIMIT: Duration = Duration::from_secs(30);
/// The container, and a remote server that is really on the loopback interface.
const CONTAINER: Ipv4Addr = Ipv4Addr::new(10, 89, 0, 2);
const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

/// Packets towards the container.
struct Wire(Mutex<Sender<Vec<u8>>>);

impl PacketSink for Wire {
    fn packet(&self, packet: &[u8]) {
        lock(&self.0).send(packet.to_vec()).unwrap();
    }
}

/// Maps all destinations to the loopback interface; refuses port 1.
struct Loopback {
    notes: Mutex<Vec<(EgressFlow, Option<ErrorKind>)>>,
}

impl FlowPolicy for Loopback {
    fn judge(&self, flow: &EgressFlow) -> FlowVerdict {
        match flow.target.port() {
            1 => FlowVerdict::Refuse,
            port => FlowVerdict::Pass((Ipv4Addr::LOCALHOST, port).into()),
        }
    }

    fn note(&self, flow: &EgressFlow, outcome: Result<(), &io::Error>) {
        lock(&self.notes).push((*flow, outcome.err().map(io::Error::kind)));
    }
}

struct Rig {
    relay: TcpRelay,
    interceptor: SynInterceptor,
    policy: Arc<Loopback>,
    wire: Receiver<Vec<u8>>,
}

impl Rig {
    fn new() -> Self {
        let relay = TcpRelay::start().unwrap();
        let policy = Arc::new(Loopback { notes: Mutex::default() });
        let (out, wire) = channel();
        let interceptor =
            SynInterceptor::new(&relay, Arc::clone(&policy) as _, Arc::new(Wire(Mutex::new(out))));
        Self { relay, interceptor, policy, wire }
    }

    /// The next packet to the container.
    fn answer(&self) -> Vec<u8> {
        self.wire.recv_timeout(LIMIT).unwrap()
    }

    fn send(&self, packet: &[u8]) {
        self.interceptor.handle_syn(&IpPacket::parse(packet).unwrap());
    }
}

/// An IPv4 packet with nothing but a TCP header.
fn segment(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), sequence: u32, flags: u8) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0];
    packet.extend(from.0.octets());
    packet.extend(to.0.octets());
    packet.extend(from.1.to_be_bytes());
    packet.extend(to.1.to_be_bytes());
    packet.extend(sequence.to_be_bytes());
    packet.extend([0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    packet
}

fn syn(port: u16, to: (Ipv4Addr, u16)) -> Vec<u8> {
    segment((CONTAINER, port), to, 1000, tcp::SYN)
}

fn server() -> (TcpListener, u16) {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = server.local_addr().unwrap().port();
    (server, port)
}

#[test]
fn the_syn_comes_back_when_the_host_is_connected() {
    let rig = Rig::new();
    let (server, port) = server();
    let packet = syn(4000, (SERVER, port));
    rig.send(&packet);
    assert_eq!(rig.answer(), packet);
    // Lost and retransmitted, the SYN opens no second connection.
    rig.send(&packet);
    assert_eq!(rig.answer(), packet);
    let (source, target) = ((CONTAINER, 4000).into(), (SERVER, port).into());
    let (host, permit) = rig.interceptor.take_connected(source, target).unwrap();
    assert!(rig.interceptor.take_connected(source, target).is_none());
    let (mut served, _) = server.accept().unwrap();
    TcpStream::from(host).write_all(b"x").unwrap();
    served.read_exact(&mut [0]).unwrap();
    server.set_nonblocking(true).unwrap();
    assert_eq!(server.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    let flow = EgressFlow { protocol: FlowProtocol::Tcp, source, target };
    assert_eq!(*lock(&rig.policy.notes), [(flow, None)]);
    assert_eq!(rig.relay.connections(), 1);
    drop(permit);
    assert_eq!(rig.relay.connections(), 0);
}

#[test]
fn a_closed_port_and_a_forbidden_one_are_refused() {
    let rig = Rig::new();
    let (closed, port) = server();
    drop(closed);
    for port in [port, 1] {
        rig.send(&syn(4000, (SERVER, port)));
        let answer = rig.answer();
        let answer = IpPacket::parse(&answer).unwrap();
        let segment = answer.tcp().unwrap();
        assert_eq!((answer.source, answer.target), (SERVER.into(), CONTAINER.into()));
        assert_eq!((segment.source, segment.target, segment.acknowledgement), (port, 4000, 1001));
        assert_eq!(segment.flags, tcp::RST | tcp::ACK);
    }
    let notes = lock(&rig.policy.notes);
    assert!(notes.iter().all(|(_, error)| *error == Some(ErrorKind::ConnectionRefused)), "{notes:?}");
    assert_eq!((notes.len(), rig.relay.connections()), (2, 0));
}

#[test]
fn errors_of_the_host_are_told_as_a_router_would() {
    let rig = Rig::new();
    let packet = syn(4000, (SERVER, 80));
    let flow = EgressFlow {
        protocol: FlowProtocol::Tcp,
        source: (CONTAINER, 4000).into(),
        target: (SERVER, 80).into(),
    };
    for (error, code) in
        [(Errno::NETUNREACH, 0), (Errno::HOSTUNREACH, 1), (Errno::ACCESS, 13), (Errno::INVAL, 0)]
    {
        rig.interceptor.0.0.refuse(&flow, &IpPacket::parse(&packet).unwrap(), error);
        let answer = rig.answer();
        let answer = IpPacket::parse(&answer).unwrap();
        assert_eq!(answer.protocol, crate::packet::protocol::ICMP);
        assert_eq!(answer.payload[..2], [3, code], "{error:?}");
    }
    for silent in [Errno::TIMEDOUT, Errno::MFILE] {
        rig.interceptor.0.0.refuse(&flow, &IpPacket::parse(&packet).unwrap(), silent);
        assert!(rig.wire.try_recv().is_err());
    }
}

#[test]
fn what_is_no_first_packet_or_leads_nowhere_is_left_alone() {
    let rig = Rig::new();
    let (_server, port) = server();
    rig.send(&segment((CONTAINER, 4000), (SERVER, port), 1, tcp::SYN | tcp::ACK));
    rig.send(&segment((CONTAINER, 4000), (SERVER, port), 1, tcp::RST));
    for nowhere in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"] {
        rig.send(&syn(4000, (nowhere.parse().unwrap(), port)));
    }
    assert!(rig.wire.try_recv().is_err());
    assert!(lock(&rig.policy.notes).is_empty());
    assert!(is_never_routed("::ffff:127.0.0.1".parse().unwrap()));
}

#[test]
fn what_nobody_takes_is_dropped_in_time() {
    let rig = Rig::new();
    let (server, port) = server();
    rig.send(&syn(4000, (SERVER, port)));
    rig.answer();
    let (mut served, _) = server.accept().unwrap();
    served.set_read_timeout(Some(LIMIT)).unwrap();
    let shared = &rig.interceptor.0.0;
    assert!(shared.expire(Instant::now() + Duration::from_secs(9)));
    assert!(!shared.expire(Instant::now() + Duration::from_secs(11)));
    assert_eq!(served.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(rig.relay.connections(), 0);
}

#[test]
fn a_container_that_goes_leaves_nothing_under_way() {
    let rig = Rig::new();
    let (server, port) = server();
    rig.send(&syn(4000, (SERVER, port)));
    rig.send(&segment((Ipv4Addr::new(10, 89, 0, 3), 4000), (SERVER, port), 1, tcp::SYN));
    let mut ends = [(); 2].map(|()| server.accept().unwrap().0);
    rig.interceptor.forget(CONTAINER.into());
    assert_eq!(rig.relay.connections(), 1);
    drop(rig.interceptor);
    assert_eq!(rig.relay.connections(), 0);
    for end in &mut ends {
        end.set_read_timeout(Some(LIMIT)).unwrap();
        assert_eq!(end.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}

#[test]
fn a_flood_of_one_container_leaves_room_for_others() {
    let rig = Rig::new();
    let shared = &rig.interceptor.0.0;
    let most = shared.pool.limits.waiting_per_container;
    let (from, now) = (|ip: [u8; 4], port| SocketAddr::from((ip, port)), Instant::now());
    let to = from([192, 0, 2, 7], 80);
    let ports = 1..=u16::try_from(most).unwrap();
    assert!(ports.clone().all(|port| shared.pending.insert((from([10, 89, 0, 2], port), to), b"", now)));
    assert!(!shared.pending.insert((from([10, 89, 0, 2], 0), to), b"", now));
    assert!(shared.pending.insert((from([10, 89, 0, 3], 1), to), b"", now));
    shared.pending.clear();
    assert_eq!(rig.relay.connections(), 0);
}

#[test]
fn what_comes_to_the_listener_without_a_parked_socket_is_reset() {
    let rig = Rig::new();
    let (listener, port) = server();
    rig.interceptor.listen(listener.into(), OriginalDst::LocalAddress).unwrap();
    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    client.set_read_timeout(Some(LIMIT)).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_listener_and_the_parked_socket_are_one_connection() {
    let rig = Rig::new();
    let (listener, meeting) = server();
    let (server, port) = server();
    rig.interceptor.listen(listener.into(), OriginalDst::LocalAddress).unwrap();
    // Without the gateway's rules the connection arrives at the listener's own address, so park the socket
    // under that.
    let client = rustix::net::socket(rustix::net::AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&client, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let source = SocketAddr::try_from(rustix::net::getsockname(&client).unwrap()).unwrap();
    let addresses = (source, SocketAddr::from((Ipv4Addr::LOCALHOST, meeting)));
    let shared = &rig.interceptor.0.0;
    assert!(shared.pending.insert(addresses, b"syn", Instant::now()));
    shared.connect(addresses, (Ipv4Addr::LOCALHOST, port).into(), b"syn").unwrap();
    assert_eq!(rig.answer(), b"syn");
    rustix::net::connect(&client, &addresses.1).unwrap();
    let mut client = TcpStream::from(client);
    let (mut served, _) = server.accept().unwrap();
    client.write_all(b"through").unwrap();
    let mut got = [0; 7];
    served.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"through");
    rig.interceptor.forget(source.ip());
    client.set_read_timeout(Some(LIMIT)).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_connection_under_another_port_gets_a_socket_to_its_destination() {
    let rig = Rig::new();
    let (_server, port) = server();
    let shared = &rig.interceptor.0.0;
    let (container, target) = (IpAddr::from(CONTAINER), SocketAddr::from((SERVER, 80)));
    let addresses = (SocketAddr::new(container, 5000), target);
    assert!(shared.pending.insert(addresses, b"syn", Instant::now()));
    shared.connect(addresses, (Ipv4Addr::LOCALHOST, port).into(), b"syn").unwrap();
    assert_eq!(rig.answer(), b"syn");
    assert!(shared.pending.take_parked((SocketAddr::new(container, 6000), target)).is_none());
    assert!(shared.pending.take_parked_to(IpAddr::from([10, 89, 0, 3]), target).is_none());
    assert!(shared.pending.take_parked_to(container, (SERVER, 81).into()).is_none());
    assert!(shared.pending.take_parked_to(container, target).is_some());
    assert!(shared.pending.take_parked_to(container, target).is_none());
}
