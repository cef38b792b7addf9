//! Writes our own packets towards the containers, leaving as much as possible to the device.

use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::PacketSink;
use super::device::{DeviceFeatures, PacketDevice, PacketOffload};
use crate::packet::build::{IpFields, PacketHeader};
use crate::packet::checksum::InternetChecksum;
use crate::packet::{IpPacket, icmp, protocol, udp};
use dhow_sys::datagram::MAX_SEGMENTS;

pub(crate) struct PacketWriter {
    device: Arc<dyn PacketDevice>,
    features: DeviceFeatures,
    /// Towards the containers, in bytes.
    mtu: usize,
    /// The next identification for fragmented packets.
    id: AtomicU32,
}

impl PacketWriter {
    pub(crate) fn new(device: Arc<dyn PacketDevice>, mtu: u16) -> Self {
        let features = device.features();
        Self { device, features, mtu: mtu.into(), id: AtomicU32::new(1) }
    }

    /// Sends datagrams with the payloads `parts`, all but the last of the same length. If `segment` is not 0,
    /// the single part holds payloads of `segment` bytes each, the last maybe shorter.
    pub(crate) fn datagrams(
        &self,
        source: SocketAddr,
        target: SocketAddr,
        tos: u8,
        parts: &[IoSlice<'_>],
        segment: u16,
    ) {
        let size = if segment != 0 { segment.into() } else { parts.first().map_or(0, |part| part.len()) };
        let headers = if source.is_ipv4() { 28 } else { 48 };
        // IPv6 routers do not fragment. IPv4 ones do, and so does the gateway, each datagram for itself: no
        // GSO for those.
        let gso = self.features.segments && size > 0 && size + headers <= self.mtu;
        if gso {
            let in_packet = (usize::from(u16::MAX) - headers) / size;
            let max_segments = in_packet.clamp(1, MAX_SEGMENTS);
            if segment == 0 {
                parts.chunks(max_segments).for_each(|parts| self.packet_of(source, target, tos, parts, size));
                return;
            }
            for part in parts.iter().flat_map(|part| part.chunks(max_segments * size)) {
                self.packet_of(source, target, tos, &[IoSlice::new(part)], size);
            }
            return;
        }
        for part in parts {
            // An empty datagram is a datagram, too.
            if segment == 0 || part.is_empty() {
                self.packet_of(source, target, tos, &[IoSlice::new(part)], size);
                continue;
            }
            for part in part.chunks(size) {
                self.packet_of(source, target, tos, &[IoSlice::new(part)], size);
            }
        }
    }

    /// Sends one packet, which holds several datagrams (GSO) if `parts` have more bytes than `size`.
    fn packet_of(&self, source: SocketAddr, target: SocketAddr, tos: u8, parts: &[IoSlice<'_>], size: usize) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let start = if source.is_ipv4() { 20 } else { 40 };
        let packet_length = start + udp::HEADER + length.min(size.max(1));
        // A packet that fits needs no identification and gets DF.
        let id = (packet_length > self.mtu).then(|| self.id.fetch_add(1, Ordering::Relaxed) as u16);
        let (from, to) = (source.ip(), target.ip());
        let ip = IpFields { source: from, target: to, protocol: protocol::UDP, hops: 64, tos, id };
        let Some(mut header) = udp::build_headers(&ip, (source.port(), target.port()), length) else {
            return;
        };
        let fragments = to.is_ipv6() && packet_length > self.mtu;
        let mut offload = PacketOffload::default();
        if self.features.checksum && !fragments {
            offload.checksum = Some((start as u16, 6));
        } else {
            self.sum(&mut header, start, parts);
        }
        if length > size {
            (offload.segment, offload.headers) = (size as u16, header.len() as u16);
        }
        if fragments {
            let mut payload = header.get(start..).unwrap_or_default().to_vec();
            parts.iter().for_each(|part| payload.extend_from_slice(part));
            let id = self.id.fetch_add(1, Ordering::Relaxed);
            for (header, part) in ip.fragments_v6(&payload, self.mtu, id) {
                self.send(&PacketOffload::default(), &[IoSlice::new(&header), IoSlice::new(part)]);
            }
            return;
        }
        let mut packet = Vec::with_capacity(parts.len() + 1);
        packet.push(IoSlice::new(&header));
        packet.extend_from_slice(parts);
        self.send(&offload, &packet);
    }

    /// Answers `packet` with `error`, sent by `from` or else by the packet's target.
    pub(crate) fn refuse(&self, packet: &IpPacket<'_>, error: icmp::IcmpError, from: Option<IpAddr>) {
        let answer = icmp::build_error(packet, error, from.unwrap_or(packet.target));
        answer.iter().for_each(|answer| self.packet(answer));
    }

    pub(crate) fn echo_reply(&self, mut ip: IpFields, ident: u16, sequence: u16, data: &[u8]) {
        let start = if ip.source.is_ipv4() { 20 } else { 40 };
        let too_long = start + 8 + data.len() > self.mtu;
        let id = self.id.fetch_add(1, Ordering::Relaxed);
        ip.id = too_long.then_some(id as u16);
        let Some(packet) = icmp::build_echo(&ip, icmp::EchoKind::Reply, ident, sequence, data) else {
            return;
        };
        if ip.source.is_ipv4() || !too_long {
            return self.packet(&packet);
        }
        for (header, part) in ip.fragments_v6(packet.get(start..).unwrap_or_default(), self.mtu, id) {
            self.send(&PacketOffload::default(), &[IoSlice::new(&header), IoSlice::new(part)]);
        }
    }

    /// Completes the checksum in `header`, in front of `parts`.
    fn sum(&self, header: &mut PacketHeader, start: usize, parts: &[IoSlice<'_>]) {
        let mut sum = InternetChecksum::default().with(header.get(start..).unwrap_or_default());
        match parts {
            [part] => sum = sum.with(part),
            // Unreachable: only devices that complete checksums get several parts.
            _ => parts.iter().for_each(|part| sum = sum.with(part)),
        }
        header.put(start + 6, sum.finish_udp());
    }

    fn send(&self, offload: &PacketOffload, parts: &[IoSlice<'_>]) {
        // Like any network: what cannot be taken now is lost.
        let _ = self.device.send(offload, parts);
    }
}

impl PacketSink for PacketWriter {
    fn packet(&self, packet: &[u8]) {
        self.send(&PacketOffload::default(), &[IoSlice::new(packet)]);
    }
}
