//! Random numbers of the kernel's, asked for by the system call: a library may keep `/dev/urandom` open for them, and a
//! process that was forked and closed what it inherited then reads from whatever has that descriptor's number.

use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

/// Random bytes, getrandom(2). It waits only while the machine starts.
pub fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        filled += rustix::io::retry_on_intr(|| getrandom(&mut *rest, GetRandomFlags::empty()))?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_are_filled_and_never_the_same() {
        assert_ne!(bytes::<32>().unwrap(), bytes::<32>().unwrap());
        // More than the kernel gives at once without interruption (256).
        let many = bytes::<4096>().unwrap();
        assert!(many.chunks(64).all(|chunk| chunk.iter().any(|byte| *byte != 0)));
    }
}
