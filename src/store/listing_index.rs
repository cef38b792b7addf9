//! Listing indexes: copies of many small records in one file, so that a listing reads one file in place of a thousand.
//!
//! The records stay the truth. An index only says what was in a directory while the directory was in a certain state,
//! and counts only while it still is. It can be removed at any time: the next listing reads the records, and writes it
//! anew where that is worth while. Damage, another boot and any doubt have the same effect as removal.
//!
//! # When an entry is valid
//!
//! An entry holds the [`DirStamp`] of its directory: inode number and change time, which the kernel sets at every
//! creation, rename and removal in it, and nobody else can set. Records are only replaced by renames
//! ([`super::atomic`]), so a directory with the same stamp has the same records. Three things could break that:
//!
//! - *Two changes at one time.* The kernel takes the time from a clock that stands still between two ticks (1 to 10 ms),
//!   and old file systems count whole seconds. A change that follows in the same tick gives the same stamp. So only a
//!   stamp is recorded that the clock had left behind before the records were read ([`DirStamp::is_settled`]): what
//!   changes later has a later time. A directory younger than that is not in the index; its records are read.
//! - *A power failure.* The file system may keep a record's name and lose its content, where the index still has it. So
//!   an index names the boot that it was written in, and does not count in another.
//! - *File systems whose times come from elsewhere*, such as NFS, where another machine's change may be seen late. There
//!   are no indexes on any but the local file systems in [`LOCAL_FILE_SYSTEMS`].
//!
//! # Format
//!
//! `cache/listings/<name>`: a line with the version and the boot; for each entry a line with the key, the stamp's inode
//! number and time, and the lengths of the texts (`-` for none), then the texts; at last `sum <hex>`, a checksum of all
//! before. Entries are sorted by key. Nobody locks it: it is replaced as a whole, and the last writer wins.

use std::fmt::Write as _;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use rustix::fs::{AtFlags, statat};
use rustix::time::{ClockId, clock_gettime};

use super::Store;
use super::atomic::{self, Durability};
use crate::fs::ignore_missing;

/// Fewer records are read faster than an index is.
pub(super) const MIN_ENTRIES: usize = 32;

/// Whose change times come from this machine's clock and are exact to a tenth of a second or to a second (statfs(2)):
/// ext2 to ext4, XFS, btrfs, tmpfs, overlayfs, ZFS, F2FS, bcachefs.
const LOCAL_FILE_SYSTEMS: [u64; 8] =
    [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630, 0x2fc1_2fc1, 0xf2f5_2010, 0xca45_1a4e];

/// The state that the entries of a directory are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DirStamp {
    inode: u64,
    /// The change time, in nanoseconds since 1970.
    changed: i128,
}

impl DirStamp {
    /// Of the directory at `path` below `root`; of `root` itself if `path` is empty. `None` if that cannot be told.
    pub(super) fn of(root: BorrowedFd<'_>, path: &str) -> Option<Self> {
        let stat = statat(root, path, AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some(Self {
            inode: stat.st_ino,
            changed: nanoseconds(stat.st_ctime.into(), stat.st_ctime_nsec.into()),
        })
    }

    /// Whether every change after `now` gives another stamp. See the module's documentation.
    pub(super) fn is_settled(&self, now: ClockTime) -> bool {
        // A time without a fraction is one of a file system that counts whole seconds, or chance.
        let granularity = if self.changed % SECOND == 0 { 2 * SECOND } else { SECOND / 10 };
        self.changed.saturating_add(granularity) < now.0
    }
}

const SECOND: i128 = 1_000_000_000;

fn nanoseconds(seconds: i128, nanoseconds: i128) -> i128 {
    seconds.saturating_mul(SECOND).saturating_add(nanoseconds)
}

/// A time of the clock that change times are taken from.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClockTime(i128);

impl ClockTime {
    pub(super) fn now() -> Self {
        let time = clock_gettime(ClockId::RealtimeCoarse);
        Self(nanoseconds(time.tv_sec.into(), time.tv_nsec.into()))
    }
}

/// One entry: a directory and texts from it. What the texts are is the business of those who use the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IndexEntry<'a> {
    pub(super) key: &'a str,
    pub(super) stamp: DirStamp,
    pub(super) texts: [Option<&'a str>; 2],
}

/// The parsed text of an index.
#[derive(Debug, Default)]
pub(super) struct ListingIndex<'a> {
    entries: Vec<IndexEntry<'a>>,
}

