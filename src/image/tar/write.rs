//! Writes headers of a tar stream: ustar, preceded by a PAX extended header for what ustar cannot represent.
//!
//! Sparse files use GNU's format 1.0, which every reader of PAX headers supports. The same members give the
//! same bytes everywhere: nothing depends on the machine or the time.

use super::{BLOCK, TarMember, TarMemberKind};

/// Two zero blocks.
pub(crate) const END_OF_ARCHIVE: [u8; 2 * BLOCK as usize] = [0; 2 * BLOCK as usize];

/// The zeros that fill up the last block of `size` bytes of content.
pub(crate) fn padding(size: u64) -> &'static [u8] {
    &END_OF_ARCHIVE[..(size.wrapping_neg() % BLOCK) as usize]
}

/// The size of `member` in bytes with a single header block.
pub(crate) fn stored_length(member: &TarMember) -> u64 {
    member.size.div_ceil(BLOCK).saturating_add(1).saturating_mul(BLOCK)
}

/// Everything before the content of `member`: extended header, header, and the map of a sparse file. The
/// caller writes `member.size` bytes of content and their [`padding`] next.
pub(crate) fn member_header(member: &TarMember) -> Vec<u8> {
    let map = member.sparse.as_ref().map(|(_, segments)| {
        let numbers = segments.iter().flat_map(|segment| [segment.offset, segment.length]);
        let mut map = format!("{}\n", segments.len()).into_bytes();
        numbers.for_each(|number| map.extend_from_slice(format!("{number}\n").as_bytes()));
        map.extend_from_slice(padding(map.len() as u64));
        map
    });
    let stored = member.size + map.as_ref().map_or(0, Vec::len) as u64;
    let mut block = HeaderBlock::new(member, stored);
    let mut records = block.records(member, stored);
    xattrs(member, &mut records);
    let mut out = Vec::with_capacity(2048);
    if !records.is_empty() {
        let mut extended = HeaderBlock([0; BLOCK as usize]);
        extended.write_common(b"PaxHeaders/member", b'x', 0o644, records.len() as u64);
        extended.write_checksum();
        out.extend_from_slice(&extended.0);
        out.extend_from_slice(&records);
        out.extend_from_slice(padding(records.len() as u64));
    }
    block.write_checksum();
    out.extend_from_slice(&block.0);
    out.extend(map.unwrap_or_default());
    out
}

fn xattrs(member: &TarMember, records: &mut Vec<u8>) {
    for (name, value) in &member.xattrs {
        // A PAX key ends at the first equals sign, so such a name cannot be represented.
        if !name.contains(&b'=') {
            push_record(records, &[b"SCHILY.xattr.", &name[..]].concat(), value);
        }
    }
}

struct HeaderBlock([u8; BLOCK as usize]);

impl HeaderBlock {
    fn new(member: &TarMember, stored: u64) -> Self {
        let kind = match member.kind {
            TarMemberKind::File => b'0',
            TarMemberKind::HardLink => b'1',
            TarMemberKind::Symlink => b'2',
            TarMemberKind::Char => b'3',
            TarMemberKind::Block => b'4',
            TarMemberKind::Dir => b'5',
            TarMemberKind::Fifo => b'6',
            TarMemberKind::Other(kind) => kind,
        };
        let mut block = Self([0; BLOCK as usize]);
        block.write_common(&member.path, kind, member.mode, stored);
        block
    }

    fn write_common(&mut self, path: &[u8], kind: u8, mode: u32, size: u64) {
        self.text(0, 100, path);
        self.number(100, 8, mode.into());
        self.number(108, 8, 0);
        self.number(116, 8, 0);
        self.number(124, 12, size);
        self.number(136, 12, 0);
        self.text(156, 1, &[kind]);
        self.text(257, 8, b"ustar\x0000");
        self.number(329, 8, 0);
        self.number(337, 8, 0);
    }

