//! Lists the names of images: all of them, or those of one image, which no record of the image has.
//!
//! # Index
//!
//! The index `names` ([`super::listing_index`]) has one entry, for the directory `names/` as a whole. Its text has a
//! block for each image, so that the names of one are found without parsing those of others: the image's ID, a line for
//! each name, and an empty line. The cells of a line are separated by tabs: the reference; the digest that it was pulled
//! by, or nothing; when it was set; the other images that it refers to, with commas between them; and the image that it
//! refers to first, if that is not the one of the block. A name of several images is in the block of each.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::Context as _;

use super::listing_index::{ClockTime, DirStamp, IndexEntry, IndexFile, ListingIndex, MIN_ENTRIES};
use super::record_reader::{RecordReader, in_threads, open_dir};
use super::{NameRecord, Store};
use crate::fs::list_dir;
use dhow_error::corrupt;
use dhow_model::digest::Digest;

/// The key of the only entry.
const KEY: &str = "names";

impl Store {
    /// All names, ordered by reference.
    pub fn names(&self) -> anyhow::Result<Vec<NameRecord>> {
        self.list_names(None).context("cannot list the names of images")
    }

    /// The names that refer to the image `id`, alone or together with other images; ordered by reference.
    pub fn names_of(&self, id: &Digest) -> anyhow::Result<Vec<NameRecord>> {
        self.list_names(Some(id)).with_context(|| format!("cannot list the names of image {}", id.short()))
    }

    fn list_names(&self, id: Option<&Digest>) -> anyhow::Result<Vec<NameRecord>> {
        let Some(root) = open_dir(&self.names_dir())? else { return Ok(Vec::new()) };
        let file = self.listing_index(root.as_fd(), "names");
        let begin = ClockTime::now();
        // Before the records are read: a change between the two makes the stamp an old one.
        let stamp = DirStamp::of(root.as_fd(), "").filter(|_| file.is_usable());
        let index = ListingIndex::parse(&file);
        let indexed = stamp.and_then(|stamp| match index.texts(KEY, stamp) {
            Some([Some(text), _]) => parse_names(text, id),
            _ => None,
        });
        match indexed {
            Some(names) => Ok(names),
            None => self.read_names(&root, &file, stamp.filter(|stamp| stamp.is_settled(begin)), id),
        }
    }

    /// Reads the records in order, and writes the index anew if `stamp` may be in it.
    fn read_names(
        &self,
        root: &OwnedFd,
        file: &IndexFile,
        stamp: Option<DirStamp>,
        id: Option<&Digest>,
    ) -> anyhow::Result<Vec<NameRecord>> {
        let files = list_dir(&self.names_dir())?;
        let stamp = stamp.filter(|_| files.len() >= MIN_ENTRIES);
        // Other records than those of the image are only parsed for the index.
        let wanted = if stamp.is_some() { None } else { id };
        let mut names: Vec<NameRecord> = in_threads(&files, |files| {
            let mut reader = RecordReader::new(root.as_fd());
            files.iter().filter_map(|name| read_name(&mut reader, name, wanted).transpose()).collect()
        })?;
        names.sort_unstable_by(|a, b| a.reference.cmp(&b.reference));
        if let Some(stamp) = stamp
            && let Some(text) = format_names(&names)
        {
            file.write(&[IndexEntry { key: KEY, stamp, texts: [Some(&text), None] }]);
        }
        names.retain(|name| id.is_none_or(|id| name.refers_to(id)));
        Ok(names)
    }
}

/// The record in the file `name`; `None` if it is gone, or does not mention the image `wanted`.
fn read_name(
    reader: &mut RecordReader<'_>,
    name: &str,
    wanted: Option<&Digest>,
) -> anyhow::Result<Option<NameRecord>> {
    let reading = || format!("cannot read the record `{name}`");
    let Some(bytes) = reader.read(name).with_context(reading)? else { return Ok(None) };
    let damaged =
        |why: &dyn std::fmt::Display| corrupt(format!("the record `names/{name}` is damaged: {why}"));
    let text = str::from_utf8(bytes).map_err(|error| damaged(&error))?;
    if wanted.is_some_and(|id| !text.contains(id.hex())) {
        return Ok(None);
    }
    Ok(Some(serde_json::from_str(text).map_err(|error| damaged(&error))?))
}

/// `None` if a record cannot be told apart from its neighbours in the index.
fn format_names(names: &[NameRecord]) -> Option<String> {
    let mut blocks: BTreeMap<&Digest, String> = BTreeMap::new();
    for NameRecord { reference, id: first, digest, since, others } in names {
        if since.contains(['\t', '\n']) {
            return None;
        }
        let digest = digest.as_ref().map_or("", Digest::as_str);
        let others_text = others.iter().map(Digest::as_str).collect::<Vec<_>>().join(",");
        for id in std::iter::once(first).chain(others).collect::<BTreeSet<_>>() {
            let first = if id == first { "" } else { first.as_str() };
            let block = blocks.entry(id).or_default();
            *block += &format!("{reference}\t{digest}\t{since}\t{others_text}\t{first}\n");
        }
    }
    Some(blocks.iter().map(|(id, lines)| format!("{id}\n{lines}\n")).collect())
}