impl<'a> ListingIndex<'a> {
    /// The entries of the index in `file`, if it is whole and of this boot; else none.
    pub(super) fn parse(file: &'a IndexFile) -> Self {
        let entries = file.boot.as_deref().and_then(|boot| parse_entries(file.text.as_deref()?, boot));
        Self { entries: entries.unwrap_or_default() }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The texts of `key`, if its directory has the stamp `now`.
    pub(super) fn texts(&self, key: &str, now: DirStamp) -> Option<[Option<&'a str>; 2]> {
        let found = self.entries.binary_search_by(|entry| entry.key.cmp(key)).ok()?;
        let entry = self.entries.get(found)?;
        (entry.stamp == now).then_some(entry.texts)
    }
}

/// An index as it is on disk, and where to write it anew.
#[derive(Debug)]
pub(super) struct IndexFile {
    path: PathBuf,
    /// The ID of this boot; `None` where there can be no index.
    boot: Option<String>,
    text: Option<String>,
}

impl IndexFile {
    pub(super) fn is_usable(&self) -> bool {
        self.boot.is_some()
    }

    /// Replaces the index by `entries`, which are sorted by key. Best effort: without it, the records are read.
    pub(super) fn write(&self, entries: &[IndexEntry<'_>]) {
        let Some(boot) = &self.boot else { return };
        let text = format_entries(entries, boot);
        // Removed first: ext4 writes a file that replaces another to the disk at once.
        let _ = ignore_missing(std::fs::remove_file(&self.path))
            .and_then(|()| atomic::write(&self.path, text.as_bytes(), Durability::Unsynced));
    }
}

impl Store {
    /// The index `name` of directories in `root`, which may not exist or not be allowed.
    pub(super) fn listing_index(&self, root: BorrowedFd<'_>, name: &str) -> IndexFile {
        let path = self.listings_dir().join(name);
        let boot = if is_local(root) { boot_id() } else { None };
        let text = boot.as_ref().and_then(|_| std::fs::read_to_string(&path).ok());
        IndexFile { path, boot, text }
    }

    pub(super) fn listings_dir(&self) -> PathBuf {
        self.root.join("cache/listings")
    }
}

fn is_local(dir: BorrowedFd<'_>) -> bool {
    let kind = rustix::fs::fstatfs(dir).ok().and_then(|stat| u64::try_from(stat.f_type).ok());
    kind.is_some_and(|kind| LOCAL_FILE_SYSTEMS.contains(&kind))
}

/// random(4): a new one at every boot.
fn boot_id() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned()).filter(|id| !id.is_empty() && !id.contains(char::is_whitespace))
}

const VERSION: &str = "dhow-listing 1 ";
const SUM: &str = "sum ";

fn format_entries(entries: &[IndexEntry<'_>], boot: &str) -> String {
    let mut text = format!("{VERSION}{boot}\n");
    for IndexEntry { key, stamp, texts } in entries {
        // Writing to a string cannot fail.
        let _ = write!(text, "{key} {} {}", stamp.inode, stamp.changed);
        for part in texts {
            let _ = match part {
                Some(part) => write!(text, " {}", part.len()),
                None => write!(text, " -"),
            };
        }
        text.push('\n');
        texts.iter().flatten().for_each(|part| text.push_str(part));
        text.push('\n');
    }
    let sum = checksum(text.as_bytes());
    let _ = writeln!(text, "{SUM}{sum:016x}");
    text
}

/// `None` if anything is not as [`format_entries`] writes it.
fn parse_entries<'a>(text: &'a str, boot: &str) -> Option<Vec<IndexEntry<'a>>> {
    // "sum ", sixteen digits and a newline.
    let (content, sum) = text.split_at_checked(text.len().checked_sub(SUM.len() + 17)?)?;
    if sum != format!("{SUM}{:016x}\n", checksum(content.as_bytes())) {
        return None;
    }
    let mut rest = content.strip_prefix(VERSION)?.strip_prefix(boot)?.strip_prefix('\n')?;
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let entry;
        (entry, rest) = parse_entry(rest)?;
        entries.push(entry);
    }
    entries.is_sorted_by(|a, b| a.key < b.key).then_some(entries)
}

fn parse_entry(text: &str) -> Option<(IndexEntry<'_>, &str)> {
    let (line, mut rest) = text.split_once('\n')?;
    let mut words = line.split(' ');
    let key = words.next()?;
    let stamp = DirStamp { inode: words.next()?.parse().ok()?, changed: words.next()?.parse().ok()? };
    let mut texts = [None; 2];
    for text in &mut texts {
        match words.next()? {
            "-" => {}
            length => {
                let part;
                (part, rest) = rest.split_at_checked(length.parse().ok()?)?;
                *text = Some(part);
            }
        }
    }
    Some((IndexEntry { key, stamp, texts }, rest.strip_prefix('\n')?))
}

