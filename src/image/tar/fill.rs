//! Writes a member's content to its file.

use std::fs::File;
use std::io::{BufRead, Write as _};
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, Result};

use super::sparse::SparseSegment;
use super::{TarMember, TarReader};
use dhow_error::corrupt;

/// Writes the content of `member`, the one read last, to the new file `file`; holes are preserved.
pub fn write_content<R: BufRead>(
    archive: &mut TarReader<R>,
    member: &TarMember,
    file: &mut File,
) -> Result<()> {
    match &member.sparse {
        Some((size, segments)) => fill_sparse(archive, file, *size, segments),
        None => fill_plain(archive, file),
    }
}

/// Writes content without holes.
pub(crate) fn fill_plain<R: BufRead>(archive: &mut TarReader<R>, file: &mut File) -> Result<()> {
    loop {
        let part = archive.content()?;
        if part.is_empty() {
            return Ok(());
        }
        file.write_all(part).context("cannot write the content")?;
        let amount = part.len();
        archive.consume_content(amount);
    }
}

/// Writes the stored segments to their places.
pub(crate) fn fill_sparse<R: BufRead>(
    archive: &mut TarReader<R>,
    file: &File,
    size: u64,
    segments: &[SparseSegment],
) -> Result<()> {
    file.set_len(size).context("cannot make a sparse file")?;
    for segment in segments {
        let (mut at, end) = (segment.offset, segment.offset + segment.length);
        while at < end {
            let part = archive.content()?;
            let amount = part.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
            if amount == 0 {
                return Err(corrupt("a sparse file is shorter than it says").into());
            }
            file.write_all_at(&part[..amount], at).context("cannot write the content")?;
            archive.consume_content(amount);
            at += amount as u64;
        }
    }
    Ok(())
}
