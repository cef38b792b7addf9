//! Known packets, and arbitrary bytes.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::build::IpFields;
use super::reassemble::Reassembler;
use super::*;

/// A query for example.com, as shown by tcpdump.
const DNS_QUERY: &[u8] = &[
    0x45, 0x00, 0x00, 0x39, 0x1a, 0x2b, 0x40, 0x00, 0x40, 0x11, 0x00, 0x00, 192, 0, 2, 1, 198, 51, 100, 7,
    0xd4, 0x31, 0x00, 0x35, 0x00, 0x25, 0x00, 0x00, 0xab, 0xcd, 0x01, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x07, b'e', b'x', b'a', b'm', b'p', b'l', b'e', 0x03, b'c', b'o', b'm', 0x00, 0x00,
    0x01, 0x00, 0x01,
];

fn v4(last: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, last).into()
}

fn v6(last: u16) -> IpAddr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last).into()
}

fn datagram(source: IpAddr, target: IpAddr, payload: &[u8]) -> Vec<u8> {
    let ip = IpFields { id: Some(7), ..IpFields::reply(source, target, protocol::UDP) };
    let mut bytes = udp::build_headers(&ip, (4000, 53), payload.len()).unwrap().to_vec();
    let start = if source.is_ipv4() { 20 } else { 40 };
    bytes.extend_from_slice(payload);
    assert!(complete_checksum(&mut bytes, start, 6));
    bytes
}

/// A SYN with four bytes of options, as a container's kernel would send it.
fn syn(source: IpAddr, target: IpAddr) -> Vec<u8> {
    let ip = IpFields::reply(source, target, protocol::TCP);
    let mut bytes = ip.header(24).unwrap().to_vec();
    let start = bytes.len();
    bytes.extend_from_slice(&[
        0x9c,
        0x40,
        0,
        80,
        0,
        0,
        0,
        9,
        0,
        0,
        0,
        0,
        6 << 4,
        tcp::SYN,
        0xfa,
        0xf0,
        0,
        0,
        0,
        0,
    ]);
    bytes.extend_from_slice(&[2, 4, 5, 0xb4]);
    let sum = InternetChecksum::pseudo(source, target, protocol::TCP, 24).folded();
    bytes[start + 16..start + 18].copy_from_slice(&sum);
    assert!(complete_checksum(&mut bytes, start, 16));
    bytes
}

#[test]
fn a_known_datagram() {
    let packet = IpPacket::parse(DNS_QUERY).unwrap();
    assert_eq!((packet.source, packet.target), (v4(1), Ipv4Addr::new(198, 51, 100, 7).into()));
    assert_eq!((packet.hops, packet.dont_fragment, packet.fragment), (64, true, None));
    let udp = packet.udp().unwrap();
    assert_eq!((udp.source, udp.target, udp.payload.len()), (54321, 53, 29));
    assert!(packet.is_intact() && packet.tcp().is_none() && packet.echo().is_none());
}

#[test]
fn options_and_trailing_bytes_are_left_out() {
    let mut bytes = DNS_QUERY.to_vec();
    bytes.splice(20..20, [1, 1, 1, 0]);
    (bytes[0], bytes[3]) = (0x46, 0x3d);
    bytes.extend_from_slice(&[0xee; 9]);
    let packet = IpPacket::parse(&bytes).unwrap();
    assert_eq!((packet.bytes.len(), packet.udp().unwrap().payload.len()), (61, 29));
}

#[test]
fn extension_headers_are_walked_to_an_end() {
    let plain = datagram(v6(1), v6(2), b"hello");
    let with = |extensions: &[&[u8]]| {
        let mut bytes = plain.clone();
        let all = extensions.concat();
        bytes[5] += all.len() as u8;
        bytes[6] = if all.is_empty() { protocol::UDP } else { 0 };
        bytes.splice(40..40, all);
        bytes
    };
    let pad = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
    let bytes = with(&[&pad(DESTINATION), &pad(protocol::UDP)]);
    assert_eq!(IpPacket::parse(&bytes).unwrap().udp().unwrap().payload, b"hello");
    // A fragment header in a complete packet.
    let bytes = with(&[&pad(FRAGMENT), &[protocol::UDP, 0, 0, 0, 0, 0, 0, 9]]);
    assert_eq!(IpPacket::parse(&bytes).unwrap().udp().unwrap().payload, b"hello");
    let bytes = with(&[&pad(ROUTING), &[protocol::UDP, 0, 4, 1, 0, 0, 0, 0]]);
    assert_eq!(IpPacket::parse(&bytes), Err(MalformedPacket));
    let many: Vec<_> = (0..9).map(|n| pad(if n < 8 { DESTINATION } else { protocol::UDP })).collect();
    let many: Vec<&[u8]> = many.iter().map(|header| &header[..]).collect();
    assert_eq!(IpPacket::parse(&with(&many)), Err(MalformedPacket));
    // A length beyond the end of the packet.
    assert_eq!(IpPacket::parse(&with(&[&[protocol::UDP, 200, 1, 4, 0, 0, 0, 0]])), Err(MalformedPacket));
}

