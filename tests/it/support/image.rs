//! Images built entry by entry: any content, valid or hostile, without privileges.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

/// One entry of a layer's tar archive. Names and link targets are bytes, written as they are.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    name: Vec<u8>,
    kind: EntryType,
    link: Vec<u8>,
    data: Vec<u8>,
    mode: u32,
    owner: (u64, u64),
    mtime: u64,
    device: (u32, u32),
    pax: Vec<(String, Vec<u8>)>,
    claimed_size: Option<u64>,
}

impl Entry {
    /// An entry of any kind.
    pub(crate) fn new(kind: EntryType, name: impl AsRef<[u8]>) -> Self {
        let mode = if kind == EntryType::Directory { 0o755 } else { 0o644 };
        Self {
            name: name.as_ref().to_vec(),
            kind,
            link: Vec::new(),
            data: Vec::new(),
            mode,
            owner: (0, 0),
            mtime: 1_600_000_000,
            device: (0, 0),
            pax: Vec::new(),
            claimed_size: None,
        }
    }

    /// A regular file.
    pub(crate) fn file(name: impl AsRef<[u8]>, data: impl Into<Vec<u8>>) -> Self {
        Self { data: data.into(), ..Self::new(EntryType::Regular, name) }
    }

    /// A directory.
    pub(crate) fn dir(name: impl AsRef<[u8]>) -> Self {
        Self::new(EntryType::Directory, name)
    }

    /// A symbolic link.
    pub(crate) fn symlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self { link: target.as_ref().to_vec(), mode: 0o777, ..Self::new(EntryType::Symlink, name) }
    }

    /// A hard link to the entry called `target`.
    pub(crate) fn hardlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self { link: target.as_ref().to_vec(), ..Self::new(EntryType::Link, name) }
    }

    /// A character device.
    pub(crate) fn device(name: impl AsRef<[u8]>, major: u32, minor: u32) -> Self {
        Self { device: (major, minor), ..Self::new(EntryType::Char, name) }
    }

    /// The whiteout of `name` in `dir` (which ends in a slash, or is empty).
    pub(crate) fn whiteout(dir: &str, name: &str) -> Self {
        Self::file(format!("{dir}.wh.{name}"), "")
    }

    /// The mark of an opaque directory `dir`, which ends in a slash.
    pub(crate) fn opaque(dir: &str) -> Self {
        Self::file(format!("{dir}.wh..wh..opq"), "")
    }

    /// Sets the content, also of kinds that should have none.
    pub(crate) fn data(mut self, data: impl Into<Vec<u8>>) -> Self {
        self.data = data.into();
        self
    }

    pub(crate) fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    pub(crate) fn owner(mut self, uid: u64, gid: u64) -> Self {
        self.owner = (uid, gid);
        self
    }

    /// Seconds since 1970.
    pub(crate) fn mtime(mut self, mtime: u64) -> Self {
        self.mtime = mtime;
        self
    }

    /// A PAX record before the entry.
    pub(crate) fn pax(mut self, key: &str, value: impl AsRef<[u8]>) -> Self {
        self.pax.push((key.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// An extended attribute.
    pub(crate) fn xattr(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.pax(&format!("SCHILY.xattr.{name}"), value)
    }

    /// Writes another size into the header than the data has.
    pub(crate) fn claim_size(mut self, size: u64) -> Self {
        self.claimed_size = Some(size);
        self
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut pax = self.pax.clone();
        if self.name.len() > 100 {
            pax.push(("path".to_owned(), self.name.clone()));
        }
        if self.link.len() > 100 {
            pax.push(("linkpath".to_owned(), self.link.clone()));
        }
        if !pax.is_empty() {
            let records: Vec<u8> = pax.iter().flat_map(|(key, value)| pax_record(key, value)).collect();
            let header = Self { data: records, ..Self::new(EntryType::XHeader, "PaxHeaders/entry") };
            header.write_plain(out);
        }
        self.write_plain(out);
    }

    fn write_plain(&self, out: &mut Vec<u8>) {
        let mut header = Header::new_gnu();
        copy_prefix(&mut header.as_old_mut().name, &self.name);
        copy_prefix(&mut header.as_old_mut().linkname, &self.link);
        header.set_entry_type(self.kind);
        header.set_mode(self.mode);
        header.set_uid(self.owner.0);
        header.set_gid(self.owner.1);
        header.set_mtime(self.mtime);
        header.set_size(self.claimed_size.unwrap_or(self.data.len() as u64));
        if matches!(self.kind, EntryType::Char | EntryType::Block) {
            header.set_device_major(self.device.0).expect("a GNU header");
            header.set_device_minor(self.device.1).expect("a GNU header");
        }
        header.set_cksum();
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(&self.data);
        out.resize(out.len().next_multiple_of(512), 0);
    }
}

fn copy_prefix(field: &mut [u8; 100], bytes: &[u8]) {
    let count = bytes.len().min(field.len());
    field[..count].copy_from_slice(&bytes[..count]);
}

/// A PAX record, whose length field counts itself.
fn pax_record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

/// How layers are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    #[default]
    Gzip,
    Zstd,
}

impl Compression {
    fn apply(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::None => bytes.to_vec(),
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(bytes).expect("gzip in memory");
                encoder.finish().expect("gzip in memory")
            }
            Self::Zstd => zstd::encode_all(bytes, 1).expect("zstd in memory"),
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::None => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }
}

/// The uncompressed tar archive of a layer.
#[derive(Clone, Debug)]
pub(crate) struct Layer(pub(crate) Vec<u8>);

impl Layer {
    /// A layer of these entries, in this order.
    pub(crate) fn new(entries: impl IntoIterator<Item = Entry>) -> Self {
        let mut bytes = Vec::new();
        for entry in entries {
            entry.write(&mut bytes);
        }
        bytes.resize(bytes.len() + 1024, 0);
        Self(bytes)
    }

