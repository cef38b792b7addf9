//! Reads tar streams from untrusted input: members with everything that PAX and GNU extension headers
//! contain.
//!
//! Header blocks are decoded by the `tar` crate. Its iterator is not used, because it cannot read xattr
//! values that contain a newline, and because tar-split needs every byte that is not content. Ambiguous
//! archives are read like Go's `archive/tar`, which the other engines use.

pub mod fill;
pub mod name;
pub(crate) mod pax;
pub(crate) mod sparse;
pub(crate) mod write;

use std::io::{self, BufRead};

use ::tar::{EntryType, Header};

use dhow_error::{Failure, corrupt};
use dhow_model::layer::device_value;
use pax::PaxHeader;
use rustix::fs::{Timespec, Timestamps};
use sparse::SparseSegment;

/// In bytes.
pub const BLOCK: u64 = 512;
/// In bytes; the same limit as in Go's reader.
const MAX_EXTENSION: u64 = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TarMemberKind {
    File,
    Dir,
    Symlink,
    /// A hard link to an earlier member.
    HardLink,
    Char,
    Block,
    Fifo,
    /// Any other type, with its type byte.
    Other(u8),
}

/// A timestamp: seconds since 1970, possibly negative, and nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TarTime {
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanos: u32,
}

impl TarTime {
    /// For futimens(2) and utimensat(2), as access and modification time.
    pub(crate) fn timestamps(self) -> Timestamps {
        let time = Timespec { tv_sec: self.seconds, tv_nsec: self.nanos.into() };
        Timestamps { last_access: time, last_modification: time }
    }
}

/// One member of an archive. Names are uninterpreted bytes.
#[derive(Clone, Debug)]
pub struct TarMember {
    pub kind: TarMemberKind,
    pub path: Vec<u8>,
    /// Target of a symbolic or hard link.
    pub link: Vec<u8>,
    /// Permission bits, including setuid, setgid and sticky.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: TarTime,
    /// Major and minor number.
    pub device: (u32, u32),
    /// Names and values.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Bytes of content in the stream.
    pub size: u64,
    /// For a sparse file: its real size, and where the stored bytes belong.
    pub sparse: Option<(u64, Vec<SparseSegment>)>,
}

impl TarMember {
    /// The member for another name of the file `first`, without content.
    pub(crate) fn into_hard_link(self, first: &[u8]) -> Self {
        Self {
            kind: TarMemberKind::HardLink,
            link: first.to_vec(),
            size: 0,
            sparse: None,
            xattrs: Vec::new(),
            ..self
        }
    }

    /// The value of [`DEVICE_XATTR`](dhow_model::layer::DEVICE_XATTR) on the file that stands for this device.
    pub(crate) fn device_value(&self) -> String {
        device_value(self.kind == TarMemberKind::Block, self.device)
    }
}

/// Reads members one by one. Content that the caller does not consume is skipped by the next call.
pub struct TarReader<R> {
    input: R,
    /// Remaining content of the current member.
    content: u64,
    /// Zeros after the content, up to the next block.
    padding: u64,
}

impl<R: BufRead> TarReader<R> {
    /// A reader of `input`, positioned at the start of an archive.
    pub fn new(input: R) -> Self {
        Self { input, content: 0, padding: 0 }
    }

    pub fn input(&mut self) -> &mut R {
        &mut self.input
    }

    /// The underlying stream; after the end was reached, positioned at what follows the archive.
    pub(crate) fn into_input(self) -> R {
        self.input
    }

    /// The next part of the current member's content; empty at its end.
    pub fn content(&mut self) -> io::Result<&[u8]> {
        if self.content == 0 {
            return Ok(&[]);
        }
        let available = self.input.fill_buf()?;
        if available.is_empty() {
            return Err(truncated());
        }
        let limit = usize::try_from(self.content).unwrap_or(usize::MAX);
        Ok(&available[..available.len().min(limit)])
    }

