//! The disk format below the data root: where everything is, who may change it, and under which lock.
//!
//! ```text
//! version                         "1\n"; any other content is refused
//! layers/<hex diff-id>/           appears by rename: a name means complete and verified
//! │   fs/                         the tree in overlayfs's format (userxattr: whiteout 0:0, user.overlay.opaque=y)
//! │   recipe                      the tar stream without file contents (image::recipe)
//! │   extra/<n>                   contents that a later entry of the same archive replaced in the tree
//! │   layer.json                  LayerRecord
//! │   blobs.json                  PackedBlob of each compressed form it was given
//! images/<hex image id>/          appears by rename
//! │   config                      exact bytes; their SHA-256 is the image ID
//! │   manifest                    exact bytes as pulled, if any
//! │   image.json                  ImageRecord
//! cache/steps/<hex key>           StepRecord: what a step of a build made ([`super::build_cache`])
//! cache/contexts/<hex>            what is remembered of the files of a context, by the digest of its path
//! names/<escaped reference>       NameRecord: a tag or a digest of a repository → image ID
//! manifest-lists/<escaped reference>  ManifestList: what `manifest create` put together
//! containers/<id>/                a container once spec.json is there; before, its maker holds the lock; a step of a
//! │                               build stays like that ([`super::steps`])
//! │   lock                        held by the maker, then the supervisor: "running" is "locked"
//! │   spec.json                   replaced by who holds `edit`, made with the first edit ([`super::edit`])
//! │   state.json                  replaced by the lock's holder
//! │   upper/, work/               overlayfs
//! │   output.log, output.log.<n>  what it wrote, and what of that was put aside
//! │   control                     the supervisor's socket; a dead one's may lie there
//! containers/by-name/<name>       symbolic link to the ID; made exclusively, so it reserves the name
//! volumes/<name>/                 appears by rename
//! │   _data/, volume.json
//! cache/mounts/<name>/            what steps of builds keep from build to build ([`super::cache_mounts`])
//! │   fs/, mount.json
//! cache/failed/<digest>.json      FailedState: what a failed step of a build left
//! networks/<id>/                  appears by rename
//! │   network.json                NetworkSpec
//! │   leases/<address>            symbolic link to the ID of the container that has the address ([`super::leases`])
//! networks/by-name/<name>         symbolic link to the directory
//! events/log, log.old             what happened, a line an event ([`super::events`])
//! locks/<kind>-<name>             lock files; see below
//! builders.json                   names of builders ([`super::builders`])
//! said/<word>                     empty; there once something was said that is said once
//! tmp/<random>, <random>.lock     unfinished work and the lock that its maker holds
//! trash/<random>                  waits for removal by whoever comes
//! ```
//!
//! Records are written by [`super::atomic`] alone: to a hidden temporary name beside the target, then renamed.
//!
//! Locks are open-file-description locks on files that hold nothing. Readers of records take none.
//!
//! | file                 | shared                                            | exclusive                    |
//! |----------------------|---------------------------------------------------|------------------------------|
//! | `locks/layer-HEX`    | whoever relies on the layer until an image names it | its removal (never waits)  |
//! | `locks/unpack-HEX`   |                                                   | whoever unpacks it           |
//! | `locks/image-HEX`    | registering the image, a name, a container of it  | its removal                  |
//! | `locks/names`        |                                                   | a change of `names/`         |
//! | `locks/builders`     |                                                   | a change of `builders.json`  |
//! | `locks/manifest-lists` |                                                 | a change of `manifest-lists/` |
//! | `locks/events`       |                                                   | making the event log the old one |
//! | `locks/stale-names`  |                                                   | removal of a dead reservation in `by-name/` |
//! | `locks/volume-NAME`  | registering a container that uses it              | its removal                  |
//! | `locks/cache-NAME`   | a step that uses the cache mount with others      | one that does alone, its removal |
//! | `locks/networks`     |                                                   | making or removing a network |
//! | `locks/network-ID`   | a container that takes addresses of it            | its removal                  |
//! | `locks/leases-ID`    |                                                   | taking addresses back from the dead |
//!
//! Order, where several are held: layer, unpack, image, names; volume after image; networks, network, leases. A lock file is removed only by
//! who holds it exclusively, and whoever gets a lock checks that its file still has its name.

use std::path::PathBuf;

use super::Store;
use crate::model::digest::Digest;

impl Store {
    /// Where a layer's directory is or will be.
    pub fn layer_dir(&self, diff_id: &Digest) -> PathBuf {
        self.root.join("layers").join(diff_id.hex())
    }

    /// Where a layer's tree is or will be.
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

    /// The lock file of one object; `name` is a digest's digits or a checked name.
    pub(super) fn lock_path(&self, kind: &str, name: &str) -> PathBuf {
        self.root.join("locks").join(format!("{kind}-{name}"))
    }

    pub(super) fn plain_lock_path(&self, name: &str) -> PathBuf {
        self.root.join("locks").join(name)
    }
}

/// The digest whose digits name a directory; their number tells the algorithm.
pub(super) fn digest_of_dir(name: &str) -> Option<Digest> {
    let algorithm = if name.len() == 128 { "sha512" } else { "sha256" };
    format!("{algorithm}:{name}").parse().ok()
}