    /// Fills in the remaining fields and returns PAX records for values that do not fit.
    fn records(&mut self, member: &TarMember, stored: u64) -> Vec<u8> {
        let mut records = Vec::new();
        match &member.sparse {
            Some((real_size, _)) => {
                push_record(&mut records, b"GNU.sparse.major", b"1");
                push_record(&mut records, b"GNU.sparse.minor", b"0");
                push_record(&mut records, b"GNU.sparse.name", &member.path);
                push_record(&mut records, b"GNU.sparse.realsize", real_size.to_string().as_bytes());
                // Readers that do not know the format must not extract this as the file itself.
                self.text(0, 100, b"GNUSparseFile.0/member");
            }
            None if !self.name(&member.path) => push_record(&mut records, b"path", &member.path),
            None => {}
        }
        if !self.text(157, 100, &member.link) || !member.link.is_ascii() {
            push_record(&mut records, b"linkpath", &member.link);
        }
        if !fits(12, stored) {
            push_record(&mut records, b"size", stored.to_string().as_bytes());
        }
        for (at, key, id) in [(108, &b"uid"[..], member.uid), (116, b"gid", member.gid)] {
            if !self.number(at, 8, id.into()) {
                push_record(&mut records, key, id.to_string().as_bytes());
            }
        }
        self.time(member, &mut records);
        if matches!(member.kind, TarMemberKind::Char | TarMemberKind::Block) {
            self.number(329, 8, member.device.0.into());
            self.number(337, 8, member.device.1.into());
        }
        records
    }

    fn time(&mut self, member: &TarMember, records: &mut Vec<u8>) {
        let time = member.mtime;
        let seconds = u64::try_from(time.seconds).unwrap_or_default();
        if self.number(136, 12, seconds) && time.seconds >= 0 && time.nanos == 0 {
            return;
        }
        // Before 1970 the decimal fraction counts backwards: -0.25 is a quarter of a second before the epoch.
        let (sign, whole, nanos) = match (time.seconds < 0, time.nanos) {
            (true, nanos @ 1..) => ("-", (time.seconds + 1).unsigned_abs(), 1_000_000_000 - nanos),
            (negative, nanos) => (if negative { "-" } else { "" }, time.seconds.unsigned_abs(), nanos),
        };
        let text = format!("{sign}{whole}.{nanos:09}");
        push_record(records, b"mtime", text.trim_end_matches('0').trim_end_matches('.').as_bytes());
    }

    /// Stores the name, split into prefix and name if it is long; `false` if it does not fit.
    fn name(&mut self, path: &[u8]) -> bool {
        if !path.is_ascii() || path.len() > 255 {
            return false;
        }
        // `write_common` has stored it already.
        if path.len() <= 100 {
            return true;
        }
        // 155 bytes of prefix and 100 of name; readers put the slash between them back.
        let divides = |at: &usize| *at > 0 && *at <= 155 && path.len() - at - 1 <= 100 && at + 1 < path.len();
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let Some(at) = slashes.rev().find(divides) else { return false };
        self.text(345, 155, &path[..at]);
        self.text(0, 100, &path[at + 1..]);
        true
    }

    /// Stores as much of `text` as fits; `true` if that was all.
    fn text(&mut self, at: usize, length: usize, text: &[u8]) -> bool {
        let copied = text.len().min(length);
        self.0[at..at + length].fill(0);
        self.0[at..at + copied].copy_from_slice(&text[..copied]);
        copied == text.len()
    }

    /// Stores octal digits and a NUL; zero, and `false`, if there are too many digits.
    fn number(&mut self, at: usize, length: usize, value: u64) -> bool {
        let fits = fits(length, value);
        let value = if fits { value } else { 0 };
        self.text(at, length, format!("{value:0width$o}", width = length - 1).as_bytes());
        fits
    }