    /// Consumes `amount` bytes of what [`TarReader::content`] returned.
    pub(crate) fn consume_content(&mut self, amount: usize) {
        self.input.consume(amount);
        self.content = self.content.saturating_sub(amount as u64);
    }

    /// The next member; `None` at the end of the archive: two zero blocks, or the end of the stream.
    pub fn next_member(&mut self) -> anyhow::Result<Option<TarMember>> {
        let mut extensions = TarExtensions::default();
        loop {
            // Skips content that the caller left unread, and padding.
            self.skip_rest()?;
            let Some(header) = self.read_header()? else {
                return if extensions.is_empty() { Ok(None) } else { Err(truncated().into()) };
            };
            match header.entry_type() {
                EntryType::XHeader => extensions.pax = PaxHeader::parse(&self.read_extension(&header)?)?,
                // Global headers describe the whole archive (git writes one); other engines ignore them.
                EntryType::XGlobalHeader => drop(self.read_extension(&header)?),
                EntryType::GNULongName => extensions.name = Some(c_string(self.read_extension(&header)?)),
                EntryType::GNULongLink => extensions.link = Some(c_string(self.read_extension(&header)?)),
                _ => return self.member(&header, extensions).map(Some),
            }
        }
    }

    fn member(&mut self, header: &Header, extensions: TarExtensions) -> anyhow::Result<TarMember> {
        let mut member = parse_header(header, extensions.pax.size)?;
        self.begin_content(member.size);
        extensions.apply(&mut member);
        if header.entry_type() == EntryType::GNUSparse {
            member.sparse = Some(sparse::old_gnu(header, || self.read_block())?);
        } else if member.kind == TarMemberKind::File && extensions.pax.is_sparse() {
            let mut read = 0;
            member.sparse = extensions.pax.sparse_map(|| {
                read += BLOCK;
                self.read_content_block()
            })?;
            // In format 1.0 the map is stored at the start of the content.
            member.size = member.size.saturating_sub(read);
        }
        if let Some((_, segments)) = &member.sparse {
            sparse::check_total(segments, member.size)?;
        }
        Ok(member)
    }

    fn begin_content(&mut self, size: u64) {
        self.content = size;
        self.padding = size.wrapping_neg() % BLOCK;
    }

    /// The next header block; `None` at the end of the archive.
    fn read_header(&mut self) -> anyhow::Result<Option<Header>> {
        let mut block = [0; BLOCK as usize];
        if !self.read_block_or_end(&mut block)? {
            return Ok(None);
        }
        if is_zero(&block) {
            if self.read_block_or_end(&mut block)? && !is_zero(&block) {
                return Err(corrupt("a block of zeros stands in the middle of the archive").into());
            }
            return Ok(None);
        }
        let header = Header::from_byte_slice(&block).clone();
        check_sum(&header)?;
        Ok(Some(header))
    }

    fn read_block_or_end(&mut self, block: &mut [u8; BLOCK as usize]) -> anyhow::Result<bool> {
        if self.input.fill_buf()?.is_empty() {
            return Ok(false);
        }
        self.input.read_exact(block).map_err(name_truncation)?;
        Ok(true)
    }

    fn read_block(&mut self) -> anyhow::Result<[u8; BLOCK as usize]> {
        let mut block = [0; BLOCK as usize];
        self.input.read_exact(&mut block).map_err(name_truncation)?;
        Ok(block)
    }

    fn read_content_block(&mut self) -> anyhow::Result<[u8; BLOCK as usize]> {
        self.content = self
            .content
            .checked_sub(BLOCK)
            .ok_or_else(|| corrupt("a sparse file's map is longer than the file"))?;
        self.read_block()
    }

    fn read_extension(&mut self, header: &Header) -> anyhow::Result<Vec<u8>> {
        let size = size_of(header)?;
        if size > MAX_EXTENSION {
            return Err(corrupt(format!(
                "an extension header has {size} bytes, more than the {MAX_EXTENSION} allowed"
            ))
            .into());
        }
        let mut data = vec![0; size as usize];
        self.input.read_exact(&mut data).map_err(name_truncation)?;
        self.begin_content(size);
        // The content has been read above; only its padding is left to skip.
        self.content = 0;
        Ok(data)
    }

