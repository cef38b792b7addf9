//! Whatever unpacks stays inside its directory and packs to the same bytes again; what does not leaves nothing.
#![no_main]

use std::sync::LazyLock;

use dhow::image::pack::pack;
use dhow::image::unpack::{Limits, UnpackOptions, unpack};
use dhow::model::digest::Digest;
use dhow::model::layer::Identity;
use dhow::model::progress::Silent;
use dhow::store::Store;
use libfuzzer_sys::fuzz_target;

static STORE: LazyLock<(tempfile::TempDir, Store)> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    (dir, store)
});

fuzz_target!(|input: &[u8]| {
    let (dir, store) = &*STORE;
    let limits = Limits { bytes: 1 << 24, entries: 1 << 10 };
    let options = UnpackOptions { identity: Identity::Single, limits, label: String::new(), source_size: 0 };
    let draft = store.begin_unknown_layer().unwrap();
    match unpack(input, &draft, &options, &Silent) {
        Err(_) => drop(draft),
        Ok(record) => {
            let lease = draft.commit(record).unwrap();
            let mut again = Vec::new();
            pack(store, &lease.diff_id, &mut again).unwrap();
            assert_eq!(Digest::of(&again), lease.diff_id);
        }
    }
    store.collect_layers().unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing beside the store");
    for left in ["tmp", "layers", "trash"] {
        let found = std::fs::read_dir(store.root().join(left)).map_or(0, Iterator::count);
        assert_eq!(found, 0, "{left}");
    }
});
