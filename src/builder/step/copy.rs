//! `COPY`, `ADD` and `WORKDIR`: files are written to a draft of a layer, directly or by unpacking archives.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::inputs::copy_spec;
use super::{InputFiles, StepDone, StepJob, StepOutcome, StepResult};
use crate::load::HostContext;
use crate::sources::tar::ArchiveUnpacker;
use dhow_build::ast::CopyFlags;
use dhow_build::cache_key::{self, KeyInputs};
use dhow_build::context::{
    ArchiveExtractor, CopySpec, LayerWriter, NoUnpack, SourceTree, StatCache, UnstoredOwners, copy_here_docs,
    copy_selected, scan_source,
};
use dhow_build::dockerignore::IgnoreFile;
use dhow_build::plan::{CopyOp, WorkdirOp};
use dhow_image::commit_upper::{UpperCommit, commit_upper};
use dhow_model::digest::Digest;
use dhow_runtime::rootfs_view::lower_dirs;
use dhow_store::{LayerDraft, LayerLease};

impl StepJob<'_> {
    fn common(&self) -> KeyInputs<'_> {
        KeyInputs { parents: &self.chain, epoch: self.epoch(), identity: self.ownership }
    }

    /// Creates a directory, unless it exists. Called in a job that can create files of every owner.
    pub(super) fn workdir(&self, op: &WorkdirOp) -> Result<StepDone> {
        let lowers = lower_dirs(self.context.store, &self.chain.layers);
        let draft = self.context.store.begin_layer_without_digest()?;
        let mut target = LayerWriter::open(&draft.tree(), &lowers, self.ownership, self.epoch())?;
        let owner = match op.user.as_str() {
            // Needs no lookup in the image's /etc/passwd.
            "" | "root" | "0" | "0:0" | "root:root" => (0, 0),
            user => target.owner(user)?,
        };
        let created = target.make_dirs(&op.path, owner)?;
        let owners = target.finish()?;
        // An existing directory changes nothing, so there is no layer.
        let lease = if created { self.commit_layer(draft, &lowers, &owners)? } else { None };
        self.record_result(self.key.clone(), lease)
    }

    /// Copies the files of `op`. Called in a job that can create files of every owner.
    pub(super) fn copy(&self, op: &CopyOp) -> Result<StepDone> {
        match self.files.first() {
            Some(InputFiles::Host(context)) => self.copy_from(op, &context.source, Some(context)),
            Some(InputFiles::Layers(layers)) => {
                let trees = lower_dirs(self.context.store, layers);
                self.copy_from(op, &SourceTree::layers(&trees)?, None)
            }
            None => anyhow::bail!("a copy has no source"),
        }
    }

    fn copy_from(&self, op: &CopyOp, source: &SourceTree, host: Option<&HostContext>) -> Result<StepDone> {
        let spec = copy_spec(op);
        let mut cache = match host {
            Some(host) if host.persistent => StatCache::parse(&self.context.store.context_files(&host.dir)),
            _ => StatCache::default(),
        };
        let has_files = op.local().next().is_some();
        if host.is_none() && has_files {
            // The same files may come from other layers, so look the copy up again by content.
            let scanned = scan_source(source, &spec, &mut cache)?;
            let key = cache_key::copy_key(self.common(), op, &format!("content {}", scanned.digest));
            if !self.ignore_cache
                && let Some(cached) = self.find_by_content(&key)?
            {
                return Ok(cached);
            }
        }
        // `COPY --link` is independent of the layers below, unless an owner's name must be looked up in them.
        let lowers = if op.flags.link && !op.names_owner() {
            Vec::new()
        } else {
            lower_dirs(self.context.store, &self.chain.layers)
        };
        let draft = self.context.store.begin_layer_without_digest()?;
        let mut target = LayerWriter::open(&draft.tree(), &lowers, self.ownership, self.epoch())?;
        let mut key = self.key.clone();
        for fetched in self.fetched.iter().flatten() {
            let source = SourceTree::directory(&fetched.dir, IgnoreFile::none())?;
            // A repository is filtered like a context; a single download is never excluded.
            let exclude = if fetched.path == "/" { spec.flags.exclude.clone() } else { Vec::new() };
            let spec = CopySpec {
                sources: vec![fetched.path.clone()],
                here_docs: Vec::new(),
                // Unlike local archives, downloaded ones are unpacked only on request.
                unpack: op.unpack.unwrap_or(false),
                flags: CopyFlags { exclude, ..spec.flags.clone() },
                ..spec.clone()
            };
            with_unpacker(&spec, |unpack| {
                copy_selected(&source, &spec, &mut target, &mut StatCache::default(), unpack)
            })?;
        }
        if has_files {
            let copied =
                with_unpacker(&spec, |unpack| copy_selected(source, &spec, &mut target, &mut cache, unpack))?;
            // Files may have changed since they were scanned: the key is that of what was copied.
            let mut inputs = self.inputs.clone();
            if let Some(first) = inputs.first_mut() {
                *first = format!("content {}", copied.digest);
            }
            key = cache_key::copy_key(self.common(), op, &inputs.join("\n"));
        }
        if !spec.here_docs.is_empty() {
            copy_here_docs(&spec, &mut target)?;
        }
        let owners = target.finish()?;
        let lease = self.commit_layer(draft, &lowers, &owners)?;
        self.record_result(key, lease)
    }

    /// Looks the cache up by content, which only the job can compute.
    fn find_by_content(&self, key: &Digest) -> Result<Option<StepDone>> {
        let Some((key, record)) = self.context.store.step(key)? else { return Ok(None) };
        let lease = match &record.layer {
            Some(layer) => match self.context.store.lease_layer(layer)? {
                Some(lease) if lease.identity == self.ownership => Some(lease),
                _ => return Ok(None),
            },
            None => None,
        };
        // So that next time the solver finds the result without reading any file.
        self.alias_key(&key)?;
        let result =
            StepResult { key: key.clone(), layer: record.layer.clone(), created: record.created.clone() };
        self.context.store.record_step_use(&key, record)?;
        let initial_key = self.key.clone();
        Ok(Some((StepOutcome::Completed { initial_key, result, cached: true }, lease)))
    }

    fn commit_layer(
        &self,
        draft: LayerDraft,
        lowers: &[PathBuf],
        owners: &UnstoredOwners,
    ) -> Result<Option<LayerLease>> {
        let lower: Vec<&Path> = lowers.iter().map(PathBuf::as_path).collect();
        let options = UpperCommit {
            lower: &lower,
            epoch: self.epoch(),
            identity: self.ownership,
            owner_of_new: None,
            owners: Some(owners),
        };
        match commit_upper(&draft, &options)? {
            Some(record) => Ok(Some(draft.commit(record)?)),
            None => Ok(None),
        }
    }
}

/// Calls `copy` with an unpacker, if archives are to be unpacked.
fn with_unpacker<T>(spec: &CopySpec, copy: impl FnOnce(&mut dyn ArchiveExtractor) -> Result<T>) -> Result<T> {
    if spec.unpack { copy(&mut ArchiveUnpacker) } else { copy(&mut NoUnpack) }
}
