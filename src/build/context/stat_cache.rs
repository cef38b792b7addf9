//! The stat cache: digests of files by inode, valid while size and times are unchanged. A context is hashed
//! once, and afterwards only what changed in it.
//!
//! # Format
//!
//! One file of fixed-length records, read and written as a whole:
//! ```text
//! "dhow stat cache 1\n"
//! device u64, inode u64, size u64, mtime i64 u32, ctime i64 u32, SHA-256 [32]   each little-endian, 80 bytes in all
//! ```
//!
//! # Races
//!
//! A file that changed within the last two seconds is not cached: it could change again within the same tick
//! of the clock and keep its times (git calls such entries "racy").

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use super::select::FileIdentity;

const MAGIC: &[u8] = b"dhow stat cache 1\n";
const RECORD: usize = 80;
/// Seconds within which a change may keep the same timestamp: some network file systems only store whole
/// seconds.
const RACY_SECONDS: i64 = 2;
/// How many unused records, beyond twice the used ones, are kept before they are all dropped.
const UNUSED_RECORDS: usize = 20_000;

/// Digests by device and inode.
#[derive(Clone, Debug, Default)]
pub struct StatCache {
    records: HashMap<(u64, u64), StatRecord>,
    changed: bool,
}

#[derive(Clone, Copy, Debug)]
struct StatRecord {
    identity: FileIdentity,
    digest: [u8; 32],
    used: bool,
}

impl StatCache {
    /// Parses the output of [`StatCache::bytes`]; anything else gives an empty cache.
    pub fn parse(bytes: &[u8]) -> Self {
        let stored = bytes.strip_prefix(MAGIC).unwrap_or_default();
        let mut records = HashMap::with_capacity(stored.len() / RECORD);
        for bytes in stored.chunks_exact(RECORD) {
            if let Some(record) = record(bytes) {
                records.insert((record.identity.device, record.identity.inode), record);
            }
        }
        Self { records, changed: false }
    }

    /// The file format, or `None` if nothing changed since it was parsed.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        if !self.changed {
            return None;
        }
        let used = self.records.values().filter(|record| record.used).count();
        // Unused records may be of other contexts in the same cache, so they stay as long as they are few.
        let crowded = self.records.len() > used.saturating_mul(2).saturating_add(UNUSED_RECORDS);
        let mut bytes = Vec::with_capacity(MAGIC.len() + self.records.len() * RECORD);
        bytes.extend_from_slice(MAGIC);
        for record in self.records.values().filter(|record| record.used || !crowded) {
            let identity = &record.identity;
            for number in [identity.device, identity.inode, identity.size] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            for (seconds, nanos) in [identity.mtime, identity.ctime] {
                bytes.extend_from_slice(&seconds.to_le_bytes());
                bytes.extend_from_slice(&nanos.to_le_bytes());
            }
            bytes.extend_from_slice(&record.digest);
        }
        Some(bytes)
    }

    /// The digest of this file, if it is unchanged since it was hashed.
    pub(super) fn find(&mut self, identity: &FileIdentity) -> Option<[u8; 32]> {
        let record = self.records.get_mut(&(identity.device, identity.inode))?;
        // The inode was reused, or the file changed.
        if record.identity != *identity {
            return None;
        }
        record.used = true;
        Some(record.digest)
    }

    /// Adds the digest of a file that had `identity` at `observed` (seconds since 1970); ignored if it changed
    /// too recently.
    pub(super) fn remember(&mut self, identity: &FileIdentity, observed: i64, digest: [u8; 32]) {
        if identity.mtime.0.max(identity.ctime.0) > observed.saturating_sub(RACY_SECONDS) {
            return;
        }
        let record = StatRecord { identity: *identity, digest, used: true };
        self.records.insert((identity.device, identity.inode), record);
        self.changed = true;
    }
}

pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.ok().and_then(|since| i64::try_from(since.as_secs()).ok()).unwrap_or_default()
}

fn record(bytes: &[u8]) -> Option<StatRecord> {
    let long = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let time = |at: usize| {
        let nanos = u32::from_le_bytes(bytes.get(at + 8..at + 12)?.try_into().ok()?);
        Some((long(at)?.cast_signed(), nanos))
    };
    let identity = FileIdentity {
        device: long(0)?,
        inode: long(8)?,
        size: long(16)?,
        mtime: time(24)?,
        ctime: time(36)?,
    };
    Some(StatRecord { identity, digest: bytes.get(48..RECORD)?.try_into().ok()?, used: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(inode: u64) -> FileIdentity {
        FileIdentity { device: 1, inode, size: 3, mtime: (100, 5), ctime: (101, 6) }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut cache = StatCache::default();
        assert!(cache.bytes().is_none());
        cache.remember(&identity(7), 200, [9; 32]);
        let bytes = cache.bytes().unwrap();
        let mut cache = StatCache::parse(&bytes);
        assert_eq!(cache.find(&identity(7)), Some([9; 32]));
        assert_eq!(cache.find(&identity(8)), None);
        assert_eq!(cache.find(&FileIdentity { ctime: (101, 7), ..identity(7) }), None);
        assert!(cache.bytes().is_none());
    }

    #[test]
    fn what_changed_a_moment_ago_is_not_trusted() {
        let mut cache = StatCache::default();
        cache.remember(&identity(7), 102, [9; 32]);
        assert_eq!(cache.find(&identity(7)), None);
    }

    #[test]
    fn damage_is_emptiness() {
        for bytes in [&b""[..], b"other", b"dhow stat cache 1\nshort"] {
            assert!(StatCache::parse(bytes).records.is_empty());
        }
    }

    #[test]
    fn what_no_scan_needs_any_more_is_forgotten() {
        let mut cache = StatCache::default();
        for inode in 0..30_000 {
            cache.remember(&identity(inode), 200, [0; 32]);
        }
        let mut cache = StatCache::parse(&cache.bytes().unwrap());
        cache.find(&identity(5));
        cache.remember(&identity(40_000), 200, [0; 32]);
        assert_eq!(StatCache::parse(&cache.bytes().unwrap()).records.len(), 2);
    }
}