/// The names in the index, all or those of the image `id`; `None` if they are not as [`format_names`] writes them.
fn parse_names(text: &str, id: Option<&Digest>) -> Option<Vec<NameRecord>> {
    let mut names = Vec::new();
    for block in text.split_terminator("\n\n") {
        let (of, lines) = block.split_once('\n')?;
        if id.is_some_and(|id| id.as_str() != of) {
            continue;
        }
        let of: Digest = of.parse().ok()?;
        names.reserve(lines.len() / TYPICAL_LINE);
        for line in lines.split('\n') {
            let (name, is_first) = parse_name(line, &of)?;
            // Among all names, each is taken from the block of the image that it refers to first.
            if id.is_some() || is_first {
                names.push(name);
            }
        }
    }
    // Those in one block are in order.
    if id.is_none() {
        names.sort_unstable_by(|a, b| a.reference.cmp(&b.reference));
    }
    Some(names)
}

/// Bytes of a line with a short name.
const TYPICAL_LINE: usize = 64;

/// A line in the block of the image `of`, and whether the name refers to that first.
fn parse_name(line: &str, of: &Digest) -> Option<(NameRecord, bool)> {
    let mut cells = line.split('\t');
    let reference = cells.next()?.parse().ok()?;
    let digest = |text: &str| if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) };
    let pulled_by = digest(cells.next()?)?;
    let since = cells.next()?.to_owned();
    let others = cells.next()?.split(',').filter(|text| !text.is_empty());
    let others = others.map(|text| text.parse().ok()).collect::<Option<Vec<Digest>>>()?;
    let first = digest(cells.next()?)?;
    let is_first = first.is_none();
    let id = first.unwrap_or_else(|| of.clone());
    cells
        .next()
        .is_none()
        .then_some((NameRecord { reference, id, digest: pulled_by, since, others }, is_first))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::images::tests::put;
    use crate::scratch::store;
    use dhow_model::platform::Platform;
    use dhow_model::reference::ImageReference;

    struct NameFixture {
        _dir: tempfile::TempDir,
        store: Store,
        /// The images `a` and `b`.
        ids: [Digest; 2],
    }

    impl NameFixture {
        /// Many names of two images, and one of both; with an index if `indexed`.
        fn new(indexed: bool) -> Self {
            let (dir, store) = store();
            let ids = [put(&store, "a"), put(&store, "b")];
            for n in 0..MIN_ENTRIES {
                store.set_name(&reference(&format!("n{n}")), &ids[n % 2], None).unwrap();
            }
            store
                .set_name(&reference("r.example/pulled:1"), &ids[0], Some(&Digest::of(b"manifest")))
                .unwrap();
            store.set_multi_platform_name(&reference("both"), &ids, &Platform::host()).unwrap();
            let fixture = Self { _dir: dir, store, ids };
            if indexed {
                fixture.settle();
                fixture.store.names().unwrap();
                assert!(fixture.index_path().exists());
            }
            fixture
        }

        /// Waits until the clock has moved on from the last change.
        fn settle(&self) {
            let root = open_dir(&self.store.names_dir()).unwrap().unwrap();
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
            while !DirStamp::of(root.as_fd(), "").unwrap().is_settled(ClockTime::now()) {
                assert!(std::time::Instant::now() < deadline, "the clock stands still");
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }

        fn index_path(&self) -> std::path::PathBuf {
            self.store.listings_dir().join("names")
        }

        /// What the records say: each is read by its own name.
        fn expected(&self, id: Option<&Digest>) -> Vec<NameRecord> {
            let mut names: Vec<NameRecord> = list_dir(&self.store.names_dir())
                .unwrap()
                .into_iter()
                .map(|name| {
                    serde_json::from_slice(&std::fs::read(self.store.names_dir().join(name)).unwrap())
                        .unwrap()
                })
                .filter(|name: &NameRecord| id.is_none_or(|id| name.refers_to(id)))
                .collect();
            names.sort_by(|a, b| a.reference.cmp(&b.reference));
            names
        }

        fn check(&self, why: &str) {
            assert_eq!(self.store.names().unwrap(), self.expected(None), "{why}");
            for id in self.ids.iter().chain([&Digest::of(b"none")]) {
                assert_eq!(self.store.names_of(id).unwrap(), self.expected(Some(id)), "{why}: {id}");
            }
        }
    }

    fn reference(text: &str) -> ImageReference {
        text.parse().unwrap()
    }

    #[test]
    fn there_need_not_be_any() {
        let (_dir, store) = store();
        assert_eq!(store.names().unwrap(), []);
        assert_eq!(store.names_of(&Digest::of(b"none")).unwrap(), []);
    }

    #[test]
    fn names_are_the_same_with_and_without_an_index() {
        for indexed in [false, true] {
            let fixture = NameFixture::new(indexed);
            assert_eq!(fixture.expected(None).len(), MIN_ENTRIES + 3);
            fixture.check(if indexed { "index" } else { "no index" });
        }
    }

    #[test]
    fn an_index_is_used_in_place_of_the_records() {
        let fixture = NameFixture::new(true);
        let names = fixture.store.names().unwrap();
        // Nobody but this test writes into a record: the directory stays as it was.
        let record = fixture.store.names_dir().join("docker.io%library%n3:latest");
        std::fs::write(record, "{").unwrap();
        assert_eq!(fixture.store.names().unwrap(), names);
        std::fs::remove_file(fixture.index_path()).unwrap();
        let error = format!("{:#}", fixture.store.names().unwrap_err());
        assert!(error.contains("n3:latest"), "{error}");
    }

    #[test]
    fn what_changed_is_read() {
        let fixture = NameFixture::new(true);
        let [a, b] = &fixture.ids;
        // As another process would.
        let other = Store::open(fixture.store.root().to_owned()).unwrap();
        let changes: [&dyn Fn(); 4] = [
            &|| other.set_name(&reference("new"), b, None).unwrap(),
            &|| other.set_name(&reference("n0"), b, None).unwrap(),
            &|| assert!(other.remove_name(&reference("n1"), b).unwrap()),
            &|| other.lock_image(a).unwrap().unwrap().remove().unwrap(),
        ];
        for (step, change) in changes.into_iter().enumerate() {
            change();
            fixture.check(&format!("after step {step}"));
            fixture.settle();
            fixture.check(&format!("long after step {step}"));
        }
    }

    #[test]
    fn without_a_sound_index_the_records_are_read() {
        let fixture = NameFixture::new(true);
        let whole = std::fs::read(fixture.index_path()).unwrap();
        fixture.store.set_name(&reference("new"), &fixture.ids[0], None).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        let torn = &whole[..whole.len() / 2];
        for index in [&b""[..], b"nonsense", b"\xff\xfe", torn, &flipped, &whole] {
            std::fs::write(fixture.index_path(), index).unwrap();
            fixture.check("unsound");
        }
        fixture.settle();
        std::fs::remove_dir_all(fixture.store.listings_dir()).unwrap();
        std::fs::write(fixture.store.listings_dir(), "in the way").unwrap();
        fixture.check("no place for an index");
    }

    #[test]
    fn a_line_that_is_no_line_is_no_index() {
        let (id, other) = (Digest::of(b"image"), Digest::of(b"other"));
        let good = NameRecord {
            reference: reference("x:1"),
            id: id.clone(),
            digest: Some(other.clone()),
            since: "now".into(),
            others: vec![other.clone(), Digest::of(b"third")],
        };
        let text = format_names(std::slice::from_ref(&good)).unwrap();
        for id in [&id, &other] {
            assert_eq!(parse_names(&text, Some(id)), Some(vec![good.clone()]));
        }
        assert_eq!(parse_names(&text, None), Some(vec![good.clone()]));
        for damage in
            [("x:1", "X:1"), ("now\t", "now"), ("sha256", "sha255"), ("\n", "\n\n"), (",", "\t"), ("x:1", "")]
        {
            let changed = text.replacen(damage.0, damage.1, 1);
            assert_ne!(changed, text);
            assert_eq!(parse_names(&changed, None), None, "{damage:?}");
        }
        assert_eq!(format_names(&[NameRecord { since: "a\tb".into(), ..good }]), None);
        assert_eq!(format_names(&[]).as_deref(), Some(""));
        assert_eq!(parse_names("", None), Some(vec![]));
    }

    /// So that a failure does not leave threads that others wait for.
    struct SetOnDrop<'a>(&'a AtomicBool);

    impl Drop for SetOnDrop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn listings_and_changes_at_once_show_every_change() {
        let fixture = NameFixture::new(true);
        let (store, ids) = (&fixture.store, &fixture.ids);
        let name = reference("changing:1");
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                // They write an index as soon as they may.
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        assert!(store.names().unwrap().len() >= MIN_ENTRIES);
                    }
                });
            }
            let _stop = SetOnDrop(&done);
            for turn in 0..6 {
                let id = &ids[turn % 2];
                store.set_name(&name, id, None).unwrap();
                assert!(store.names_of(id).unwrap().iter().any(|record| record.reference == name));
                store.remove_name(&name, id).unwrap();
                assert!(store.names().unwrap().iter().all(|record| record.reference != name));
                if turn % 2 == 0 {
                    fixture.settle();
                }
            }
        });
        fixture.check("at the end");
    }
}
