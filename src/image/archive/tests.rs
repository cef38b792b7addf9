//! Behaviour of archives: every layout in every order from files and pipes, damage, and round trips through `save`.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::load::{ImageArchive, LoadOptions, LoadedImage, load_archive};
use super::save::{ArchivePlan, SavedImage};
use crate::unpack::decode::CompressionFormat;
use crate::unpack::decode::tests::compress;
use dhow_model::digest::Digest;
use dhow_model::layer::LayerOwnership;
use dhow_model::progress::SilentProgress;
use dhow_store::Store;

/// Name and content; `Err` is the target of a symbolic link.
type Entry = (String, Result<Vec<u8>, String>);

fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        match content {
            Ok(content) => {
                header.set_size(content.len() as u64);
                builder.append_data(&mut header, name, &content[..]).unwrap();
            }
            Err(target) => {
                header.set_size(0);
                header.set_entry_type(tar::EntryType::Symlink);
                builder.append_link(&mut header, name, target).unwrap();
            }
        }
    }
    builder.into_inner().unwrap()
}

fn entry(name: impl Into<String>, content: impl Into<Vec<u8>>) -> Entry {
    (name.into(), Ok(content.into()))
}

/// A layer with one file, too large to be kept in memory if `large`.
fn layer(content: &str, large: bool) -> Vec<u8> {
    let mut entries = vec![entry("file", content)];
    if large {
        entries.push(entry("filler", vec![7; 100_000]));
    }
    tar(&entries)
}

#[derive(Clone)]
struct Image {
    layers: Vec<Vec<u8>>,
    config: Vec<u8>,
}

impl Image {
    fn new(layers: Vec<Vec<u8>>, architecture: &str) -> Self {
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
        let config = json!({"architecture": architecture, "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}});
        Self { layers, config: config.to_string().into_bytes() }
    }

    fn id(&self) -> Digest {
        Digest::of(&self.config)
    }

    fn docker(&self, names: &[&str]) -> Vec<Entry> {
        let config = format!("{}.json", self.id().hex());
        let names_of = |n: usize| format!("layer{n}/layer.tar");
        let listed: Vec<String> = (0..self.layers.len()).map(names_of).collect();
        let listing = json!([{"Config": config, "RepoTags": names, "Layers": listed}]);
        let mut entries = vec![entry(config, self.config.clone())];
        entries.extend(self.layers.iter().enumerate().map(|(n, layer)| entry(names_of(n), layer.clone())));
        entries.push(entry("manifest.json", listing.to_string()));
        entries
    }

    /// Its blobs and the descriptor of its manifest.
    fn oci(&self, format: CompressionFormat) -> (Vec<Entry>, Value) {
        let mut entries = Vec::new();
        let mut blob = |media_type: &str, content: Vec<u8>| {
            let digest = Digest::of(&content);
            let descriptor = json!({"mediaType": media_type, "digest": digest, "size": content.len()});
            entries.push(entry(super::members::blob_name(&digest), content));
            descriptor
        };
        let layers: Vec<Value> = self
            .layers
            .iter()
            .map(|layer| blob("application/vnd.oci.image.layer.v1.tar", compress(format, layer)))
            .collect();
        let config = blob("application/vnd.oci.image.config.v1+json", self.config.clone());
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers});
        let descriptor =
            blob("application/vnd.oci.image.manifest.v1+json", manifest.to_string().into_bytes());
        (entries, descriptor)
    }
}

fn index(manifests: &[Value]) -> Entry {
    entry("index.json", json!({"schemaVersion": 2, "manifests": manifests}).to_string())
}

