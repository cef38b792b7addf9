//! Sparse files: where a member's stored bytes belong in the file (GNU tar manual, "Storing Sparse Files").

use ::tar::{GnuExtSparseHeader, GnuSparseHeader, Header};

use super::BLOCK;
use dhow_error::{Failure, corrupt};

/// Each segment costs at least two bytes of the archive.
const MAX_SEGMENTS: usize = 1 << 18;

/// A range of stored bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SparseSegment {
    /// From the start of the file, in bytes.
    pub offset: u64,
    /// In bytes.
    pub length: u64,
}

/// Parses the map in a header of GNU's old format and in the blocks after it. Returns the real size and the
/// segments.
pub(super) fn old_gnu(
    header: &Header,
    mut read_block: impl FnMut() -> anyhow::Result<[u8; BLOCK as usize]>,
) -> anyhow::Result<(u64, Vec<SparseSegment>)> {
    let gnu = header.as_gnu().ok_or_else(malformed)?;
    let real_size = gnu.real_size().map_err(|_| malformed())?;
    let mut pairs = Vec::new();
    push_all(&gnu.sparse, &mut pairs)?;
    let mut more = gnu.is_extended();
    while more {
        let block = read_block()?;
        let mut extension = GnuExtSparseHeader::new();
        extension.as_mut_bytes().copy_from_slice(&block);
        push_all(extension.sparse(), &mut pairs)?;
        more = extension.is_extended();
        if pairs.len() > 2 * MAX_SEGMENTS {
            return Err(malformed().into());
        }
    }
    Ok((real_size, from_pairs(&pairs, real_size)?))
}

fn push_all(entries: &[GnuSparseHeader], pairs: &mut Vec<u64>) -> Result<(), Failure> {
    for entry in entries.iter().take_while(|entry| !entry.is_empty()) {
        pairs.push(entry.offset().map_err(|_| malformed())?);
        pairs.push(entry.length().map_err(|_| malformed())?);
    }
    Ok(())
}

/// Parses the map of format 1.0: decimal numbers, one per line, starting with the number of segments.
pub(super) fn read_map(
    mut read_block: impl FnMut() -> anyhow::Result<[u8; BLOCK as usize]>,
) -> anyhow::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    let mut line = String::new();
    let mut expected = None;
    loop {
        for byte in read_block()? {
            if byte != b'\n' {
                line.push(char::from(byte));
                // A u64 has 20 digits at most.
                if line.len() > 20 {
                    return Err(malformed().into());
                }
                continue;
            }
            let number: u64 = line.parse().map_err(|_| malformed())?;
            line.clear();
            match expected {
                None => expected = Some(segments(number)?.saturating_mul(2)),
                Some(_) => numbers.push(number),
            }
            if expected == Some(numbers.len()) {
                return Ok(numbers);
            }
        }
    }
}

fn segments(number: u64) -> Result<usize, Failure> {
    usize::try_from(number).ok().filter(|number| *number <= MAX_SEGMENTS).ok_or_else(malformed)
}

/// Converts alternating offsets and lengths, which must be ascending and inside the file.
pub(super) fn from_pairs(pairs: &[u64], real_size: u64) -> Result<Vec<SparseSegment>, Failure> {
    let mut segments = Vec::new();
    let mut end = 0;
    for pair in pairs.chunks(2) {
        let &[offset, length] = pair else { return Err(malformed()) };
        let next = offset.checked_add(length).ok_or_else(malformed)?;
        if offset < end || next > real_size {
            return Err(malformed());
        }
        end = next;
        segments.push(SparseSegment { offset, length });
    }
    Ok(segments)
}

/// Checks that the segments add up to the stored size.
pub(super) fn check_total(segments: &[SparseSegment], stored: u64) -> Result<(), Failure> {
    let total = segments.iter().try_fold(0u64, |sum, segment| sum.checked_add(segment.length));
    if total == Some(stored) { Ok(()) } else { Err(malformed()) }
}

fn malformed() -> Failure {
    corrupt("a sparse file's map is malformed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_must_be_in_order_and_inside() {
        assert_eq!(from_pairs(&[0, 5, 10, 5], 20).unwrap().len(), 2);
        for bad in [&[0, 5, 4, 5][..], &[0, 21], &[u64::MAX, 2], &[1]] {
            assert!(from_pairs(bad, 20).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn reads_a_map_before_content() {
        let mut block = [0; 512];
        block[..11].copy_from_slice(b"2\n0\n5\n10\n5\n");
        assert_eq!(read_map(|| Ok(block)).unwrap(), [0, 5, 10, 5]);
        let junk = [b'1'; 512];
        assert!(read_map(|| Ok(junk)).is_err());
    }
}
