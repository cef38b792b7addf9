//! Unpacks an archive's layers into the store.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use anyhow::{Context as _, Result};

use super::members::{ArchiveMembers, MemberContent};
use crate::concurrent::run_concurrently;
use crate::unpack::{UnpackLimits, UnpackOptions, unpack_layer};
use dhow_error::{corrupt, not_found};
use dhow_model::digest::Digest;
use dhow_model::layer::LayerOwnership;
use dhow_model::progress::{LayerEvent, LayerProgress};
use dhow_store::{LayerLease, LayerSlot, Store};

/// Each unpack keeps more than one processor busy.
const MAX_CONCURRENT_UNPACKS: usize = 4;

/// A layer that an image requires, and the archive member that should contain it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RequestedLayer {
    pub(super) diff_id: Digest,
    pub(super) member: Vec<u8>,
}

/// Leases on the layers stored so far.
pub(super) struct ArchiveLayers<'a> {
    store: &'a Store,
    identity: LayerOwnership,
    progress: LoadingProgress<'a>,
    leases: BTreeMap<Digest, LayerLease>,
}

impl<'a> ArchiveLayers<'a> {
    pub(super) fn new(store: &'a Store, identity: LayerOwnership, progress: &'a dyn LayerProgress) -> Self {
        Self { store, identity, progress: LoadingProgress(progress), leases: BTreeMap::new() }
    }

    /// Leases the layer if the store has it.
    pub(super) fn lease_present(&mut self, diff_id: &Digest) -> Result<bool> {
        if self.leases.contains_key(diff_id) {
            return Ok(true);
        }
        if self.store.layer(diff_id)?.is_none() {
            return Ok(false);
        }
        match self.store.begin_layer(diff_id)? {
            LayerSlot::Present(lease) => {
                self.leases.insert(diff_id.clone(), lease);
                Ok(true)
            }
            // Removed between the two calls.
            LayerSlot::Draft(_) => Ok(false),
        }
    }

    /// Unpacks a layer of `size` bytes before knowing which image needs it. Returns its diff ID.
    pub(super) fn unpack_unknown(
        &mut self,
        source: impl Read + Send,
        name: &[u8],
        size: u64,
    ) -> Result<Digest> {
        let draft = self.store.begin_layer_without_digest()?;
        let record = unpack_layer(source, &draft, &self.unpack_options(label(name), size), &self.progress)?;
        let lease = draft.commit(record)?;
        let diff_id = lease.diff_id.clone();
        self.leases.insert(diff_id.clone(), lease);
        Ok(diff_id)
    }

    /// Leases all these layers, unpacking missing ones in parallel. After a failure no further one is
    /// started.
    pub(super) fn unpack_missing(
        &mut self,
        members: &ArchiveMembers,
        requested: &BTreeSet<RequestedLayer>,
    ) -> Result<()> {
        let missing = self.missing(requested)?;
        let limit = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_CONCURRENT_UNPACKS);
        let this = &*self;
        let (leases, error) =
            run_concurrently(limit, &missing, |layer| this.unpack_layer(members, layer), || {});
        // Kept even after a failure, for `collect_unused`.
        self.leases.extend(leases.into_iter().map(|lease| (lease.diff_id.clone(), lease)));
        error.map_or(Ok(()), Err)
    }

    /// The layers that the store lacks, each once.
    fn missing<'w>(&mut self, requested: &'w BTreeSet<RequestedLayer>) -> Result<Vec<&'w RequestedLayer>> {
        let mut missing: Vec<&RequestedLayer> = Vec::new();
        for layer in requested {
            // The set is ordered by diff ID, so duplicates under other member names are adjacent.
            let repeated = missing.last().is_some_and(|last| last.diff_id == layer.diff_id);
            if !repeated && !self.lease_present(&layer.diff_id)? {
                missing.push(layer);
            }
        }
        Ok(missing)
    }

    fn unpack_layer(&self, members: &ArchiveMembers, layer: &RequestedLayer) -> Result<LayerLease> {
        let draft = match self.store.begin_layer(&layer.diff_id)? {
            LayerSlot::Present(lease) => return Ok(lease),
            LayerSlot::Draft(draft) => draft,
        };
        let member_name = || String::from_utf8_lossy(&layer.member).escape_debug().to_string();
        let item = members.get(&layer.member).ok_or_else(|| {
            not_found(format!("the archive lacks `{}`, layer {}", member_name(), layer.diff_id))
        })?;
        let size = match item {
            MemberContent::Layer(actual) => {
                return Err(corrupt(format!(
                    "layer {} is not what its image says: `{}` has the digest {actual}",
                    layer.diff_id,
                    member_name()
                ))
                .into());
            }
            MemberContent::InArchive { size, .. } | MemberContent::InDir { size } => *size,
            MemberContent::Text(text) => text.len() as u64,
            MemberContent::Link(_) | MemberContent::Unusable(_) => 0,
        };
        let doing = || format!("cannot use `{}` as layer {}", member_name(), layer.diff_id);
        let source = members.named_content(&layer.member, item).with_context(doing)?;
        let options = self.unpack_options(layer.diff_id.short().to_owned(), size);
        let record = unpack_layer(source, &draft, &options, &self.progress)?;
        draft.commit(record)
    }

    fn unpack_options(&self, label: String, source_size: u64) -> UnpackOptions {
        UnpackOptions {
            identity: self.identity,
            limits: UnpackLimits::default(),
            label,
            compressed_size: source_size,
        }
    }

    /// A lease for each of an image's layers, in order.
    pub(super) fn leases(&self, diff_ids: &[Digest]) -> Result<Vec<LayerLease>> {
        let lease = |diff_id: &Digest| match self.store.begin_layer(diff_id)? {
            LayerSlot::Present(lease) => Ok(lease),
            LayerSlot::Draft(_) => {
                Err(corrupt(format!("layer {diff_id} has disappeared from the store")).into())
            }
        };
        diff_ids.iter().map(lease).collect()
    }

    /// Releases the leases and removes layers that ended up in no image.
    pub(super) fn collect_unused(self, used: &BTreeSet<Digest>) -> Result<()> {
        let unused = self.leases.keys().any(|diff_id| !used.contains(diff_id));
        drop(self.leases);
        if unused {
            // The leases are dropped already, so layers of this archive that no image uses can be removed.
            self.store.prune_layers()?;
        }
        Ok(())
    }
}

/// The first twelve characters of a member's name, as a label for progress.
fn label(name: &[u8]) -> String {
    let name = name.strip_suffix(b"/layer.tar").unwrap_or(name);
    let base = name.rsplit(|b| *b == b'/').next().unwrap_or(name);
    String::from_utf8_lossy(base).chars().take(12).collect()
}

/// Reports `Extracting` events as `Loading`.
struct LoadingProgress<'a>(&'a dyn LayerProgress);

impl LayerProgress for LoadingProgress<'_> {
    fn event(&self, layer: &str, event: LayerEvent) {
        let event = match event {
            LayerEvent::Extracting { current, total } => LayerEvent::Loading { current, total },
            other => other,
        };
        self.0.event(layer, event);
    }

    fn line(&self, text: &str) {
        self.0.line(text);
    }
}