struct Fixture {
    dir: tempfile::TempDir,
    store: Store,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        Self { dir, store }
    }

    fn options(platform: Option<&str>) -> LoadOptions {
        let identity = if rustix::process::geteuid().is_root() {
            LayerOwnership::Mapped
        } else {
            LayerOwnership::Single
        };
        LoadOptions { identity, platform: platform.map(|text| text.parse().unwrap()) }
    }

    fn load_file(&self, bytes: &[u8], platform: Option<&str>) -> anyhow::Result<Vec<LoadedImage>> {
        let path = self.dir.path().join("archive");
        std::fs::write(&path, bytes).unwrap();
        load_archive(
            &self.store,
            ImageArchive::open(File::open(path).unwrap())?,
            &Self::options(platform),
            &SilentProgress,
        )
    }

    fn load_pipe(&self, bytes: &[u8]) -> anyhow::Result<Vec<LoadedImage>> {
        let (read, write) = rustix::pipe::pipe().unwrap();
        std::thread::scope(|scope| {
            // A refused archive need not be read to its end, so the write may fail.
            scope.spawn(move || drop(File::from(write).write_all(bytes)));
            load_archive(
                &self.store,
                ImageArchive::open(File::from(read))?,
                &Self::options(None),
                &SilentProgress,
            )
        })
    }

    fn tree(&self, layer: &[u8]) -> std::path::PathBuf {
        self.store.layer_tree(&Digest::of(layer))
    }

    fn save(&self, tags: &[&str]) -> Vec<u8> {
        let image = self.store.find_image(tags[0]).unwrap();
        let tags = tags.iter().map(|tag| tag.parse().unwrap()).collect();
        let mut out = Vec::new();
        ArchivePlan::new(&self.store, &[SavedImage { image, tags }]).unwrap().write(&mut out).unwrap();
        out
    }

    fn is_clean(&self) -> bool {
        ["tmp", "trash", "layers", "images", "names"].iter().all(|name| {
            let dir = self.store.root().join(name);
            std::fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none())
        })
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn any_order_any_compression_file_or_pipe() {
    let image = Image::new(vec![layer("a", true), layer("b", false), layer("c", true)], "amd64");
    let mut entries = image.docker(&["x:1", "r.example/y"]);
    for round in 0..entries.len() {
        entries.rotate_left(1);
        let format = [
            CompressionFormat::Plain,
            CompressionFormat::Gzip,
            CompressionFormat::Zstd,
            CompressionFormat::Bzip2,
            CompressionFormat::Xz,
        ][round % 5];
        let archive = compress(format, &tar(&entries));
        for pipe in [false, true] {
            let fixture = Fixture::new();
            let loaded =
                if pipe { fixture.load_pipe(&archive) } else { fixture.load_file(&archive, None) }.unwrap();
            let names: Vec<String> = loaded[0].names.iter().map(|name| name.familiar()).collect();
            assert_eq!((loaded.len(), &loaded[0].id), (1, &image.id()));
            assert_eq!(names, ["x:1", "r.example/y:latest"]);
            assert_eq!(read(&fixture.tree(&image.layers[1]).join("file")), "b");
            assert_eq!(fixture.store.find_image("x:1").unwrap().id, image.id());
        }
    }
}

#[test]
fn layers_may_be_links_to_layers() {
    let image = Image::new(vec![layer("a", true), layer("a", true), layer("a", true)], "amd64");
    let mut entries = image.docker(&["x:1"]);
    entries[1].1 = Err("../layer2/layer.tar".into());
    entries[2].1 = Err("/layer2/./layer.tar".into());
    for pipe in [false, true] {
        let fixture = Fixture::new();
        let archive = tar(&entries);
        if pipe { fixture.load_pipe(&archive) } else { fixture.load_file(&archive, None) }.unwrap();
        assert_eq!(fixture.store.find_image("x:1").unwrap().id, image.id());
    }
}

#[test]
fn links_out_of_the_archive_lead_nowhere() {
    let image = Image::new(vec![layer("a", true)], "amd64");
    let fixture = Fixture::new();
    let outside = fixture.dir.path().join("outside");
    std::fs::write(&outside, &image.layers[0]).unwrap();
    for target in [outside.to_str().unwrap().to_owned(), format!("../../../../..{}", outside.display())] {
        let mut entries = image.docker(&["x:1"]);
        entries[1].1 = Err(target);
        let error = fixture.load_file(&tar(&entries), None).unwrap_err();
        assert!(format!("{error:#}").contains("lacks `layer0/layer.tar`"), "{error:#}");
        assert!(fixture.load_pipe(&tar(&entries)).is_err());
        assert!(fixture.is_clean());
    }
}

#[test]
fn oci_layouts_with_every_compression() {
    let image = Image::new(vec![layer("a", true), layer("b", false)], "amd64");
    for format in [CompressionFormat::Plain, CompressionFormat::Gzip, CompressionFormat::Zstd] {
        let (mut entries, mut descriptor) = image.oci(format);
        descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": "x:1"});
        entries.push(index(&[descriptor]));
        for pipe in [false, true] {
            let fixture = Fixture::new();
            let archive = tar(&entries);
            let loaded =
                if pipe { fixture.load_pipe(&archive) } else { fixture.load_file(&archive, None) }.unwrap();
            assert_eq!((&loaded[0].id, loaded[0].names.len()), (&image.id(), 1));
            assert!(fixture.store.find_image("x:1").unwrap().manifest().unwrap().is_some());
        }
    }
}

