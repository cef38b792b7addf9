//! An archive read in one pass: layers are unpacked as they pass, before it is known whether an image needs
//! them.

use std::io::{self, BufRead, Read};

use anyhow::Result;

use super::layers::ArchiveLayers;
use super::members::{
    ArchiveMembers, MemberContent, TEXT_LIMIT, digest_in_name, link_target, normalize_path,
};
use crate::tar::{TarMember, TarMemberKind, TarReader};
use crate::unpack::decode::CompressionFormat;
use dhow_error::{Failure, corrupt, unsupported};

/// Smaller members are kept in memory whatever they are; in bytes.
const MAX_SMALL_MEMBER: u64 = 64 << 10;
/// Maximum total of members kept in memory, in bytes.
const MAX_KEPT: u64 = 64 << 20;
/// Bytes read to detect a member's type: the length of a tar header.
const PREFIX: usize = 512;

/// Reads the archive; its layers go into the store, leased by `layers`.
pub(super) fn scan_stream(
    input: impl BufRead + Send,
    layers: &mut ArchiveLayers<'_>,
) -> Result<ArchiveMembers> {
    let mut scan = StreamScan { archive: TarReader::new(input), buffered: 0, layers };
    let mut members = ArchiveMembers::default();
    while let Some(member) = scan.archive.next_member()? {
        let name = normalize_path(&member.path);
        match member.kind {
            TarMemberKind::File => {
                let item = scan.file(&name, &member)?;
                members.add(name, item)?;
            }
            TarMemberKind::HardLink | TarMemberKind::Symlink => {
                members.add(name, MemberContent::Link(link_target(&member)))?
            }
            _ => {}
        }
    }
    drain(scan.archive.into_input())?;
    Ok(members)
}

/// Reads to the end of the input, so that a writer on the pipe gets no EPIPE and damage at the end of a
/// compressed stream is noticed.
fn drain(mut input: impl BufRead) -> io::Result<()> {
    loop {
        let amount = input.fill_buf()?.len();
        if amount == 0 {
            return Ok(());
        }
        input.consume(amount);
    }
}

struct StreamScan<'a, 'l, R> {
    archive: TarReader<R>,
    buffered: u64,
    layers: &'a mut ArchiveLayers<'l>,
}

impl<R: BufRead + Send> StreamScan<'_, '_, R> {
    fn file(&mut self, name: &[u8], member: &TarMember) -> Result<MemberContent> {
        if member.sparse.is_some() {
            return Ok(MemberContent::Unusable(unsupported(
                "the archive stores this member as a sparse file",
            )));
        }
        let mut prefix = Vec::new();
        let mut content = MemberReader(&mut self.archive);
        content.by_ref().take(PREFIX as u64).read_to_end(&mut prefix)?;
        let fits = self.buffered.saturating_add(member.size) <= MAX_KEPT;
        if fits && (member.size <= MAX_SMALL_MEMBER || (is_json(&prefix) && member.size <= TEXT_LIMIT)) {
            self.buffered = self.buffered.saturating_add(member.size);
            content.read_to_end(&mut prefix)?;
            return Ok(MemberContent::Text(prefix));
        }
        let compressed = CompressionFormat::of(&prefix) != CompressionFormat::Plain;
        if !compressed && !is_tar(&prefix) {
            return Ok(MemberContent::Unusable(corrupt("it is neither text nor a layer")));
        }
        // A compressed layer's name is the digest of the compressed bytes, not the diff ID.
        let claimed = digest_in_name(name).filter(|_| !compressed);
        if let Some(digest) = claimed
            && self.layers.lease_present(&digest)?
        {
            return Ok(MemberContent::Layer(digest));
        }
        let source = prefix.as_slice().chain(content);
        match self.layers.unpack_unknown(source, name, member.size) {
            Ok(digest) => Ok(MemberContent::Layer(digest)),
            // Not an error yet: no image may need it.
            Err(error) => Ok(MemberContent::Unusable(Failure::from_chain(&error))),
        }
    }
}

/// Reads the current member's content.
struct MemberReader<'a, R>(&'a mut TarReader<R>);

impl<R: BufRead> Read for MemberReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.0.content()?;
        let amount = available.len().min(buffer.len());
        buffer[..amount].copy_from_slice(&available[..amount]);
        self.0.consume_content(amount);
        Ok(amount)
    }
}

fn is_json(start: &[u8]) -> bool {
    matches!(start.trim_ascii_start().first(), Some(b'{' | b'['))
}

/// Whether a tar archive starts here: by the header's checksum, since old headers have no magic, or by an
/// end-of-archive block.
fn is_tar(start: &[u8]) -> bool {
    let sum: u32 = start
        .iter()
        .enumerate()
        .map(|(at, b)| if (148..156).contains(&at) { 32 } else { u32::from(*b) })
        .sum();
    let stated = start.get(148..156).and_then(|field| {
        let text = std::str::from_utf8(field).ok()?;
        u32::from_str_radix(text.trim_matches(['\0', ' ']), 8).ok()
    });
    start.len() == PREFIX && (stated == Some(sum) || start.iter().all(|b| *b == 0))
}