    fn write_checksum(&mut self) {
        self.0[148..156].fill(b' ');
        let sum: u32 = self.0.iter().map(|byte| u32::from(*byte)).sum();
        self.text(148, 8, format!("{sum:06o}\0 ").as_bytes());
    }
}

/// Whether `value` fits a field of `length` bytes in octal.
fn fits(length: usize, value: u64) -> bool {
    value >> (3 * (length - 1)) == 0
}

/// Appends a PAX record; its length includes the length field itself.
fn push_record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    // Repeated, because counting the digits of the length may add one.
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    out.extend_from_slice(format!("{length} ").as_bytes());
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tar::sparse::SparseSegment;
    use crate::tar::{TarReader, TarTime};

    fn member(path: &[u8]) -> TarMember {
        TarMember {
            kind: TarMemberKind::File,
            path: path.to_vec(),
            link: Vec::new(),
            mode: 0o4755,
            uid: 1000,
            gid: 50,
            mtime: TarTime { seconds: 1_600_000_000, nanos: 0 },
            device: (0, 0),
            xattrs: Vec::new(),
            size: 0,
            sparse: None,
        }
    }

    fn through(member: &TarMember) -> TarMember {
        let mut stream = member_header(member);
        stream.resize(stream.len() + member.size as usize, b'x');
        stream.extend_from_slice(padding(member.size));
        stream.extend_from_slice(&END_OF_ARCHIVE);
        assert_eq!(stream.len() % 512, 0);
        let mut reader = TarReader::new(&stream[..]);
        let read = reader.next_member().unwrap().unwrap();
        assert!(reader.next_member().unwrap().is_none());
        read
    }

    fn same(a: &TarMember, b: &TarMember) {
        let fields = |m: &TarMember| {
            let sparse = m.sparse.clone();
            let text = (m.path.clone(), m.link.clone(), m.xattrs.clone());
            (m.kind, text, m.mode, (m.uid, m.gid), m.mtime, m.device, m.size, sparse)
        };
        assert_eq!(fields(a), fields(b));
    }

    #[test]
    fn what_is_written_is_read() {
        let long = [&b"d/".repeat(60)[..], b"f"].concat();
        for path in [&b"f"[..], "größe".as_bytes(), &long, &[b'n'; 140], &[&long[..], &[b'n'; 200]].concat()]
        {
            let plain = TarMember { size: 700, ..member(path) };
            same(&through(&plain), &plain);
            let link = TarMember { kind: TarMemberKind::Symlink, link: path.to_vec(), ..member(path) };
            same(&through(&link), &link);
        }
        let large = TarMember {
            uid: 4_000_000_000,
            gid: 3_000_000,
            xattrs: vec![(b"user.x".to_vec(), b"a\n=\0".to_vec())],
            ..member(b"f")
        };
        same(&through(&large), &large);
        let device = TarMember { kind: TarMemberKind::Char, device: (1, 3), ..member(b"null") };
        same(&through(&device), &device);
    }

    #[test]
    fn times_have_signs_and_fractions() {
        for (seconds, nanos) in [(0, 1), (-1, 750_000_000), (-13, 0), (-13, 500_000_000), (1 << 40, 120)] {
            let moment = TarMember { mtime: TarTime { seconds, nanos }, ..member(b"f") };
            assert_eq!(through(&moment).mtime, moment.mtime);
        }
    }

    #[test]
    fn sparse_files_keep_their_map() {
        let segments =
            vec![SparseSegment { offset: 4096, length: 600 }, SparseSegment { offset: 1 << 40, length: 0 }];
        let sparse =
            TarMember { size: 600, sparse: Some((1 << 40, segments)), ..member("große".as_bytes()) };
        same(&through(&sparse), &sparse);
    }

    #[test]
    fn a_large_size_is_said_in_full() {
        let large = TarMember { size: 9 << 33, ..member(b"f") };
        let head = member_header(&large);
        let read = TarReader::new(&head[..]).next_member().unwrap().unwrap();
        assert_eq!(read.size, large.size);
    }
}
