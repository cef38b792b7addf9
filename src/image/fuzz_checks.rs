//! What must hold for archives, tar-split records and registry headers, whoever wrote them: shared by the
//! coverage-guided fuzz targets and the seeded tests.

use std::path::PathBuf;

use crate::pack::pack_layer;
use crate::registry::challenge::parse_challenges;
use crate::registry::text::{printable, resolve_location, split_port};
use crate::tar::TarReader;
use crate::tar_split::{TarSplitReader, TarSplitRecord, TarSplitWriter};
use crate::unpack::{UnpackLimits, UnpackOptions, unpack_layer};
use dhow_error::{FailureKind, kind_of};
use dhow_model::digest::Digest;
use dhow_model::layer::LayerOwnership;
use dhow_model::progress::SilentProgress;
use dhow_store::Store;

/// Reads a header of a registry's response, as a challenge, a location, a message, and a host with a port.
pub fn registry_header(input: &[u8]) {
    let base: ureq::http::Uri = "https://registry.example:5000/v2/a/tags/list?n=1".parse().unwrap();
    let text = String::from_utf8_lossy(input);
    for challenge in parse_challenges(&text) {
        assert!(!challenge.scheme.is_empty() && challenge.scheme == challenge.scheme.to_ascii_lowercase());
    }
    if let Some(uri) = resolve_location(&base, &text) {
        assert!(matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
    }
    assert!(!printable(&text).contains(char::is_control));
    let (host, _) = split_port(&text);
    assert!(text.contains(host));
}

/// Reads a tar archive to its end or its first error.
pub fn tar_archive(input: &[u8]) {
    let mut reader = TarReader::new(input);
    let mut members = 0;
    while let Ok(Some(member)) = reader.next_member() {
        members += 1;
        assert!(member.mode <= 0o7777 && member.mtime.nanos < 1_000_000_000);
        let mut content = 0;
        while let Ok(part) = reader.content() {
            let length = part.len();
            content += length as u64;
            if length == 0 {
                break;
            }
            reader.consume_content(length);
        }
        assert!(content <= member.size);
    }
    assert!(members <= input.len() / 512, "a member has a block at least");
}

/// Unpacks layers into a store of its own.
pub struct LayerCheck {
    dir: tempfile::TempDir,
    root: PathBuf,
    store: Store,
}

impl Default for LayerCheck {
    fn default() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("store");
        let store = Store::open(root.clone()).unwrap();
        Self { dir, root, store }
    }
}

impl LayerCheck {
    /// Whatever unpacks stays inside its directory and packs to the same bytes again; what does not leaves nothing.
    pub fn layer(&self, input: &[u8]) {
        let limits = UnpackLimits { bytes: 1 << 24, entries: 1 << 10 };
        let identity = LayerOwnership::Single;
        let options = UnpackOptions { identity, limits, label: String::new(), compressed_size: 0 };
        let draft = self.store.begin_layer_without_digest().unwrap();
        match unpack_layer(input, &draft, &options, &SilentProgress) {
            Err(_) => drop(draft),
            Ok(record) => {
                let lease = draft.commit(record).unwrap();
                let mut again = Vec::new();
                match pack_layer(&self.store, &lease.diff_id, &mut again) {
                    Ok(()) => assert_eq!(Digest::of(&again), lease.diff_id),
                    // Outside a user namespace modes may keep us from reading.
                    Err(error) => assert_eq!(kind_of(&error), FailureKind::Denied, "{error:#}"),
                }
            }
        }
        self.store.prune_layers().unwrap();
        let around: Vec<_> = std::fs::read_dir(self.dir.path()).unwrap().collect();
        assert_eq!(around.len(), 1, "nothing beside the store");
        for left in ["tmp", "layers", "trash"] {
            let found = std::fs::read_dir(self.root.join(left)).map_or(0, |entries| entries.count());
            assert_eq!(found, 0, "{left}");
        }
    }
}

/// A seed for [`tar_split`].
pub fn tar_split_seed() -> Vec<u8> {
    let mut writer = TarSplitWriter::new(Vec::new()).unwrap();
    writer.raw(&[0; 512]).unwrap();
    writer.file(b"usr/bin/x", 300).unwrap();
    writer.raw(b"rest").unwrap();
    // Damage goes below the compression, which would notice most of it.
    zstd::decode_all(&writer.finish().unwrap()[..]).unwrap()
}

/// Reads tar-split records, given without their compression.
pub fn tar_split(input: &[u8]) {
    let compressed = zstd::encode_all(input, 1).unwrap();
    let Ok(mut reader) = TarSplitReader::new(std::io::Cursor::new(compressed)) else { return };
    while let Ok(Some(record)) = reader.next_record() {
        let TarSplitRecord::Raw(length) = record else { continue };
        let mut buffer = vec![0; length.min(1 << 16) as usize];
        if reader.read(&mut buffer).is_err() {
            return;
        }
    }
}