#[test]
fn platforms_are_chosen() {
    let (amd, arm) =
        (Image::new(vec![layer("a", true)], "amd64"), Image::new(vec![layer("b", true)], "arm64"));
    let mut entries = Vec::new();
    let mut manifests = Vec::new();
    for (image, architecture) in [(&amd, "amd64"), (&arm, "arm64")] {
        let (blobs, mut descriptor) = image.oci(CompressionFormat::Gzip);
        descriptor["platform"] = json!({"os": "linux", "architecture": architecture});
        entries.extend(blobs);
        manifests.push(descriptor);
    }
    let attestation = json!({"digest": Digest::of(b""), "size": 0, "platform": {"os": "unknown", "architecture": "unknown"}});
    manifests.push(attestation);
    let flat = tar(&[&entries[..], &[index(&manifests)]].concat());
    let inner = json!({"schemaVersion": 2, "manifests": manifests}).to_string();
    let digest = Digest::of(inner.as_bytes());
    let outer = json!({"mediaType": "application/vnd.oci.image.index.v1+json", "digest": digest, "size": inner.len()});
    entries.push(entry(super::members::blob_name(&digest), inner));
    let nested = tar(&[&entries[..], &[index(&[outer])]].concat());
    for archive in [flat, nested] {
        for (platform, image) in [("linux/amd64", &amd), ("linux/arm64", &arm)] {
            let fixture = Fixture::new();
            let loaded = fixture.load_file(&archive, Some(platform)).unwrap();
            assert_eq!(loaded.iter().map(|loaded| &loaded.id).collect::<Vec<_>>(), [&image.id()]);
        }
        assert!(Fixture::new().load_file(&archive, Some("linux/s390x")).is_err());
    }
    let docker = tar(&amd.docker(&["x"]));
    assert_eq!(Fixture::new().load_file(&docker, Some("linux/amd64")).unwrap().len(), 1);
    let error = Fixture::new().load_file(&docker, Some("linux/arm64")).unwrap_err();
    assert!(format!("{error:#}").contains("linux/arm64"), "{error:#}");
}

