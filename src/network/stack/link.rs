//! The smoltcp device of one connection.

use smoltcp::phy::{Checksum, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

use crate::forwarder::PacketSink;

/// Holds at most one received packet, and sends to `out`.
pub(super) struct ConnLink<'a> {
    pub(super) packet: Option<&'a [u8]>,
    pub(super) out: &'a dyn PacketSink,
    /// The longest packet, in bytes.
    pub(super) mtu: usize,
}

pub(super) struct ReceivedPacket<'a>(&'a [u8]);

pub(super) struct TransmitSlot<'a>(&'a dyn PacketSink);

impl Device for ConnLink<'_> {
    type RxToken<'b>
        = ReceivedPacket<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = TransmitSlot<'b>
    where
        Self: 'b;

    fn receive(&mut self, _now: Instant) -> Option<(ReceivedPacket<'_>, TransmitSlot<'_>)> {
        Some((ReceivedPacket(self.packet.take()?), TransmitSlot(self.out)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<TransmitSlot<'_>> {
        Some(TransmitSlot(self.out))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        // The forwarder has verified the checksums of received packets.
        capabilities.checksum.ipv4 = Checksum::Tx;
        capabilities.checksum.tcp = Checksum::Tx;
        capabilities
    }
}

impl RxToken for ReceivedPacket<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

impl TxToken for TransmitSlot<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut packet = vec![0; length];
        let result = write(&mut packet);
        self.0.packet(&packet);
        result
    }
}
