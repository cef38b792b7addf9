//! Random numbers from getrandom(2). Not from a library: it may hold `/dev/urandom` open, and a forked process that
//! closed all inherited descriptors would then read from whatever file has that number.

use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

/// Random bytes. Blocks only while the machine boots.
pub fn random_bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        // Requests above 256 bytes can be interrupted and return less.
        filled += rustix::io::retry_on_intr(|| getrandom(&mut *rest, GetRandomFlags::empty()))?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_are_filled_and_never_the_same() {
        assert_ne!(random_bytes::<32>().unwrap(), random_bytes::<32>().unwrap());
        // More than the kernel returns at once without interruption (256).
        let many = random_bytes::<4096>().unwrap();
        assert!(many.chunks(64).all(|chunk| chunk.iter().any(|byte| *byte != 0)));
    }
}