#[test]
fn refusals_name_the_reason_and_leave_nothing() {
    let image = Image::new(vec![layer("a", true), layer("b", true)], "amd64");
    let with = |change: &dyn Fn(&mut Vec<Entry>)| {
        let mut entries = image.docker(&["x:1"]);
        change(&mut entries);
        tar(&entries)
    };
    let listing = |text: &'static str| with(&move |entries| entries[3].1 = Ok(text.into()));
    let mut other = Image::new(vec![layer("other", true)], "amd64").oci(CompressionFormat::Plain);
    other.0[1].1 = Ok(b"{}".to_vec());
    other.0.push(index(&[other.1]));
    let cases = [
        ("is not what its image says", with(&|entries| entries[1].1 = Ok(layer("other", true)))),
        ("lacks `layer1/layer.tar`", with(&|entries| drop(entries.remove(2)))),
        ("lacks its configuration", with(&|entries| drop(entries.remove(0)))),
        ("neither a manifest.json", with(&|entries| drop(entries.remove(3)))),
        ("configuration is malformed", with(&|entries| entries[0].1 = Ok(b"[".to_vec()))),
        ("checksum is wrong", with(&|entries| entries[1].1 = Ok(vec![b'x'; 100_000]))),
        ("manifest.json is malformed", listing("{}")),
        ("manifest.json is malformed", listing(r#"[{"Config":1}]"#)),
        (
            "lists 0 layers",
            with(&|entries| {
                let config = entries[0].0.clone();
                entries[3].1 =
                    Ok(json!([{"Config": config, "RepoTags": null, "Layers": null}]).to_string().into());
            }),
        ),
        (
            "invalid reference format",
            with(&|entries| {
                let text = String::from_utf8(entries[3].1.clone().unwrap()).unwrap();
                entries[3].1 = Ok(text.replace("x:1", "../X").into());
            }),
        ),
        ("another digest", tar(&other.0)),
        ("empty", tar(&[])),
        ("tar archive", b"this is no archive".to_vec()),
        ("before 1.10", tar(&[entry("repositories", "{}")])),
    ];
    for (why, archive) in cases {
        for pipe in [false, true] {
            let fixture = Fixture::new();
            let result = if pipe { fixture.load_pipe(&archive) } else { fixture.load_file(&archive, None) };
            let text = format!("{:#}", result.unwrap_err());
            // A layer in a stream is identified by its content, not by the digest it should have.
            let odd = pipe && text.contains("neither text nor a layer");
            assert!(text.contains(why) || odd, "{why}: {text}");
            assert!(fixture.is_clean(), "{why} left something");
        }
    }
}

#[test]
fn what_is_cut_off_leaves_nothing() {
    let image = Image::new(vec![layer("a", true), layer("b", true)], "amd64");
    let archive = tar(&image.docker(&["x:1"]));
    for part in 1..12 {
        let cut = &archive[..archive.len() * part / 12];
        let fixture = Fixture::new();
        assert!(fixture.load_file(cut, None).is_err(), "{part}");
        assert!(fixture.load_pipe(cut).is_err(), "{part}");
        assert!(fixture.load_pipe(&compress(CompressionFormat::Gzip, cut)).is_err(), "{part}");
        assert!(fixture.is_clean(), "{part}");
    }
}

#[test]
fn names_move_and_images_share() {
    let fixture = Fixture::new();
    let base = layer("base", true);
    let (one, two) = (
        Image::new(vec![base.clone(), layer("1", true)], "amd64"),
        Image::new(vec![base, layer("2", true)], "amd64"),
    );
    fixture.load_file(&tar(&one.docker(&["x:1"])), None).unwrap();
    fixture.load_pipe(&tar(&two.docker(&["x:1"]))).unwrap();
    assert_eq!(fixture.store.find_image("x:1").unwrap().id, two.id());
    assert!(fixture.store.image(&one.id()).unwrap().is_some());
    assert_eq!(fixture.store.layers().unwrap().len(), 3);
}

#[test]
fn what_no_image_wants_is_not_kept() {
    let image = Image::new(vec![layer("a", true)], "amd64");
    let mut entries = image.docker(&["x:1"]);
    entries.insert(0, entry("blobs/sha256/other", layer("unwanted", true)));
    let fixture = Fixture::new();
    fixture.load_pipe(&tar(&entries)).unwrap();
    assert_eq!(fixture.store.layers().unwrap().len(), 1);
}

#[test]
fn saving_twice_gives_the_same_bytes() {
    let image = Image::new(vec![layer("a", true), layer("b", false)], "amd64");
    let (one, two) = (Fixture::new(), Fixture::new());
    one.load_file(&tar(&image.docker(&["x:1", "y:2"])), None).unwrap();
    let saved = one.save(&["x:1", "y:2"]);
    let loaded = two.load_pipe(&saved).unwrap();
    assert_eq!((loaded.len(), loaded[0].names.len()), (1, 2));
    assert_eq!(two.save(&["x:1", "y:2"]), saved);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_image_survives_save_and_load(
        layers in prop::collection::vec((".{0,40}", any::<bool>()), 0..4),
        pipe in any::<bool>(),
    ) {
        let image = Image::new(layers.iter().map(|(text, large)| layer(text, *large)).collect(), "amd64");
        let (one, two) = (Fixture::new(), Fixture::new());
        one.load_file(&tar(&image.docker(&["x:1"])), None).unwrap();
        let saved = one.save(&["x:1"]);
        let loaded = if pipe { two.load_pipe(&saved) } else { two.load_file(&saved, None) }.unwrap();
        prop_assert_eq!(&loaded[0].id, &image.id());
        // The archive's OCI half describes the same images.
        let three = Fixture::new();
        let oci = three.load_file(&saved, Some("linux/amd64")).unwrap();
        prop_assert_eq!(&oci[0].id, &image.id());
    }

    #[test]
    fn damage_never_panics_and_never_passes_for_the_image(at in any::<prop::sample::Index>(), xor in 1u8..=255, pipe in any::<bool>()) {
        let image = Image::new(vec![layer("a", false)], "amd64");
        let mut archive = tar(&image.docker(&["x:1"]));
        let at = at.index(archive.len());
        archive[at] ^= xor;
        let fixture = Fixture::new();
        let result = if pipe { fixture.load_pipe(&archive) } else { fixture.load_file(&archive, None) };
        match result {
            // Any image with the right ID must have its layers.
            Ok(loaded) => for image in loaded {
                let found = fixture.store.image(&image.id).unwrap().unwrap();
                for diff_id in &found.config.rootfs.diff_ids {
                    let mut out = Vec::new();
                    crate::pack::pack_layer(&fixture.store, diff_id, &mut out).unwrap();
                }
            },
            Err(_) => prop_assert!(fixture.is_clean()),
        }
    }
}
