//! The disk format below the data root: where each object is stored, who may change it, and under which lock.
//!
//! # Directory tree
//!
//! ```text
//! version                         "1\n"; any other content is refused
//! layers/<hex diff-id>/           created by rename: if the name exists, the layer is complete and verified
//! │   fs/                         the tree in overlayfs's format (userxattr: whiteout 0:0, user.overlay.opaque=y)
//! │   recipe                      tar-split: the tar stream without file contents (dhow_image::tar_split)
//! │   extra/<n>                   contents that a later entry of the same archive replaced in the tree
//! │   layer.json                  LayerRecord
//! │   blobs.json                  PackedBlob: digest and size of each compressed form produced so far
//! images/<hex image id>/          created by rename
//! │   config                      exact bytes; their SHA-256 is the image ID
//! │   manifest                    exact bytes as pulled, if any
//! │   image.json                  ImageRecord
//! cache/steps/<hex key>           StepRecord: the result of a build step ([`super::build_cache`])
//! cache/contexts/<hex>            cached file metadata of a build context, keyed by the digest of its path
//! cache/listings/<name>           copies of many records, for listings ([`super::listing_index`])
//! names/<escaped reference>       NameRecord: a repository's tag or digest → image ID
//! manifest-lists/<escaped reference>  ManifestList: a list assembled by `manifest create`
//! containers/<id>/                a container once spec.json exists; until then its creator holds the lock. A build
//! │                               step keeps this unfinished form for its whole life ([`super::step_dirs`])
//! │   lock                        held by the creator, then the supervisor: "running" means "locked"
//! │   spec.json                   replaced by the holder of `edit`, created by the first edit ([`super::spec_edit`])
//! │   state.json                  replaced by the holder of `lock`
//! │   upper/, work/               overlayfs
//! │   output.log, output.log.<n>  the container's output, and rotated files
//! │   control                     the supervisor's socket; a stale one may be left behind
//! containers/by-name/<name>       symbolic link to the ID; created exclusively, so it reserves the name
//! volumes/<name>/                 created by rename
//! │   _data/, volume.json
//! cache/mounts/<name>/            `RUN --mount=type=cache` directories ([`super::cache_mounts`])
//! │   fs/, mount.json
//! cache/failed/<digest>.json      FailedState: the file system left by a failed build step
//! networks/<id>/                  created by rename
//! │   network.json                NetworkSpec
//! │   leases/<address>            symbolic link to the ID of the container that has the address ([`super::leases`])
//! networks/by-name/<name>         symbolic link to the directory
//! events/log, log.old             one event per line ([`super::events`])
//! locks/<kind>-<name>             lock files; see below
//! helpers/<name>.lock             serialises the start of a network helper ([`super::helper_dir`])
//! builders.json                   names of builders ([`super::builders`])
//! said/<word>                     empty marker: this one-time notice has been shown
//! tmp/<random>, <random>.lock     unfinished work and the lock held by its creator
//! trash/<random>                  waiting for deletion by the next sweep
//! ```
//!
//! Only [`super::atomic`] writes records: to a hidden temporary name in the target's directory, then renamed.
//!
//! # Locks
//!
//! Locks are open-file-description locks on empty files. Readers of records take none.
//!
//! | file                 | held shared by                                    | held exclusively by          |
//! |----------------------|---------------------------------------------------|------------------------------|
//! | `locks/layer-HEX`    | users of the layer, until an image refers to it   | its removal (never waits)    |
//! | `locks/unpack-HEX`   |                                                   | the process that unpacks it  |
//! | `locks/image-HEX`    | registering the image, a name or a container of it | its removal                 |
//! | `locks/names`        |                                                   | changes to `names/`          |
//! | `locks/builders`     |                                                   | changes to `builders.json`   |
//! | `locks/manifest-lists` |                                                 | changes to `manifest-lists/` |
//! | `locks/events`       |                                                   | rotation of the event log    |
//! | `locks/stale-names`  |                                                   | removal of a stale link in `by-name/` |
//! | `locks/volume-NAME`  | registration of a container that uses it          | its removal                  |
//! | `locks/cache-NAME`   | steps that share the cache mount                  | a step using it alone; its removal |
//! | `locks/networks`     |                                                   | creation or removal of a network |
//! | `locks/network-ID`   | a container that is allocating its addresses      | its removal                  |
//! | `locks/leases-ID`    |                                                   | reclaiming leases of dead containers |
//!
//! # Lock order
//!
//! Where several are held: layer, unpack, image, names; volume after image; networks, network, leases. Only an
//! exclusive holder may remove a lock file, and every acquirer checks that its file still has its name.

use std::path::PathBuf;

use super::Store;
use dhow_model::digest::Digest;

impl Store {
    /// The layer's directory, whether or not it exists yet.
    pub fn layer_dir(&self, diff_id: &Digest) -> PathBuf {
        self.root.join("layers").join(diff_id.hex())
    }

    /// The layer's tree, whether or not it exists yet.
    pub fn layer_tree(&self, diff_id: &Digest) -> PathBuf {
        self.layer_dir(diff_id).join("fs")
    }

    pub(super) fn layers_dir(&self) -> PathBuf {
        self.root.join("layers")
    }

    pub(super) fn images_dir(&self) -> PathBuf {
        self.root.join("images")
    }

    pub(super) fn image_dir(&self, id: &Digest) -> PathBuf {
        self.images_dir().join(id.hex())
    }

    pub(super) fn names_dir(&self) -> PathBuf {
        self.root.join("names")
    }

    pub(super) fn containers_dir(&self) -> PathBuf {
        self.root.join("containers")
    }

    pub(super) fn by_name_dir(&self) -> PathBuf {
        self.root.join("containers/by-name")
    }

    pub(super) fn volumes_dir(&self) -> PathBuf {
        self.root.join("volumes")
    }

    pub(super) fn networks_dir(&self) -> PathBuf {
        self.root.join("networks")
    }

    pub(super) fn network_dir(&self, id: &str) -> PathBuf {
        self.networks_dir().join(id)
    }

    pub(super) fn events_dir(&self) -> PathBuf {
        self.root.join("events")
    }

    pub(super) fn tmp_dir(&self) -> PathBuf {
        self.root.join("tmp")
    }

    pub(super) fn trash_dir(&self) -> PathBuf {
        self.root.join("trash")
    }

    /// The lock file of one object. `name` is a digest's hex digits or a validated name.
    pub(super) fn lock_path(&self, kind: &str, name: &str) -> PathBuf {
        self.root.join("locks").join(format!("{kind}-{name}"))
    }

    pub(super) fn plain_lock_path(&self, name: &str) -> PathBuf {
        self.root.join("locks").join(name)
    }
}

/// Parses a directory name that consists of a digest's hex digits; their count determines the algorithm.
pub(super) fn digest_of_dir(name: &str) -> Option<Digest> {
    let algorithm = if name.len() == 128 { "sha512" } else { "sha256" };
    format!("{algorithm}:{name}").parse().ok()
}
