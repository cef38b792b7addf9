//! An uncompressed archive in a regular file, indexed by offset, so that members can be read in any order and
//! only once.

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::os::unix::fs::FileExt as _;

use anyhow::Result;

use super::members::{ArchiveMembers, MemberContent, link_target, normalize_path};
use crate::tar::{TarMember, TarMemberKind, TarReader};
use dhow_error::{corrupt, unsupported};

/// Enough for a header, its extensions and the next header after a small member.
const BUFFER: usize = 8 << 10;

/// Reads the headers of the archive that starts at offset `start`.
pub(crate) fn index_members(file: File, start: u64) -> Result<ArchiveMembers> {
    let length = file.metadata()?.len();
    // pread(2) is used on both, so sharing the file offset does no harm.
    let mut members = ArchiveMembers::of_file(file.try_clone()?);
    let mut archive = TarReader::new(HeaderReader { file, at: start, buffer: Vec::new(), used: 0 });
    while let Some(member) = archive.next_member()? {
        let offset = archive.input().position();
        if length.saturating_sub(offset) < member.size {
            return Err(corrupt("the archive is truncated").into());
        }
        if let Some(item) = member_content(&member, offset) {
            members.add(normalize_path(&member.path), item)?;
        }
        // Moves the position; contents beyond the buffer are skipped without reading them.
        archive.consume_content(usize::try_from(member.size)?);
    }
    Ok(members)
}

fn member_content(member: &TarMember, offset: u64) -> Option<MemberContent> {
    match member.kind {
        TarMemberKind::File if member.sparse.is_some() => {
            Some(MemberContent::Unusable(unsupported("the archive stores this member as a sparse file")))
        }
        TarMemberKind::File => Some(MemberContent::InArchive { offset, size: member.size }),
        TarMemberKind::HardLink | TarMemberKind::Symlink => Some(MemberContent::Link(link_target(member))),
        _ => None,
    }
}

/// Reads headers with pread(2): consuming more than the buffer holds moves on without reading.
struct HeaderReader {
    file: File,
    /// File offset of the end of the buffer.
    at: u64,
    buffer: Vec<u8>,
    used: usize,
}

impl HeaderReader {
    fn position(&self) -> u64 {
        self.at - (self.buffer.len() - self.used) as u64
    }
}

impl BufRead for HeaderReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.used == self.buffer.len() {
            self.used = 0;
            self.buffer.resize(BUFFER, 0);
            let amount = self.file.read_at(&mut self.buffer, self.at);
            self.buffer.truncate(*amount.as_ref().unwrap_or(&0));
            self.at += amount? as u64;
        }
        Ok(&self.buffer[self.used..])
    }

    fn consume(&mut self, amount: usize) {
        let buffered = amount.min(self.buffer.len() - self.used);
        self.used += buffered;
        self.at = self.at.saturating_add((amount - buffered) as u64);
    }
}

impl Read for HeaderReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        crate::read_buffered(self, buffer)
    }
}