#[test]
fn a_first_segment_is_known_and_refused() {
    for (source, target) in [(v4(1), v4(2)), (v6(1), v6(2))] {
        let bytes = syn(source, target);
        let packet = IpPacket::parse(&bytes).unwrap();
        let segment = packet.tcp().unwrap();
        assert!(segment.is_first() && packet.is_intact());
        assert_eq!((segment.source, segment.target, segment.options), (40000, 80, &[2, 4, 5, 0xb4][..]));
        let answer = tcp::build_reset(&packet).unwrap();
        let answer = IpPacket::parse(&answer).unwrap();
        assert_eq!((answer.source, answer.target), (target, source));
        assert!(answer.is_intact());
        let reset = answer.tcp().unwrap();
        assert_eq!((reset.source, reset.target, reset.flags), (80, 40000, tcp::RST | tcp::ACK));
        assert_eq!((reset.sequence, reset.acknowledgement), (0, 10));
        assert_eq!(tcp::build_reset(&answer), None, "a reset is not answered");
    }
}

#[test]
fn errors_quote_the_packet() {
    for (source, target, gateway) in [(v4(1), v4(2), v4(3)), (v6(1), v6(2), v6(3))] {
        let bytes = datagram(source, target, &[9; 2000]);
        let packet = IpPacket::parse(&bytes).unwrap();
        let answer = icmp::build_error(&packet, icmp::IcmpError::TooBig(1400), gateway).unwrap();
        let answer = IpPacket::parse(&answer).unwrap();
        assert_eq!((answer.source, answer.target), (gateway, source));
        assert!(answer.is_intact() && answer.echo().is_none());
        let start = if source.is_ipv4() { [3, 4] } else { [2, 0] };
        assert_eq!(answer.payload[..2], start);
        assert_eq!(answer.payload[4..8], [0, 0, 0x05, 0x78]);
        assert_eq!(answer.payload[8..], bytes[..answer.payload.len() - 8]);
        assert_eq!(answer.bytes.len(), if source.is_ipv4() { 576 } else { 1280 });
        assert_eq!(
            icmp::build_error(&answer, icmp::IcmpError::Port, gateway),
            None,
            "an error is not answered"
        );
    }
    let known =
        icmp::build_error(&IpPacket::parse(DNS_QUERY).unwrap(), icmp::IcmpError::Port, v4(254)).unwrap();
    assert_eq!(known[20..22], [3, 3]);
    let multicast = datagram(v4(1), Ipv4Addr::new(224, 0, 0, 251).into(), b"x");
    assert_eq!(
        icmp::build_error(&IpPacket::parse(&multicast).unwrap(), icmp::IcmpError::Port, v4(254)),
        None
    );
}

#[test]
fn echoes() {
    for (source, target) in [(v4(1), v4(2)), (v6(1), v6(2))] {
        let protocol = if source.is_ipv4() { protocol::ICMP } else { protocol::ICMPV6 };
        let ip = IpFields::reply(source, target, protocol);
        let request = icmp::build_echo(&ip, icmp::EchoKind::Request, 0x1234, 7, b"ping").unwrap();
        let packet = IpPacket::parse(&request).unwrap();
        assert!(packet.is_intact());
        let echo = packet.echo().unwrap();
        assert_eq!((echo.ident, echo.sequence, echo.data), (0x1234, 7, &b"ping"[..]));
        assert!(icmp::build_error(&packet, icmp::IcmpError::Host, target).is_some(), "a request is answered");
        let reply = icmp::build_echo(&ip, icmp::EchoKind::Reply, 0x1234, 7, b"ping").unwrap();
        assert_eq!(IpPacket::parse(&reply).unwrap().echo(), None);
    }
}

/// Splits `bytes`, a packet without options, into fragments of `size` bytes.
fn fragments(bytes: &[u8], size: usize) -> Vec<Vec<u8>> {
    let packet = IpPacket::parse(bytes).unwrap();
    let ip = IpFields {
        protocol: packet.protocol,
        id: Some(7),
        ..IpFields::reply(packet.source, packet.target, 0)
    };
    if packet.source.is_ipv6() {
        let parts = ip.fragments_v6(packet.payload, size, 7);
        return parts.map(|(header, part)| [&header[..], part].concat()).collect();
    }
    let size = (size - 20) & !7;
    let count = packet.payload.len().div_ceil(size);
    let part = |(index, part): (usize, &[u8])| {
        let mut header = ip.header(part.len()).unwrap();
        let more = if index + 1 < count { 0x2000 } else { 0 };
        header.put(6, ((index * size / 8) as u16 | more).to_be_bytes());
        [&header[..], part].concat()
    };
    packet.payload.chunks(size).enumerate().map(part).collect()
}