    /// The digest of the uncompressed archive.
    pub(crate) fn diff_id(&self) -> String {
        digest(&self.0)
    }
}

/// `sha256:…` of `bytes`.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// The hexadecimal digits of a digest.
pub(crate) fn hex(digest: &str) -> &str {
    digest.strip_prefix("sha256:").expect("a sha256 digest")
}

/// An image in the making.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) layers: Vec<Layer>,
    /// The whole configuration, open to any change.
    pub(crate) config: Value,
    pub(crate) compression: Compression,
}

impl Image {
    /// An image of these layers for this machine's architecture.
    pub(crate) fn new(layers: impl IntoIterator<Item = Layer>) -> Self {
        let layers: Vec<Layer> = layers.into_iter().collect();
        let config = json!({
            "architecture": go_architecture(),
            "os": "linux",
            "created": "2024-01-02T03:04:05Z",
            "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": ["sh"]},
            "rootfs": {"type": "layers", "diff_ids": layers.iter().map(Layer::diff_id).collect::<Vec<_>>()},
            "history": layers.iter().enumerate().map(|(n, _)| json!({
                "created": "2024-01-02T03:04:05Z", "created_by": format!("step {n}"),
            })).collect::<Vec<_>>(),
        });
        Self { layers, config, compression: Compression::default() }
    }

    /// Sets a field of the configuration's `config`, such as `User`.
    pub(crate) fn set(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.config["config"][field] = value.into();
        self
    }

    /// Sets a field of the configuration itself, such as `architecture`.
    pub(crate) fn set_top(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.config[field] = value.into();
        self
    }

    /// Sets how an OCI layout compresses the layers.
    pub(crate) fn compressed(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// The configuration's bytes.
    pub(crate) fn config_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.config).expect("JSON")
    }

    /// The image ID: the configuration's digest.
    pub(crate) fn id(&self) -> String {
        digest(&self.config_bytes())
    }

    /// The short image ID, as in listings.
    pub(crate) fn short_id(&self) -> String {
        hex(&self.id())[..12].to_owned()
    }

    /// An archive as `docker save` wrote it before version 25, with uncompressed layers.
    pub(crate) fn docker_archive(&self, names: &[&str]) -> Vec<u8> {
        docker_archive(&[(self, names)])
    }

    /// Writes an OCI layout directory in which the image is called `name`, and returns its manifest's digest.
    pub(crate) fn write_oci_layout(&self, dir: &Path, name: &str) -> String {
        let manifest = self.write_blobs(dir);
        write_index(dir, &[(manifest.clone(), name)]);
        manifest["digest"].as_str().expect("a digest").to_owned()
    }

    /// Writes the blobs into a layout and returns the manifest's descriptor.
    pub(crate) fn write_blobs(&self, dir: &Path) -> Value {
        let layers: Vec<Value> = self
            .layers
            .iter()
            .map(|layer| write_blob(dir, self.compression.media_type(), &self.compression.apply(&layer.0)))
            .collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": write_blob(dir, "application/vnd.oci.image.config.v1+json", &self.config_bytes()),
            "layers": layers,
        });
        let bytes = serde_json::to_vec(&manifest).expect("JSON");
        let mut descriptor = write_blob(dir, "application/vnd.oci.image.manifest.v1+json", &bytes);
        descriptor["platform"] =
            json!({"architecture": self.config["architecture"], "os": self.config["os"]});
        descriptor
    }
}

/// A docker archive of several images.
pub(crate) fn docker_archive(images: &[(&Image, &[&str])]) -> Vec<u8> {
    let mut entries = Vec::new();
    let mut manifest = Vec::new();
    for (image, names) in images {
        let config = format!("{}.json", hex(&image.id()));
        let layers: Vec<String> =
            image.layers.iter().map(|layer| format!("{}/layer.tar", hex(&layer.diff_id()))).collect();
        entries.push(Entry::file(&config, image.config_bytes()));
        entries
            .extend(image.layers.iter().zip(&layers).map(|(layer, name)| Entry::file(name, layer.0.clone())));
        manifest.push(json!({"Config": config, "RepoTags": names, "Layers": layers}));
    }
    entries.push(Entry::file("manifest.json", serde_json::to_vec(&manifest).expect("JSON")));
    Layer::new(entries).0
}

/// Writes a blob into a layout and returns its descriptor.
pub(crate) fn write_blob(dir: &Path, media_type: &str, bytes: &[u8]) -> Value {
    let digest = digest(bytes);
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("blobs");
    fs::write(blobs.join(hex(&digest)), bytes).expect("a blob");
    json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
}

/// Writes the entry point of a layout: descriptors and the names they go by.
pub(crate) fn write_index(dir: &Path, manifests: &[(Value, &str)]) {
    let manifests: Vec<Value> = manifests
        .iter()
        .map(|(descriptor, name)| {
            let mut descriptor = descriptor.clone();
            descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": name});
            descriptor
        })
        .collect();
    let index = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests,
    });
    fs::write(dir.join("index.json"), index.to_string()).expect("index.json");
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("oci-layout");
}

/// Writes an image index of several images, for several platforms, called `name`.
pub(crate) fn write_multi_platform(dir: &Path, images: &[&Image], name: &str) {
    let manifests: Vec<Value> = images.iter().map(|image| image.write_blobs(dir)).collect();
    let index = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests,
    });
    let bytes = serde_json::to_vec(&index).expect("JSON");
    let descriptor = write_blob(dir, "application/vnd.oci.image.index.v1+json", &bytes);
    write_index(dir, &[(descriptor, name)]);
}

/// Go's name of this machine's architecture.
pub(crate) fn go_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
