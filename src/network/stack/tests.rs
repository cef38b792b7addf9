//! The stack with a container that is another smoltcp, and servers on the loopback interface under other
//! names.

use std::collections::VecDeque;
use std::io::{IoSlice, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::wire::{HardwareAddress, IpCidr};

use super::link::ConnLink;
use super::*;
use crate::forwarder::device::PacketOffload;
use crate::policy::{EgressFlow, FlowVerdict};
use crate::publish::ContainerDialer as _;
use crate::socket::reset_on_close;

const CONTAINER: Ipv4Addr = Ipv4Addr::new(10, 89, 0, 2);
const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

/// Packets queued at one end.
#[derive(Debug, Default)]
struct Queue(Mutex<VecDeque<Vec<u8>>>);

impl PacketSink for Queue {
    fn packet(&self, packet: &[u8]) {
        lock(&self.0).push_back(packet.to_vec());
    }
}

impl PacketDevice for Queue {
    fn fd(&self) -> BorrowedFd<'_> {
        unreachable!("nobody reads from it but the test")
    }

    fn receive(&self, _buffer: &mut [u8]) -> io::Result<(usize, PacketOffload)> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn send(&self, _offload: &PacketOffload, parts: &[IoSlice<'_>]) -> io::Result<()> {
        self.packet(&parts.iter().flat_map(|part| part.iter().copied()).collect::<Vec<_>>());
        Ok(())
    }
}

/// Maps all destinations to the loopback interface.
struct Loopback;

impl FlowPolicy for Loopback {
    fn judge(&self, flow: &EgressFlow) -> FlowVerdict {
        FlowVerdict::Pass((Ipv4Addr::LOCALHOST, flow.target.port()).into())
    }

    fn note(&self, _flow: &EgressFlow, _outcome: Result<(), &io::Error>) {}
}

struct Rig {
    stack: TcpStack,
    inward: Arc<Queue>,
    outward: Queue,
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    relay: TcpRelay,
}

impl Rig {
    fn new() -> Self {
        let relay = TcpRelay::start().unwrap();
        let inward = Arc::new(Queue::default());
        let stack = TcpStack::new(Arc::clone(&inward) as _, 1500, &relay, Arc::new(Loopback)).unwrap();
        let outward = Queue::default();
        let mut link = ConnLink { packet: None, out: &outward, mtu: 1500 };
        let mut interface = Interface::new(Config::new(HardwareAddress::Ip), &mut link, stack.now());
        interface.update_ip_addrs(|all| all.push(IpCidr::new(IpAddr::from(CONTAINER).into(), 24)).unwrap());
        interface.routes_mut().add_default_ipv4_route(CONTAINER).unwrap();
        let buffer = || SocketBuffer::new(vec![0; 1 << 20]);
        let mut sockets = SocketSet::new(Vec::new());
        let handle = sockets.add(Socket::new(buffer(), buffer()));
        Self { stack, inward, outward, interface, sockets, handle, relay }
    }

    fn connect(&mut self, port: u16) {
        let socket = self.sockets.get_mut::<Socket<'_>>(self.handle);
        socket.connect(self.interface.context(), (IpAddr::from(SERVER), port), 40_000).unwrap();
    }

    fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    /// Passes packets back and forth until `done` holds.
    fn until(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        while !done(self) {
            assert!(std::time::Instant::now() < deadline, "never so");
            let now = self.stack.now();
            let packets = std::mem::take(&mut *lock(&self.inward.0));
            for packet in packets.iter().map(|packet| Some(&packet[..])).chain([None]) {
                let mut link = ConnLink { packet, out: &self.outward, mtu: 1500 };
                self.interface.poll(now, &mut link, &mut self.sockets);
            }
            for packet in std::mem::take(&mut *lock(&self.outward.0)) {
                let packet = IpPacket::parse(&packet).unwrap();
                assert!(packet.is_intact());
                self.stack.packet(&packet, &*self.inward);
            }
            self.stack.ready(&*self.inward);
            std::thread::yield_now();
        }
    }

    /// Everything that arrives until the other side ends.
    fn read_all(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        self.until(|rig| {
            let socket = rig.socket();
            while socket.can_recv() {
                socket.recv(|bytes| (bytes.len(), all.extend_from_slice(bytes))).unwrap();
            }
            !socket.may_recv() && socket.state() != State::SynSent
        });
        all
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + at / 251) as u8).collect()
}

#[test]
fn bytes_arrive_whole_both_ways_and_each_half_ends_for_itself() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut rig = Rig::new();
    rig.connect(listener.local_addr().unwrap().port());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(&all).unwrap();
    });
    let sent = pattern(700_000);
    rig.until(|rig| rig.socket().can_send());
    assert_eq!(rig.socket().send_slice(&sent).unwrap(), sent.len());
    rig.socket().close();
    assert!(rig.read_all() == sent);
    server.join().unwrap();
    rig.until(|rig| rig.stack.conns.is_empty());
    assert!(rig.stack.by_ends.is_empty() && rig.stack.per_container.is_empty() && rig.stack.due.is_empty());
    rig.until(|rig| rig.relay.connections() == 0);
}

#[test]
fn what_is_refused_or_reset_is_so_on_the_other_side() {
    let mut rig = Rig::new();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    rig.connect(closed);
    rig.until(|rig| rig.socket().state() == State::Closed);

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    rig.connect(listener.local_addr().unwrap().port());
    rig.until(|rig| rig.socket().may_send());
    let (stream, _) = listener.accept().unwrap();
    reset_on_close(&OwnedFd::from(stream.try_clone().unwrap()));
    drop(stream);
    rig.until(|rig| rig.socket().state() == State::Closed && rig.stack.conns.is_empty());

    rig.connect(listener.local_addr().unwrap().port());
    rig.until(|rig| rig.socket().may_send());
    let (mut stream, _) = listener.accept().unwrap();
    rig.socket().abort();
    rig.until(|rig| rig.stack.conns.is_empty());
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn a_segment_of_no_connection_is_reset() {
    let mut rig = Rig::new();
    let mut packet = vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0];
    packet.extend(CONTAINER.octets());
    packet.extend(SERVER.octets());
    packet.extend([0x9c, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 9, 0x50, tcp::ACK, 0xff, 0xff, 0, 0, 0, 0]);
    let inward = Arc::clone(&rig.inward);
    rig.stack.packet(&IpPacket::parse(&packet).unwrap(), &*inward);
    let answer = lock(&inward.0).pop_front().unwrap();
    let segment = IpPacket::parse(&answer).unwrap().tcp().unwrap();
    assert_eq!((segment.flags, segment.sequence), (tcp::RST, 9));
}

#[test]
fn clients_come_in_by_their_own_address_and_are_dismissed() {
    let mut rig = Rig::new();
    rig.socket().listen(80).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let socket = OwnedFd::from(listener.accept().unwrap().0);
    reset_on_close(&socket);
    let from: SocketAddr = "198.51.100.9:4321".parse().unwrap();
    let permit = QuotaPermit::acquire(&[]).unwrap();
    let enter = PublishedClient { socket, from, to: (CONTAINER, 80).into(), owner: 77, permit };
    assert!(rig.stack.mailbox().connect_client(enter).is_none());
    client.write_all(b"hello").unwrap();
    rig.until(|rig| rig.socket().can_recv());
    assert_eq!(rig.socket().remote_endpoint().unwrap().to_string(), from.to_string());
    rig.stack.mailbox().reset_owner(77);
    rig.until(|rig| rig.socket().state() == State::Closed && rig.stack.conns.is_empty());
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}
