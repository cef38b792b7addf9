//! The forwarder between a fake device and sockets on the loopback interface.

use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::AsFd as _;
use std::sync::Mutex;
use std::time::Duration;

use rustix::event::Timespec;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::device::DeviceFeatures;
use super::*;
use crate::packet::build::IpFields;
use crate::packet::reassemble::Reassembler;
use crate::packet::{self, icmp, protocol, tcp, udp};
use crate::policy::{EgressFlow, FlowVerdict};
use crate::relay::ShareCount;

/// One end of a socket pair; each packet is preceded by its offload and segment size.
#[derive(Debug)]
struct Wire {
    fd: OwnedFd,
    features: DeviceFeatures,
}

impl PacketDevice for Wire {
    fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, PacketOffload)> {
        let mut bytes = vec![0; buffer.len()];
        let (length, _) = rustix::net::recv(&self.fd, &mut bytes, RecvFlags::DONTWAIT)?;
        buffer[..length].copy_from_slice(&bytes[..length]);
        Ok((length, PacketOffload::default()))
    }

    fn send(&self, offload: &PacketOffload, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        assert!(offload.checksum.is_none() || self.features.checksum);
        assert!(offload.segment == 0 || self.features.segments);
        if let (Some((start, offset)), 0) = (offload.checksum, offload.segment) {
            assert!(packet::complete_checksum(&mut bytes, start.into(), offset.into()));
        }
        let mut all = offload.segment.to_ne_bytes().to_vec();
        all.extend_from_slice(&bytes);
        rustix::net::send(&self.fd, &all, SendFlags::empty())?;
        Ok(())
    }

    fn features(&self) -> DeviceFeatures {
        self.features
    }
}

/// Maps the containers' peers, and records what was reported.
struct Map {
    verdicts: Vec<(SocketAddr, FlowVerdict)>,
    notes: Mutex<Vec<(EgressFlow, Option<i32>)>>,
}

impl FlowPolicy for Map {
    fn judge(&self, flow: &EgressFlow) -> FlowVerdict {
        let of = |(target, verdict): &(SocketAddr, FlowVerdict)| (*target == flow.target).then_some(*verdict);
        self.verdicts.iter().find_map(of).unwrap_or(FlowVerdict::Refuse)
    }

    fn note(&self, flow: &EgressFlow, outcome: Result<(), &io::Error>) {
        self.notes.lock().unwrap().push((*flow, outcome.err().and_then(io::Error::raw_os_error)));
    }
}

/// Refuses TCP connections.
struct Closed;

impl ProtocolHandler for Closed {
    fn packet(&mut self, packet: &IpPacket<'_>, out: &dyn PacketSink) {
        out.packet(&tcp::build_reset(packet).unwrap());
    }

    fn forget(&mut self, _: IpAddr) {}
}

struct World {
    forwarder: PacketForwarder,
    policy: Arc<Map>,
    /// The containers' end.
    end: OwnedFd,
}

/// Per family: a container, the gateway, and a peer that is really on the loopback interface.
const CONTAINERS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2))];
const GATEWAYS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];
const PEERS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 7))];
const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

fn settings() -> ForwarderSettings {
    ForwarderSettings {
        subnets: vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/64".parse().unwrap()],
        gateways: GATEWAYS.to_vec(),
        mtu: 1500,
        external_mtu: 1500,
        limits: FlowLimits { sockets: 64, sockets_per_container: 32, ..FlowLimits::default() },
        forwarders: ShareCount::default(),
    }
}

impl World {
    fn new(features: DeviceFeatures, verdicts: &[(SocketAddr, FlowVerdict)]) -> Self {
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .unwrap();
        let device = Arc::new(Wire { fd: theirs, features });
        let policy = Arc::new(Map { verdicts: verdicts.to_vec(), notes: Mutex::default() });
        let config =
            ForwarderConfig { device, settings: settings(), policy: policy.clone(), tcp: Box::new(Closed) };
        let forwarder = PacketForwarder::start_on_thread(config).unwrap();
        Self { forwarder, policy, end: ours }
    }

    fn put(&self, packet: &[u8]) {
        rustix::net::send(&self.end, packet, SendFlags::empty()).unwrap();
    }

    /// The next packet, and its segment size.
    fn take(&self) -> (Vec<u8>, u16) {
        use rustix::event::{PollFd, PollFlags, poll};
        let patience = Timespec { tv_sec: 10, tv_nsec: 0 };
        let count = poll(&mut [PollFd::new(&self.end, PollFlags::IN)], Some(&patience)).unwrap();
        assert_eq!(count, 1, "no packet comes");
        let mut bytes = vec![0; 70_000];
        let (length, _) = rustix::net::recv(&self.end, &mut bytes, RecvFlags::empty()).unwrap();
        bytes.truncate(length);
        let segment = u16::from_ne_bytes([bytes[0], bytes[1]]);
        (bytes.split_off(2), segment)
    }
}

