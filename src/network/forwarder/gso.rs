//! Groups received datagrams that can be forwarded as one packet (generic segmentation offload).

use std::io::IoSlice;

use dhow_sys::datagram::{ReceiveBatch, ReceivedDatagram};

/// Room for the datagrams that one call receives.
const RUN_CAPACITY: usize = 32;

/// Calls `each` for every run of datagrams in `inbox` that came from the same sender and can be forwarded as
/// one: payloads of the same length, except the last.
pub(super) fn for_each_gso_run(
    inbox: &ReceiveBatch,
    mut each: impl FnMut(&ReceivedDatagram<'_>, &[IoSlice<'_>]),
) {
    let mut parts: Vec<IoSlice<'_>> = Vec::with_capacity(RUN_CAPACITY);
    let mut first: Option<ReceivedDatagram<'_>> = None;
    let mut extendable = false;
    for datagram in inbox.iter() {
        if let Some(first) = &first {
            let same = (datagram.from, datagram.tos, datagram.local) == (first.from, first.tos, first.local);
            // An empty datagram would get lost in a packet of several.
            if extendable
                && same
                && datagram.segment == 0
                && datagram.bytes.len() <= first.bytes.len()
                && !datagram.bytes.is_empty()
            {
                // A shorter one can only be the last.
                extendable = datagram.bytes.len() == first.bytes.len();
                parts.push(IoSlice::new(datagram.bytes));
                continue;
            }
            each(first, &parts);
        }
        parts.clear();
        parts.push(IoSlice::new(datagram.bytes));
        extendable = datagram.segment == 0;
        first = Some(datagram);
    }
    if let Some(first) = &first {
        each(first, &parts);
    }
}
