//! PAX extended headers: `LENGTH KEY=VALUE\n` records with arbitrary bytes as values (POSIX pax(1), "pax
//! Header Block").

use super::sparse::{self, SparseSegment};
use super::{BLOCK, TarMember, TarTime, clamp_id};
use dhow_error::{Failure, corrupt};

const XATTR: &[u8] = b"SCHILY.xattr.";
/// Percent-encoded name and base64 value; libarchive writes this form in addition to the other.
const LIBARCHIVE_XATTR: &[u8] = b"LIBARCHIVE.xattr.";

/// The records of one extended header.
#[derive(Clone, Debug, Default)]
pub(crate) struct PaxHeader {
    any: bool,
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    /// Size of the content; overrides the header's.
    pub(super) size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<TarTime>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    sparse: SparseKeys,
}

#[derive(Clone, Debug, Default)]
struct SparseKeys {
    major: Option<u64>,
    minor: Option<u64>,
    name: Option<Vec<u8>>,
    real_size: Option<u64>,
    map: Option<Vec<u64>>,
}

impl PaxHeader {
    /// Parses the content of an extended header.
    pub(crate) fn parse(mut data: &[u8]) -> Result<PaxHeader, Failure> {
        let mut pax = PaxHeader { any: true, ..PaxHeader::default() };
        // Some writers pad with zeros.
        while data.first().is_some_and(|b| *b != 0) {
            let (key, value, rest) = record(data).ok_or_else(malformed)?;
            pax.set(key, value)?;
            data = rest;
        }
        Ok(pax)
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.any
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        if let Some(name) = key.strip_prefix(XATTR) {
            self.xattrs.push((name.to_vec(), value.to_vec()));
            return Ok(());
        }
        // libarchive writes each xattr in both forms; SCHILY's is enough.
        if key.starts_with(LIBARCHIVE_XATTR) {
            return Ok(());
        }
        match key {
            b"path" => self.path = name(value)?,
            b"linkpath" => self.link = name(value)?,
            b"size" => self.size = Some(number(value)?),
            b"uid" => self.uid = Some(number(value)?),
            b"gid" => self.gid = Some(number(value)?),
            b"mtime" => self.mtime = Some(time(value).ok_or_else(malformed)?),
            _ => return self.set_sparse(key, value),
        }
        Ok(())
    }

    fn set_sparse(&mut self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        let keys = &mut self.sparse;
        match key {
            b"GNU.sparse.major" => keys.major = Some(number(value)?),
            b"GNU.sparse.minor" => keys.minor = Some(number(value)?),
            b"GNU.sparse.name" => keys.name = name(value)?,
            b"GNU.sparse.realsize" | b"GNU.sparse.size" => keys.real_size = Some(number(value)?),
            b"GNU.sparse.map" => {
                keys.map = Some(value.split(|b| *b == b',').map(number).collect::<Result<_, _>>()?);
            }
            // Format 0.0 repeats these two keys for every segment, so their order matters.
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                keys.map.get_or_insert_default().push(number(value)?);
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn apply(&self, member: &mut TarMember) {
        if let Some(path) = self.sparse.name.as_ref().or(self.path.as_ref()) {
            member.path.clone_from(path);
        }
        if let Some(link) = &self.link {
            member.link.clone_from(link);
        }
        member.uid = self.uid.map_or(member.uid, clamp_id);
        member.gid = self.gid.map_or(member.gid, clamp_id);
        member.mtime = self.mtime.unwrap_or(member.mtime);
        member.xattrs.clone_from(&self.xattrs);
    }

    pub(super) fn is_sparse(&self) -> bool {
        self.sparse.map.is_some() || self.sparse.major.is_some()
    }

    /// The map of a sparse file: in the header (formats 0.0 and 0.1) or before the content (1.0).
    pub(super) fn sparse_map(
        &self,
        read_block: impl FnMut() -> anyhow::Result<[u8; BLOCK as usize]>,
    ) -> anyhow::Result<Option<(u64, Vec<SparseSegment>)>> {
        let Some(real_size) = self.sparse.real_size else {
            return Err(corrupt("a sparse file does not say its size").into());
        };
        let segments = match (self.sparse.major, self.sparse.minor, &self.sparse.map) {
            (None | Some(0), _, Some(map)) => sparse::from_pairs(map, real_size)?,
            (Some(1), Some(0), _) => sparse::from_pairs(&sparse::read_map(read_block)?, real_size)?,
            _ => return Err(corrupt("a sparse file is in a format that is not known").into()),
        };
        Ok(Some((real_size, segments)))
    }
}

/// Splits off one record: key, value, and the remaining data.
fn record(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = data.iter().take(20).position(|b| *b == b' ')?;
    let length: usize = std::str::from_utf8(&data[..space]).ok()?.parse().ok()?;
    let body = data.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|b| *b == b'=')?;
    Some((&body[..equals], &body[equals + 1..], &data[length..]))
}

/// Parses a name. An empty value reverts to the header's.
fn name(value: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
    if value.contains(&0) {
        return Err(corrupt("a name in an extended header contains a zero byte"));
    }
    Ok((!value.is_empty()).then(|| value.to_vec()))
}

fn number(value: &[u8]) -> Result<u64, Failure> {
    std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).ok_or_else(malformed)
}

/// Parses `[-]seconds[.fraction]`; digits beyond nanoseconds are dropped.
fn time(value: &[u8]) -> Option<TarTime> {
    let text = std::str::from_utf8(value).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let negative = whole.starts_with('-');
    let seconds: i64 = if whole.is_empty() || whole == "-" { 0 } else { whole.parse().ok()? };
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanos: u32 = digits.parse().ok()?;
    // -1.25 s is two seconds before the epoch plus 0.75 s.
    Some(if negative && nanos > 0 {
        TarTime { seconds: seconds.checked_sub(1)?, nanos: 1_000_000_000 - nanos }
    } else {
        TarTime { seconds, nanos }
    })
}

fn malformed() -> Failure {
    corrupt("an extended header (PAX) is malformed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_signs_and_fractions() {
        let at = |seconds, nanos| Some(TarTime { seconds, nanos });
        assert_eq!(time(b"1.25"), at(1, 250_000_000));
        assert_eq!(time(b"-0.25"), at(-1, 750_000_000));
        assert_eq!(time(b"7.0000000019"), at(7, 1));
        assert_eq!(time(b"5"), at(5, 0));
        assert_eq!(time(b"x"), None);
        assert_eq!(time(b"1.x"), None);
        assert_eq!(time(b"-9223372036854775808.5"), None);
    }

    #[test]
    fn malformed_records_are_refused() {
        for bad in
            ["x", "5 a=b", "6 a=bc\n", "99999999999999999999 a=b\n", "3 \n", "7 =abcd\n9", "12 path=a\0b\n"]
        {
            assert!(PaxHeader::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(PaxHeader::parse(b"6 a=b\n").is_ok());
        assert!(PaxHeader::parse(b"").is_ok());
    }
}