fn datagram(source: SocketAddr, target: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let ip = IpFields::reply(source.ip(), target.ip(), protocol::UDP);
    let mut bytes = udp::build_headers(&ip, (source.port(), target.port()), payload.len()).unwrap().to_vec();
    bytes.extend_from_slice(payload);
    assert!(packet::complete_checksum(&mut bytes, if source.is_ipv4() { 20 } else { 40 }, 6));
    bytes
}

/// A socket on the loopback interface, its address, and the address that containers use for it.
fn peer(family: usize) -> (UdpSocket, SocketAddr, SocketAddr) {
    let socket = UdpSocket::bind((LOOPBACK[family], 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let host = socket.local_addr().unwrap();
    (socket, host, SocketAddr::new(PEERS[family], host.port()))
}

fn pass(socket: &(UdpSocket, SocketAddr, SocketAddr)) -> (SocketAddr, FlowVerdict) {
    (socket.2, FlowVerdict::Pass(socket.1))
}

const ALL: DeviceFeatures = DeviceFeatures { checksum: true, segments: true };

#[test]
fn questions_are_answered_by_whom_they_were_sent_to() {
    for features in [ALL, DeviceFeatures::default()] {
        for family in [0, 1] {
            let peer = peer(family);
            let world = World::new(features, &[pass(&peer)]);
            let container = SocketAddr::new(CONTAINERS[family], 4000);
            for question in [&b"what is it?"[..], b""] {
                world.put(&datagram(container, peer.2, question));
                let mut buffer = [0; 100];
                let (length, from) = peer.0.recv_from(&mut buffer).unwrap();
                assert_eq!(&buffer[..length], question);
                peer.0.send_to(b"an answer", from).unwrap();
                let (answer, _) = world.take();
                let packet = IpPacket::parse(&answer).unwrap();
                assert!(packet.is_intact() && packet.dont_fragment);
                assert_eq!((packet.source, packet.target), (peer.2.ip(), container.ip()));
                let udp = packet.udp().unwrap();
                assert_eq!((udp.source, udp.target), (peer.2.port(), 4000));
                assert_eq!(udp.payload, b"an answer");
                // Nobody else may answer.
                let stranger = UdpSocket::bind((LOOPBACK[family], 0)).unwrap();
                stranger.send_to(b"psst", from).unwrap();
            }
            let flow =
                EgressFlow { protocol: crate::policy::FlowProtocol::Udp, source: container, target: peer.2 };
            assert_eq!(*world.policy.notes.lock().unwrap(), [(flow, None)], "asked once");
        }
    }
}

#[test]
fn closed_ports_and_forbidden_ones_refuse() {
    for family in [0, 1] {
        let gone = peer(family);
        let world = World::new(ALL, &[pass(&gone)]);
        drop(gone.0);
        let container = SocketAddr::new(CONTAINERS[family], 4000);
        for target in [gone.2, SocketAddr::new(PEERS[family], 9)] {
            let question = datagram(container, target, b"anybody?");
            world.put(&question);
            let (answer, _) = world.take();
            let packet = IpPacket::parse(&answer).unwrap();
            assert!(packet.is_intact());
            assert_eq!((packet.source, packet.target), (target.ip(), container.ip()));
            assert_eq!(packet.payload[..2], if family == 0 { [3, 3] } else { [1, 4] });
            let quote = IpPacket::parse(&packet.payload[8..]).unwrap();
            let inner = quote.udp().unwrap();
            assert_eq!((quote.source, quote.target), (container.ip(), target.ip()));
            assert_eq!((inner.source, inner.target, inner.payload), (4000, target.port(), &b"anybody?"[..]));
        }
        let notes = world.policy.notes.lock().unwrap();
        let refused = Some(libc::ECONNREFUSED);
        assert_eq!(notes.iter().map(|note| note.1).collect::<Vec<_>>(), [None, refused, refused]);
    }
}

#[test]
fn what_is_not_for_the_gate_is_dropped_or_refused() {
    let peer = peer(0);
    let world = World::new(ALL, &[pass(&peer)]);
    let container = SocketAddr::new(CONTAINERS[0], 4000);
    let other = |text: &str| text.parse::<SocketAddr>().unwrap();
    // From a foreign network, from the gateway itself, to the broadcast address.
    world.put(&datagram(other("203.0.113.5:4000"), peer.2, b"no"));
    world.put(&datagram(SocketAddr::new(GATEWAYS[0], 4000), peer.2, b"no"));
    world.put(&datagram(container, other("224.0.0.251:5353"), b"no"));
    world.put(&datagram(container, other("255.255.255.255:68"), b"no"));
    world.put(&datagram(container, other("127.0.0.1:53"), b"no"));
    let mut damaged = datagram(container, peer.2, b"no");
    *damaged.last_mut().unwrap() ^= 1;
    world.put(&damaged);
    world.put(&[0; 10]);
    // To a neighbour, and of an unsupported protocol.
    world.put(&datagram(container, other("192.0.2.77:53"), b"no"));
    assert_eq!(world.take().0[20..22], [3, 1]);
    let ip = IpFields::reply(container.ip(), peer.2.ip(), 132);
    world.put(&[&ip.header(12).unwrap()[..], &[0; 12]].concat());
    assert_eq!(world.take().0[20..22], [3, 2]);
    world.put(&datagram(container, peer.2, b"yes"));
    let mut buffer = [0; 100];
    assert_eq!(peer.0.recv_from(&mut buffer).unwrap().0, 3);
}

#[test]
fn datagrams_of_64_kib_go_both_ways() {
    for (family, mtu) in [(0, 1500), (1, 1500), (1, 1280)] {
        let peer = peer(family);
        let world = World::new(ALL, &[pass(&peer)]);
        let container = SocketAddr::new(CONTAINERS[family], 4000);
        // The longest payload with IPv4 headers; IPv6 sockets take no more either.
        let payload: Vec<u8> = (0..65_507_u32).map(|n| (n / 7) as u8).collect();
        let whole = datagram(container, peer.2, &payload);
        for part in fragments(&whole, mtu) {
            world.put(&part);
        }
        let mut buffer = vec![0; 70_000];
        let (length, from) = peer.0.recv_from(&mut buffer).unwrap();
        assert!(buffer[..length] == payload);
        peer.0.send_to(&payload, from).unwrap();
        let mut reassembler = Reassembler::default();
        let answer = loop {
            let (part, _) = world.take();
            let packet = IpPacket::parse(&part).unwrap();
            if packet.fragment.is_none() {
                assert!(family == 0 && !packet.dont_fragment, "the gateway's kernel fragments only these");
                break part;
            }
            assert!(part.len() <= 1500);
            if let Some(whole) = reassembler.add(&packet, Instant::now()) {
                break whole;
            }
        };
        let packet = IpPacket::parse(&answer).unwrap();
        assert!(packet.is_intact() && packet.udp().unwrap().payload == payload);
    }
}

/// Splits `whole`, a packet without options, into fragments of up to `mtu` bytes.
fn fragments(whole: &[u8], mtu: usize) -> Vec<Vec<u8>> {
    let packet = IpPacket::parse(whole).unwrap();
    let ip = IpFields { id: Some(7), ..IpFields::reply(packet.source, packet.target, packet.protocol) };
    if packet.source.is_ipv6() {
        let parts = ip.fragments_v6(packet.payload, mtu, 7);
        return parts.map(|(header, part)| [&header[..], part].concat()).collect();
    }
    let size = (mtu - 20) & !7;
    let parts = packet.payload.chunks(size).enumerate();
    let last = packet.payload.len().div_ceil(size) - 1;
    let part = |(index, part): (usize, &[u8])| {
        let mut header = ip.header(part.len()).unwrap();
        let more = if index < last { 0x2000 } else { 0 };
        header.put(6, ((index * size / 8) as u16 | more).to_be_bytes());
        [&header[..], part].concat()
    };
    parts.map(part).collect()
}

#[test]
fn many_datagrams_are_sent_and_written_as_one() {
    for features in [ALL, DeviceFeatures::default()] {
        let peer = peer(0);
        let world = World::new(features, &[pass(&peer)]);
        let container = SocketAddr::new(CONTAINERS[0], 4000);
        let sizes = [700, 700, 700, 10, 800, 1400, 0, 1400, 1400];
        let mut from = None;
        for (n, size) in sizes.iter().enumerate() {
            world.put(&datagram(container, peer.2, &vec![n as u8; *size]));
        }
        for (n, size) in sizes.iter().enumerate() {
            let mut buffer = [0xff; 2000];
            let (length, sender) = peer.0.recv_from(&mut buffer).unwrap();
            assert!(buffer[..length] == vec![n as u8; *size]);
            from = Some(sender);
        }
        for (n, size) in sizes.iter().enumerate() {
            peer.0.send_to(&vec![n as u8; *size], from.unwrap()).unwrap();
        }
        let mut got = Vec::new();
        while got.len() < sizes.len() {
            let (bytes, segment) = world.take();
            let packet = IpPacket::parse(&bytes).unwrap();
            let payload = udp::UdpDatagram::parse_gso(packet.payload).unwrap().payload;
            assert!(segment == 0 || features.segments);
            match segment {
                0 => got.push(payload.to_vec()),
                _ => got.extend(payload.chunks(segment.into()).map(<[u8]>::to_vec)),
            }
        }
        for (n, (size, payload)) in sizes.iter().zip(got).enumerate() {
            assert!(payload == vec![n as u8; *size], "{n}");
        }
    }
}

#[test]
fn clients_of_published_ports_are_seen_as_themselves() {
    for family in [0, 1] {
        let world = World::new(ALL, &[]);
        let host = UdpSocket::bind((LOOPBACK[family], 0)).unwrap();
        let address = host.local_addr().unwrap();
        let container = SocketAddr::new(CONTAINERS[family], 53);
        let published = world.forwarder.publish_udp(host.into(), container).unwrap();
        let mut seen = Vec::new();
        let clients: Vec<_> = (0..2).map(|_| peer(family).0).collect();
        for client in &clients {
            client.connect(address).unwrap();
            client.send(b"question").unwrap();
            let (bytes, _) = world.take();
            let packet = IpPacket::parse(&bytes).unwrap();
            let udp = packet.udp().unwrap();
            assert!(packet.is_intact() && udp.payload == b"question");
            // Clients on the loopback interface can only appear as the gateway.
            assert_eq!((packet.source, packet.target), (GATEWAYS[family], container.ip()));
            assert_eq!((udp.source, udp.target), (client.local_addr().unwrap().port(), 53));
            seen.push(SocketAddr::new(packet.source, udp.source));
        }
        for (n, seen) in seen.iter().enumerate() {
            world.put(&datagram(container, *seen, &[n as u8; 9]));
        }
        for (n, client) in clients.iter().enumerate() {
            let mut buffer = [0; 100];
            assert_eq!(client.recv(&mut buffer).unwrap(), 9);
            assert_eq!(buffer[0], n as u8);
        }
        drop(published);
        world.put(&datagram(container, seen[0], b"too late"));
        let (bytes, _) = world.take();
        assert!(IpPacket::parse(&bytes).unwrap().udp().is_none(), "refused, as to anybody else");
        UdpSocket::bind(address).expect("the port is free again");
    }
}

#[test]
fn first_segments_go_to_their_part() {
    let world = World::new(ALL, &[]);
    let ip = IpFields::reply(CONTAINERS[0], PEERS[0], protocol::TCP);
    let mut bytes = ip.header(20).unwrap().to_vec();
    bytes.extend_from_slice(&[0x9c, 0x40, 0, 80, 0, 0, 0, 9, 0, 0, 0, 0, 5 << 4, tcp::SYN, 1, 0, 0, 0, 0, 0]);
    let sum = packet::checksum::InternetChecksum::pseudo(CONTAINERS[0], PEERS[0], protocol::TCP, 20);
    let sum = sum.with(&bytes[20..]).finish();
    bytes[36..38].copy_from_slice(&sum);
    world.put(&bytes);
    let (answer, _) = world.take();
    assert_eq!(IpPacket::parse(&answer).unwrap().tcp().unwrap().acknowledgement, 10);
}

#[test]
fn pings_fail_at_once_where_they_are_not_allowed() {
    if echo::is_ping_allowed() {
        return;
    }
    for family in [0, 1] {
        let peer = SocketAddr::new(PEERS[family], 0);
        let world = World::new(ALL, &[(peer, FlowVerdict::Pass(SocketAddr::new(LOOPBACK[family], 0)))]);
        let protocol = if family == 0 { protocol::ICMP } else { protocol::ICMPV6 };
        let ip = IpFields::reply(CONTAINERS[family], PEERS[family], protocol);
        world.put(&icmp::build_echo(&ip, icmp::EchoKind::Request, 77, 1, b"ping").unwrap());
        let (answer, _) = world.take();
        let packet = IpPacket::parse(&answer).unwrap();
        assert_eq!((packet.source, packet.target), (GATEWAYS[family], CONTAINERS[family]));
        assert_eq!(packet.payload[..2], if family == 0 { [3, 13] } else { [1, 1] });
    }
}
