//! Capabilities of the calling thread: bounding, process and ambient sets, and `no_new_privs`. See capabilities(7).
//!
//! Sets are bit masks, bit *n* being capability number *n* of `linux/capability.h`.

use std::io;

use rustix::io::Errno;
use rustix::thread::{self, CapabilitySet, CapabilitySets};

/// Removes from the bounding set every capability that is not in `keep`: one prctl(2) for each, none for the others.
///
/// Stops at the first number the kernel does not know, so capabilities newer than this program are dropped too. The
/// caller needs CAP_SETPCAP in its user namespace (`EPERM` otherwise).
pub fn limit_bounding(keep: u64) -> io::Result<()> {
    for bit in (0..64).map(|n| 1_u64 << n).filter(|bit| keep & bit == 0) {
        match thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(bit)) {
            Ok(()) => {}
            Err(Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The bounding set, asked capability by capability until the kernel knows no more.
pub fn bounding() -> io::Result<u64> {
    let mut set = 0;
    for bit in (0..64).map(|n| 1_u64 << n) {
        match thread::capability_is_in_bounding_set(CapabilitySet::from_bits_retain(bit)) {
            Ok(true) => set |= bit,
            Ok(false) => {}
            Err(Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(set)
}

/// Every capability that the running kernel knows.
pub fn supported() -> u64 {
    caps::runtime::thread_all_supported().iter().fold(0, |set, capability| set | capability.bitmask())
}

/// Makes `set` the permitted and the effective set and empties the inheritable one, and with it the ambient one (the
/// kernel keeps ambient within inheritable). One capset(2); bits the kernel does not know are ignored by it.
pub fn set_process(set: u64) -> io::Result<()> {
    let set = CapabilitySet::from_bits_retain(set);
    let sets = CapabilitySets { effective: set, permitted: set, inheritable: CapabilitySet::empty() };
    Ok(thread::set_capabilities(None, sets)?)
}

/// The permitted set of the calling thread.
pub fn permitted() -> io::Result<u64> {
    Ok(thread::capabilities(None)?.permitted.bits())
}

/// Sets `no_new_privs`: from here on no execve(2) grants what the thread has not already got. It cannot be undone.
pub fn no_new_privs() -> io::Result<()> {
    Ok(thread::set_no_new_privs(true)?)
}
