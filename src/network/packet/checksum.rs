//! The Internet checksum (RFC 1071): the complement of the one's complement sum of 16-bit words.

use std::net::IpAddr;

/// A running sum. Adds 32-bit words into 64 bits, which cannot overflow below 2³² words: after folding, the
/// result equals the sum of 16-bit words. Byte order does not matter as long as the result is stored in the
/// same order (RFC 1071 §2 (B)), so words are added as they lie in memory.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct InternetChecksum(u64);

impl InternetChecksum {
    /// Adds `bytes`, which must start at an even offset of the data.
    #[must_use]
    pub(crate) fn with(mut self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<4>();
        for word in words {
            self.0 += u64::from(u32::from_ne_bytes(*word));
        }
        let mut last = [0; 4];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        self.0 += u64::from(u32::from_ne_bytes(last));
        self
    }

    /// Adds a 16-bit number.
    #[must_use]
    pub(crate) fn with_u16(self, number: u16) -> Self {
        self.with(&number.to_be_bytes())
    }

    /// The pseudo header of TCP, UDP and ICMPv6 for `length` bytes (RFC 9293 §3.1, RFC 8200 §8.1).
    pub(crate) fn pseudo(source: IpAddr, target: IpAddr, protocol: u8, length: usize) -> Self {
        let sum = match (source, target) {
            (IpAddr::V4(source), IpAddr::V4(target)) => {
                Self::default().with(&source.octets()).with(&target.octets())
            }
            (source, target) => {
                let octets = |address| match address {
                    IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                    IpAddr::V6(address) => address.octets(),
                };
                Self::default().with(&octets(source)).with(&octets(target))
            }
        };
        // Adding the halves of a 32-bit length equals adding two words.
        sum.with(&(length as u32).to_be_bytes()).with_u16(protocol.into())
    }

    /// The sum folded to 16 bits, not complemented: for a packet whose checksum the kernel completes
    /// (`VIRTIO_NET_HDR_F_NEEDS_CSUM`).
    pub(crate) fn folded(self) -> [u8; 2] {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        (sum as u16).to_ne_bytes()
    }

    /// The checksum as stored in a packet. Over data with a correct checksum, this is `[0, 0]`.
    pub(crate) fn finish(self) -> [u8; 2] {
        let [a, b] = self.folded();
        [!a, !b]
    }

    /// The checksum of UDP, where 0 would mean none (RFC 768).
    pub(crate) fn finish_udp(self) -> [u8; 2] {
        match self.finish() {
            [0, 0] => [0xff, 0xff],
            sum => sum,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, word by word.
    fn slow(bytes: &[u8]) -> [u8; 2] {
        let mut sum = 0_u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        (!(sum as u16)).to_be_bytes()
    }

    #[test]
    fn the_example_of_rfc_1071_and_a_known_header() {
        assert_eq!(
            InternetChecksum::default().with(&[0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7]).folded(),
            [0xdd, 0xf2]
        );
        let header =
            [0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0, 0xc7];
        assert_eq!(InternetChecksum::default().with(&header).finish(), [0, 0]);
    }

    proptest! {
        #[test]
        fn is_what_the_definition_gives(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(InternetChecksum::default().with(&bytes).finish(), slow(&bytes));
        }

        #[test]
        fn may_be_made_of_parts(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0_usize..300) {
            let at = at.min(bytes.len()) & !1;
            let (a, b) = bytes.split_at(at);
            prop_assert_eq!(InternetChecksum::default().with(a).with(b).finish(), slow(&bytes));
        }
    }
}