/// Tells damage, not intent: whoever can write here can change the records too.
fn checksum(bytes: &[u8]) -> u64 {
    let mix = |sum: u64, word: u64| (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let (words, tail) = bytes.as_chunks::<8>();
    let sum = words.iter().fold(bytes.len() as u64, |sum, word| mix(sum, u64::from_le_bytes(*word)));
    tail.iter().fold(sum, |sum, byte| mix(sum, u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::record_reader::open_dir;
    use crate::scratch::store;

    fn stamp(changed: i128) -> DirStamp {
        DirStamp { inode: 7, changed }
    }

    #[test]
    fn a_stamp_settles_once_the_clock_has_moved_on() {
        let tick = SECOND / 100;
        let time = 1_000 * SECOND + 1;
        for (changed, now, settled) in [
            (time, time, false),
            (time, time + tick, false),
            (time, time + SECOND / 10, false),
            (time, time + SECOND / 10 + 1, true),
            // Whole seconds, as ext3 has them.
            (1_000 * SECOND, 1_000 * SECOND + SECOND, false),
            (1_000 * SECOND, 1_002 * SECOND, false),
            (1_000 * SECOND, 1_002 * SECOND + 1, true),
            // The clock was set back.
            (time, time - SECOND, false),
            (i128::MAX, 0, false),
        ] {
            assert_eq!(stamp(changed).is_settled(ClockTime(now)), settled, "{changed} {now}");
        }
    }

    #[test]
    fn a_change_gives_a_settled_directory_another_stamp() {
        let dir = tempfile::tempdir().unwrap();
        let root = open_dir(dir.path()).unwrap().unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        let look = || DirStamp::of(root.as_fd(), "a").unwrap();
        let made = look();
        assert_eq!(made, look());
        assert!(!made.is_settled(ClockTime::now()));
        let changes: [&dyn Fn(); 3] = [
            &|| std::fs::write(dir.path().join("a/new"), "").unwrap(),
            &|| std::fs::rename(dir.path().join("a/new"), dir.path().join("a/other")).unwrap(),
            &|| std::fs::remove_file(dir.path().join("a/other")).unwrap(),
        ];
        for change in changes {
            let deadline = SystemTime::now() + Duration::from_secs(10);
            while !look().is_settled(ClockTime::now()) {
                assert!(SystemTime::now() < deadline);
                std::thread::sleep(Duration::from_millis(1));
            }
            let before = look();
            change();
            assert_ne!(look(), before);
        }
        assert_eq!(DirStamp::of(root.as_fd(), "b"), None);
        assert!(DirStamp::of(root.as_fd(), "").is_some());
    }

    fn entries() -> [IndexEntry<'static>; 3] {
        [
            IndexEntry { key: "a", stamp: stamp(1), texts: [Some("one\ntext ä"), Some("")] },
            IndexEntry { key: "b", stamp: stamp(-5), texts: [None, Some("{}")] },
            IndexEntry { key: "c", stamp: stamp(i128::MAX), texts: [Some("x"), None] },
        ]
    }

    #[test]
    fn what_is_written_is_read() {
        let text = format_entries(&entries(), "boot");
        assert_eq!(parse_entries(&text, "boot").unwrap(), entries());
        assert_eq!(parse_entries(&format_entries(&[], "boot"), "boot").unwrap(), []);
    }

    #[test]
    fn what_is_damaged_or_of_another_boot_is_nothing() {
        let text = format_entries(&entries(), "boot");
        assert_eq!(parse_entries(&text, "boo"), None);
        assert_eq!(parse_entries(&text, "other"), None);
        let [a, b, _] = entries();
        assert_eq!(parse_entries(&format_entries(&[b, a], "boot"), "boot"), None, "not sorted");
        for length in 0..text.len() {
            assert_eq!(text.get(..length).and_then(|part| parse_entries(part, "boot")), None, "{length}");
        }
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            assert_eq!(parse_entries(&changed, "boot"), None, "{at}");
        }
    }

    #[test]
    fn an_entry_counts_while_its_directory_stays_as_it_was() {
        let file = |text: Option<String>| IndexFile { path: PathBuf::new(), boot: Some("boot".into()), text };
        let written = file(Some(format_entries(&entries(), "boot")));
        let index = ListingIndex::parse(&written);
        assert_eq!(index.texts("b", stamp(-5)), Some([None, Some("{}")]));
        assert_eq!(index.texts("b", stamp(-4)), None);
        assert_eq!(index.texts("b", DirStamp { inode: 8, ..stamp(-5) }), None);
        assert_eq!(index.texts("d", stamp(1)), None);
        assert_eq!(ListingIndex::parse(&file(None)).texts("b", stamp(-5)), None);
    }

    #[test]
    fn it_is_written_and_swept() {
        let (_dir, store) = store();
        let root = open_dir(store.root()).unwrap().unwrap();
        let empty = store.listing_index(root.as_fd(), "x");
        assert!(empty.is_usable() && empty.text.is_none());
        empty.write(&entries());
        empty.write(&entries()[..1]);
        let file = store.listing_index(root.as_fd(), "x");
        assert!(ListingIndex::parse(&file).texts("a", stamp(1)).is_some());
        std::fs::write(store.listings_dir().join(".new-dead"), "").unwrap();
        store.sweep().unwrap();
        assert_eq!(std::fs::read_dir(store.listings_dir()).unwrap().count(), 1);
        let elsewhere = open_dir("/proc".as_ref()).unwrap().unwrap();
        assert!(!store.listing_index(elsewhere.as_fd(), "x").is_usable());
    }
}