    fn skip_rest(&mut self) -> anyhow::Result<()> {
        self.content = self.content.checked_add(self.padding).ok_or_else(truncated)?;
        self.padding = 0;
        while self.content > 0 {
            let amount = self.content()?.len();
            self.consume_content(amount);
        }
        Ok(())
    }
}

/// The extension headers before a member.
#[derive(Default)]
struct TarExtensions {
    pax: PaxHeader,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl TarExtensions {
    fn is_empty(&self) -> bool {
        self.name.is_none() && self.link.is_none() && self.pax.is_empty()
    }

    /// GNU names take precedence over PAX names, and those over the header's. In the pre-POSIX format a
    /// trailing slash marks a directory.
    fn apply(&self, member: &mut TarMember) {
        self.pax.apply(member);
        if let Some(name) = &self.name {
            member.path.clone_from(name);
        }
        if let Some(link) = &self.link {
            member.link.clone_from(link);
        }
        if member.kind == TarMemberKind::Other(0) {
            member.kind = if member.path.ends_with(b"/") { TarMemberKind::Dir } else { TarMemberKind::File };
        }
    }
}

fn parse_header(header: &Header, size: Option<u64>) -> anyhow::Result<TarMember> {
    let old = header.as_old();
    let kind = match old.linkflag[0] {
        b'0' | b'7' | b'S' => TarMemberKind::File,
        b'5' => TarMemberKind::Dir,
        b'2' => TarMemberKind::Symlink,
        b'1' => TarMemberKind::HardLink,
        b'3' => TarMemberKind::Char,
        b'4' => TarMemberKind::Block,
        b'6' => TarMemberKind::Fifo,
        other => TarMemberKind::Other(other),
    };
    // Links and directories have no content whatever their size field says, as in Go's reader.
    let has_content = matches!(kind, TarMemberKind::File | TarMemberKind::Other(_));
    let size = if has_content { size.map_or_else(|| size_of(header), Ok)? } else { 0 };
    let device = |number: io::Result<Option<u32>>| number.ok().flatten().unwrap_or(0);
    Ok(TarMember {
        kind,
        path: header.path_bytes().into_owned(),
        link: header.link_name_bytes().map(|link| link.into_owned()).unwrap_or_default(),
        mode: (number(&old.mode)? & 0o7777) as u32,
        uid: clamp_id(number(&old.uid)?.cast_unsigned()),
        gid: clamp_id(number(&old.gid)?.cast_unsigned()),
        mtime: TarTime { seconds: number(&old.mtime)?, nanos: 0 },
        device: (device(header.device_major()), device(header.device_minor())),
        xattrs: Vec::new(),
        size,
        sparse: None,
    })
}

fn size_of(header: &Header) -> Result<u64, Failure> {
    u64::try_from(number(&header.as_old().size)?).map_err(|_| corrupt("a member's size is negative"))
}

/// Parses a numeric field: octal digits (none means zero) or, if the top bit is set, a two's complement
/// number, GNU's extension for larger values.
fn number(field: &[u8]) -> Result<i64, Failure> {
    let malformed = || corrupt("a number in a header is malformed");
    let first = field.first().copied().unwrap_or(0);
    if first & 0x80 != 0 {
        // The top bit is the marker; the next one is the sign.
        let start = if first & 0x40 != 0 { i128::from(first) - 0x100 } else { i128::from(first & 0x7f) };
        let value = field[1..].iter().fold(start, |value, byte| value << 8 | i128::from(*byte));
        return i64::try_from(value).map_err(|_| malformed());
    }
    let digits = field.trim_ascii_start();
    let end = digits.iter().position(|b| matches!(b, 0 | b' ')).unwrap_or(digits.len());
    let text = std::str::from_utf8(&digits[..end]).map_err(|_| malformed())?;
    if text.is_empty() { Ok(0) } else { i64::from_str_radix(text, 8).map_err(|_| malformed()) }
}

/// An id that no system supports becomes nobody (65534).
fn clamp_id(number: u64) -> u32 {
    u32::try_from(number).ok().filter(|id| *id != u32::MAX).unwrap_or(65534)
}

/// Verifies the checksum: the sum of all bytes, with spaces in its own field. Some old writers summed signed
/// bytes.
fn check_sum(header: &Header) -> anyhow::Result<()> {
    let stated = number(&header.as_old().cksum).ok();
    let bytes = header.as_bytes();
    let counted = || bytes.iter().enumerate().map(|(at, b)| if (148..156).contains(&at) { b' ' } else { *b });
    let unsigned: i64 = counted().map(i64::from).sum();
    let signed: i64 = counted().map(|b| i64::from(b.cast_signed())).sum();
    if stated == Some(unsigned) || stated == Some(signed) {
        return Ok(());
    }
    Err(corrupt("a header's checksum is wrong; this is not a tar archive, or it is damaged").into())
}

fn is_zero(block: &[u8; BLOCK as usize]) -> bool {
    block.iter().all(|b| *b == 0)
}

fn c_string(mut text: Vec<u8>) -> Vec<u8> {
    text.truncate(text.iter().position(|b| *b == 0).unwrap_or(text.len()));
    text
}

fn truncated() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, corrupt("the archive is truncated"))
}

