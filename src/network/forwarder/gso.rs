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
    let mut open = false;
    for one in inbox.iter() {
        if let Some(first) = &first {
            let same = (one.from, one.tos, one.local) == (first.from, first.tos, first.local);
            if open
                && same
                && one.segment == 0
                && one.bytes.len() <= first.bytes.len()
                && !one.bytes.is_empty()
            {
                open = one.bytes.len() == first.bytes.len();
                parts.push(IoSlice::new(one.bytes));
                continue;
            }
            each(first, &parts);
        }
        parts.clear();
        parts.push(IoSlice::new(one.bytes));
        open = one.segment == 0;
        first = Some(one);
    }
    if let Some(first) = &first {
        each(first, &parts);
    }
}