#[test]
fn reassembly_is_bounded() {
    let now = Instant::now();
    let bytes = datagram(v4(1), v4(2), &[5; 3000]);
    let parts = fragments(&bytes, 1500);
    let feed = |reassembler: &mut Reassembler, part: &[u8], now| {
        reassembler.add(&IpPacket::parse(part).unwrap(), now).is_some()
    };
    let mut reassembler = Reassembler::default();
    let others = fragments(&datagram(v4(3), v4(2), &[6; 3000]), 1500);
    assert!(!feed(&mut reassembler, &others[0], now));
    // Incomplete packets of one sender, by ID.
    for id in 0..1000_u16 {
        let mut part = parts[0].clone();
        part[4..6].copy_from_slice(&(id + 100).to_be_bytes());
        assert!(!feed(&mut reassembler, &part, now + Duration::from_micros(id.into())));
    }
    assert_eq!(reassembler.count(), 33, "of each sender no more than it may have");
    let now = now + Duration::from_millis(2);
    assert!(parts.iter().any(|part| feed(&mut reassembler, part, now)), "what comes whole is not held up");
    assert!(others[1..].iter().any(|part| feed(&mut reassembler, part, now)), "nor is anybody else");
    for last in 10..=255 {
        let part = &fragments(&datagram(v4(last), v4(2), &[5; 3000]), 1500)[0];
        assert!(!feed(&mut reassembler, part, now));
    }
    assert_eq!(reassembler.count(), 128);
    let later = reassembler.expire(now).unwrap();
    assert!(later <= now + Duration::from_secs(30));
    reassembler.expire(now + Duration::from_secs(30));
    assert_eq!(reassembler.count(), 0);
    // Overlapping fragments.
    assert!(!feed(&mut reassembler, &parts[0], now) && !feed(&mut reassembler, &parts[0], now));
    assert!(parts[1..].iter().all(|part| !feed(&mut reassembler, part, now)));
    reassembler.forget(v4(1));
    assert_eq!(reassembler.expire(now), None);
}

/// Everything that can be done with a packet.
fn touch(bytes: &[u8]) {
    let Ok(packet) = IpPacket::parse(bytes) else { return };
    assert!(packet.bytes.len() <= bytes.len() && packet.payload.len() <= packet.bytes.len());
    let _ = (packet.is_intact(), packet.udp(), packet.echo());
    for answer in
        [tcp::build_reset(&packet), icmp::build_error(&packet, icmp::IcmpError::Prohibited, packet.target)]
    {
        let Some(answer) = answer else { continue };
        let answer = IpPacket::parse(&answer).unwrap();
        assert!(answer.is_intact() && answer.target == packet.source);
    }
    let mut reassembler = Reassembler::default();
    if let Some(whole) = reassembler.add(&packet, Instant::now()) {
        assert!(IpPacket::parse(&whole).unwrap().fragment.is_none());
    }
}

proptest! {
    #[test]
    fn any_bytes(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), v4 in any::<bool>()) {
        touch(&bytes);
        if let Some(first) = bytes.first_mut() {
            *first = if v4 { 0x45 } else { 0x60 };
        }
        touch(&bytes);
    }

    #[test]
    fn damaged_packets(at in 0_usize..60, value in any::<u8>(), cut in 0_usize..80, six in any::<bool>()) {
        let (a, b) = if six { (v6(1), v6(2)) } else { (v4(1), v4(2)) };
        for mut bytes in [datagram(a, b, b"0123456789"), syn(a, b)] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
            bytes.truncate(bytes.len().saturating_sub(cut));
            touch(&bytes);
        }
    }

    #[test]
    fn fragments_in_any_order_are_the_packet(
        length in 0_usize..9000, mtu in 1280_usize..1600, six in any::<bool>(), order in any::<u64>(),
    ) {
        let (a, b) = if six { (v6(1), v6(2)) } else { (v4(1), v4(2)) };
        let payload: Vec<u8> = (0..length).map(|n| n as u8).collect();
        let bytes = datagram(a, b, &payload);
        let mut parts = fragments(&bytes, mtu);
        prop_assume!(parts.len() > 1);
        prop_assert!(parts.iter().all(|part| part.len() <= mtu));
        let count = parts.len();
        for n in 0..count {
            parts.swap(n, (order >> n) as usize % count);
        }
        let mut reassembler = Reassembler::default();
        let mut whole = None;
        for part in &parts {
            prop_assert!(whole.is_none());
            whole = reassembler.add(&IpPacket::parse(part).unwrap(), Instant::now());
        }
        let whole = whole.unwrap();
        let packet = IpPacket::parse(&whole).unwrap();
        prop_assert!(packet.is_intact());
        prop_assert_eq!(packet.udp().unwrap().payload, &payload[..]);
    }
}
