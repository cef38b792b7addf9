//! Capability sets of the calling thread, and `no_new_privs`: capabilities(7).
//!
//! Sets are bit masks; bit *n* is capability number *n* of `linux/capability.h`.

use std::io;

use rustix::io::Errno;
use rustix::thread::{self, CapabilitySet, CapabilitySets};

/// Removes every capability that is not in `keep` from the bounding set, with one prctl(2) each.
///
/// Stops at the first number that the kernel does not know, so capabilities newer than dhow are removed too. The
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

/// Every capability that the running kernel knows.
pub fn supported() -> u64 {
    caps::runtime::thread_all_supported().iter().fold(0, |set, capability| set | capability.bitmask())
}

/// Sets the permitted and effective sets to `set` and clears the inheritable one, and thereby the ambient
/// one, which the kernel keeps within it. One capset(2), which ignores unknown bits.
pub fn set_process(set: u64) -> io::Result<()> {
    let set = CapabilitySet::from_bits_retain(set);
    let sets = CapabilitySets { effective: set, permitted: set, inheritable: CapabilitySet::empty() };
    Ok(thread::set_capabilities(None, sets)?)
}

pub fn permitted() -> io::Result<u64> {
    Ok(thread::capabilities(None)?.permitted.bits())
}

/// Sets `no_new_privs`: from now on, execve(2) grants no privilege that the thread does not have.
/// Irrevocable.
pub fn no_new_privs() -> io::Result<()> {
    Ok(thread::set_no_new_privs(true)?)
}