fn name_truncation(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::UnexpectedEof
        && error.get_ref().is_none_or(|inner| !inner.is::<Failure>())
    {
        return truncated();
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(archive: &[u8]) -> anyhow::Result<Vec<TarMember>> {
        let mut reader = TarReader::new(archive);
        let mut members = Vec::new();
        while let Some(member) = reader.next_member()? {
            members.push(member);
        }
        Ok(members)
    }

    fn archive() -> Vec<u8> {
        let mut builder = ::tar::Builder::new(Vec::new());
        let capability: &[u8] = b"\x01\0\0\x02\n\x20=\n\0";
        builder
            .append_pax_extensions([
                ("SCHILY.xattr.security.capability", capability),
                ("mtime", b"-12.5".as_slice()),
                ("uid", b"4000000000"),
            ])
            .unwrap();
        let mut header = Header::new_ustar();
        header.set_size(3);
        header.set_mode(0o4755);
        builder.append_data(&mut header, "a", &b"abc"[..]).unwrap();
        let mut header = Header::new_gnu();
        header.set_size(0);
        builder.append_data(&mut header, "n/".repeat(200), &b""[..]).unwrap();
        builder.into_inner().unwrap()
    }

    #[test]
    fn reads_extensions() {
        let members = all(&archive()).unwrap();
        assert_eq!(members.len(), 2);
        let first = &members[0];
        assert_eq!((first.path.as_slice(), first.mode, first.uid), (&b"a"[..], 0o4755, 4_000_000_000));
        assert_eq!(first.mtime, TarTime { seconds: -13, nanos: 500_000_000 });
        assert_eq!(first.xattrs, [(b"security.capability".to_vec(), b"\x01\0\0\x02\n\x20=\n\0".to_vec())]);
        assert_eq!(members[1].path, "n/".repeat(200).into_bytes());
    }

    #[test]
    fn every_truncation_and_flip_is_an_error_or_harmless() {
        let archive = archive();
        for length in (0..archive.len() - 1024).filter(|length| length % 512 != 0) {
            assert!(all(&archive[..length]).is_err(), "{length}");
        }
        for at in 0..archive.len() {
            let mut flipped = archive.clone();
            flipped[at] ^= 0x41;
            // Whatever the result, parsing must not panic.
            let _ = all(&flipped);
        }
    }

    #[test]
    fn a_lying_size_is_a_truncation() {
        let mut header = Header::new_gnu();
        header.set_path("x").unwrap();
        header.set_size(1 << 60);
        header.set_cksum();
        let mut reader = TarReader::new(&header.as_bytes()[..]);
        reader.next_member().unwrap();
        assert!(reader.next_member().unwrap_err().to_string().contains("truncated"));
    }
}
