//! Exporters: turn a build's result into images in the store, on registries and in archives, or into plain
//! files.
//!
//! [`ExporterSet::prepare`] runs as the user, since it looks for credentials. [`ExporterSet::export_all`]
//! runs in a job that can read files of every owner.

pub(crate) mod capture;
mod files;
pub(crate) mod job;
pub(crate) mod options;
pub(crate) mod provenance;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use self::files::MergedTree;
pub(crate) use self::files::make_dirs;
use self::options::{AnnotationSet, ExportDest, ExportOptions, ExporterKind};
use self::provenance::{ProvenanceCapture, ProvenanceOptions};
use crate::layer_lease::lease_existing;
use crate::request::BuildRequest;
use dhow_error::{Failure, invalid, output_closed};
use dhow_image::archive::layout::OciLayout;
use dhow_image::archive::output::OutputFile;
use dhow_image::push::assemble::{IndexMember, ManifestSink, StatementFn, assemble_manifest};
use dhow_image::push::{ImageParts, ImagePusher, ReadyManifest};
use dhow_image::registry::push_target::PushTarget;
use dhow_image::registry::repository::ManifestRef;
use dhow_model::digest::Digest;
use dhow_model::environment::Environment;
use dhow_model::platform::Platform;
use dhow_model::progress::LayerProgress;
use dhow_model::reference::ImageReference;
use dhow_store::{LayerLease, NewImage, Store};

/// The result for one platform.
#[derive(Clone, Debug)]
pub(crate) struct PlatformResult {
    pub platform: Platform,
    /// The image configuration, byte for byte.
    pub config: Vec<u8>,
    /// Diff IDs, lowest first.
    pub layers: Vec<Digest>,
    pub capture: ProvenanceCapture,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ExportResult {
    /// The image ID; that of the first platform if there are several.
    pub image: Option<Digest>,
    /// The digest of the manifest or index that was pushed or written.
    pub manifest: Option<Digest>,
    /// For `--metadata-file`.
    pub metadata: Map<String, Value>,
}

/// All exporters of a build, ready to run.
#[derive(Debug)]
pub(crate) struct ExporterSet {
    outputs: Vec<(ExportOptions, Vec<PushTarget>)>,
    /// `--tag`.
    tags: Vec<ImageReference>,
    annotations: BTreeMap<String, String>,
    provenance: ProvenanceOptions,
    /// Problems that do not stop the build.
    pub warnings: Vec<String>,
}

impl ExporterSet {
    /// Parses the options, and finds registries and credentials for what will be pushed.
    pub(crate) fn prepare(environment: &Environment, request: &BuildRequest) -> Result<Self> {
        let tags = request.tags.iter().map(|tag| parse_tag(tag)).collect::<Result<Vec<_>, _>>()?;
        let provenance = ProvenanceOptions::parse(&request.attests)?;
        AnnotationSet::parse(request.annotations.iter())?;
        let mut exports = Self {
            outputs: Vec::new(),
            tags,
            annotations: request.annotations.clone(),
            provenance,
            warnings: Vec::new(),
        };
        for entry in &request.outputs {
            let options = ExportOptions::parse(entry)?;
            let targets = exports.targets(environment, &options)?;
            exports.outputs.push((options, targets));
        }
        if request.outputs.is_empty() {
            let kind = ExporterKind::Image { push: false, by_digest: false, store: true, insecure: false };
            let (names, form, annotations) = Default::default();
            exports.outputs.push((ExportOptions { kind, names, form, annotations }, Vec::new()));
        }
        Ok(exports)
    }

    fn targets(&mut self, environment: &Environment, options: &ExportOptions) -> Result<Vec<PushTarget>> {
        let ExporterKind::Image { push: true, insecure, .. } = options.kind else { return Ok(Vec::new()) };
        let names = options.names.as_ref().unwrap_or(&self.tags);
        if names.is_empty() {
            return Err(invalid("tag is needed when pushing to registry").hint("give a name with -t").into());
        }
        let mut targets = Vec::new();
        for name in names {
            let target = PushTarget::resolve(environment, name)
                .with_context(|| format!("cannot push {}", name.familiar()))?;
            self.warnings.extend(target.warnings.iter().cloned());
            targets.push(if insecure { target.insecure() } else { target });
        }
        Ok(targets)
    }

    /// Whether the only output is an image in the store under the names of `--tag`.
    pub(crate) fn is_store_only(&self) -> bool {
        let plain = |options: &ExportOptions| {
            matches!(options.kind, ExporterKind::Image { push: false, store: true, .. })
                && options.names.is_none()
        };
        matches!(self.outputs.as_slice(), [(options, _)] if plain(options))
    }

    /// The step title of each exporter: `exporting to image` and so on.
    pub(crate) fn step_titles(&self) -> Vec<&'static str> {
        let title = |options: &ExportOptions| match &options.kind {
            ExporterKind::Image { .. } => "exporting to image",
            ExporterKind::Archive { oci: true, .. } => "exporting to oci image format",
            ExporterKind::Archive { oci: false, .. } => "exporting to docker image format",
            ExporterKind::Files { tar: true, .. } => "exporting to client tarball",
            ExporterKind::Files { tar: false, .. } => "exporting to client directory",
            ExporterKind::Cache => "exporting nothing",
        };
        self.outputs.iter().map(|(options, _)| title(options)).collect()
    }

    /// Runs every exporter. The process must have a single thread and be able to read files of every owner.
    /// `report` gets progress lines.
    pub(crate) fn export_all(
        &self,
        store: &Store,
        outputs: &[PlatformResult],
        report: &mut dyn FnMut(&str),
        progress: &dyn LayerProgress,
    ) -> Result<ExportResult> {
        let mut exported = ExportResult::default();
        // Held until the images refer to the layers.
        let lease = |layer: &Digest| lease_existing(store, layer);
        let leases = outputs.iter().map(|output| output.layers.iter().map(lease).collect());
        let leases = leases.collect::<Result<Vec<Vec<_>>>>()?;
        // Mounting needs a single thread, and so files come first.
        for (options, _) in &self.outputs {
            if let ExporterKind::Files { tar, to, split } = &options.kind {
                self.files(store, outputs, *tar, to, *split, report)?;
            }
        }
        for (options, targets) in &self.outputs {
            let mut task =
                ExportTask { exports: self, store, outputs, options, progress, exported: &mut exported };
            match &options.kind {
                ExporterKind::Image { push, by_digest, store, .. } => {
                    if *store {
                        task.store(&leases, report)?;
                    }
                    if *push {
                        task.push(targets, *by_digest, report)?;
                    }
                }
                ExporterKind::Archive { oci, to, directory } => task.archive(*oci, to, *directory)?,
                ExporterKind::Files { .. } | ExporterKind::Cache => {}
            }
        }
        Ok(exported)
    }

    fn files(
        &self,
        store: &Store,
        outputs: &[PlatformResult],
        tar: bool,
        to: &ExportDest,
        split: bool,
        report: &mut dyn FnMut(&str),
    ) -> Result<()> {
        if tar && outputs.len() > 1 {
            return Err(invalid("several platforms do not go into one archive of files")
                .hint("type=local makes a directory of each, type=oci an image of all")
                .into());
        }
        for output in outputs {
            let tree = MergedTree::mount(store, &output.layers)?;
            match to {
                ExportDest::Path(dir) if !tar => {
                    // BuildKit's names: `linux_arm64`.
                    let name = output.platform.to_string().replace('/', "_");
                    let dir = if split && outputs.len() > 1 { dir.join(name) } else { dir.clone() };
                    let left_out = tree.copy_to(&dir)?;
                    if !left_out.is_empty() {
                        report(&format!("left out, as only root can make devices: {}", left_out.join(", ")));
                    }
                    self.provenance_beside(output, &dir)?;
                }
                dest => write_dest(dest, |out| tree.write_tar(out))?,
            }
        }
        Ok(())
    }

    /// Writes `provenance.json` next to the files, as BuildKit does.
    fn provenance_beside(&self, output: &PlatformResult, dir: &Path) -> Result<()> {
        if !self.provenance.enabled {
            return Ok(());
        }
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v0.1",
            "predicateType": provenance::PREDICATE,
            "subject": [],
            "predicate": self.provenance.predicate(&output.capture, &output.platform),
        });
        let text = serde_json::to_vec_pretty(&statement)?;
        write_dest(&ExportDest::Path(dir.join("provenance.json")), |out| Ok(out.write_all(&text)?))
    }
}

fn parse_tag(tag: &str) -> Result<ImageReference, Failure> {
    let reference = tag.parse::<ImageReference>();
    let reference =
        reference.map_err(|error| invalid(format!("invalid tag \"{}\": {error}", tag.escape_debug())))?;
    match reference.digest() {
        Some(_) => Err(invalid(format!("invalid tag \"{}\": it has a digest", tag.escape_debug()))),
        None => Ok(reference.or_latest()),
    }
}

/// Calls `write` with standard output, or with a file that appears only when complete.
fn write_dest(dest: &ExportDest, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    match dest {
        ExportDest::Stdout => {
            let mut out = BufWriter::with_capacity(256 << 10, std::io::stdout().lock());
            let written = write(&mut out).and_then(|()| Ok(out.flush()?));
            written.map_err(|error| if is_broken_pipe(&error) { output_closed().into() } else { error })
        }
        ExportDest::Path(path) => {
            let doing = || format!("cannot write {}", path.display());
            // A device or a FIFO (`dest=/dev/stdout`) cannot be replaced by rename.
            if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
                let mut file = File::options().write(true).open(path).with_context(doing)?;
                return write(&mut file).with_context(doing);
            }
            let unfinished = OutputFile::create_beside(path).with_context(doing)?;
            let mut out = BufWriter::with_capacity(256 << 10, unfinished.file());
            write(&mut out).with_context(doing)?;
            out.flush().with_context(doing)?;
            drop(out);
            unfinished.rename(path).with_context(doing)
        }
    }
}

/// Whether a reader that is gone caused `error`.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = |cause: &(dyn std::error::Error + 'static)| Some(cause.downcast_ref::<io::Error>()?.kind());
    error.chain().any(|cause| io(cause) == Some(io::ErrorKind::BrokenPipe))
}

/// One exporter at work.
struct ExportTask<'a> {
    exports: &'a ExporterSet,
    store: &'a Store,
    outputs: &'a [PlatformResult],
    options: &'a ExportOptions,
    progress: &'a dyn LayerProgress,
    exported: &'a mut ExportResult,
}

impl ExportTask<'_> {
    fn names(&self) -> &[ImageReference] {
        self.options.names.as_deref().unwrap_or(&self.exports.tags)
    }

    /// Registers the images of all platforms under the same names.
    fn store(&mut self, leases: &[Vec<LayerLease>], report: &mut dyn FnMut(&str)) -> Result<()> {
        let mut ids = Vec::new();
        for (output, layers) in self.outputs.iter().zip(leases) {
            let new = NewImage { config: &output.config, manifest: None, layers, names: &[] };
            ids.push(self.store.put_image(&new)?);
        }
        let first = ids.first().cloned();
        if let Some(first) = &first {
            report(&format!("writing image {first}"));
            self.exported.metadata.insert("containerimage.config.digest".into(), json!(first));
            // A manifest digest from another exporter takes precedence.
            self.exported.metadata.entry("containerimage.digest").or_insert(json!(first));
        }
        for name in self.names() {
            self.store.set_multi_platform_name(name, &ids, &Platform::host())?;
            report(&format!("naming to {name}"));
        }
        self.exported.image = first;
        self.record_names();
        Ok(())
    }

    fn record_names(&mut self) {
        let names: Vec<String> = self.names().iter().map(ImageReference::to_string).collect();
        if !names.is_empty() {
            self.exported.metadata.insert("image.name".into(), json!(names.join(",")));
        }
    }

    fn push(&mut self, targets: &[PushTarget], by_digest: bool, report: &mut dyn FnMut(&str)) -> Result<()> {
        for target in targets {
            let name = &target.reference;
            report(&format!("pushing layers of {name}"));
            let pushed = self.push_to(target, by_digest).with_context(|| format!("failed to push {name}"))?;
            let digest = &pushed.descriptor.digest;
            report(&format!("pushed {name}@{digest}"));
            // Known by its digest too, as a pulled image is.
            if let Some(image) = &self.exported.image {
                self.store.set_name(&name.with_digest(digest.clone()), image, None)?;
            }
            self.record_manifest(&pushed)?;
        }
        self.record_names();
        Ok(())
    }

    fn push_to(&self, target: &PushTarget, by_digest: bool) -> Result<ReadyManifest> {
        let repository = target.open()?;
        let mut pusher = ImagePusher {
            store: self.store,
            repository: &repository,
            registry: target.reference.registry(),
            form: self.options.form,
            progress: self.progress,
        };
        // Attestations exist only with OCI media types, so the image gets them too.
        if self.exports.provenance.enabled && pusher.form.oci.is_none() {
            pusher.form.oci = Some(true);
        }
        let annotations = self.annotations()?;
        if self.has_annotations(&annotations) && pusher.form.oci.is_none() {
            pusher.form.oci = Some(true);
        }
        let ready = self.assemble_image(&mut pusher, &annotations)?;
        let tag = target.reference.tag().unwrap_or_default();
        let digest = &ready.descriptor.digest;
        pusher.push_manifest(
            &if by_digest { ManifestRef::Digest(digest) } else { ManifestRef::Tag(tag) },
            &ready,
        )?;
        Ok(ready)
    }

    fn annotations(&self) -> Result<AnnotationSet> {
        Ok(AnnotationSet::parse(self.exports.annotations.iter().chain(&self.options.annotations))?)
    }

    fn has_annotations(&self, annotations: &AnnotationSet) -> bool {
        let platforms = self.outputs.iter().map(|output| output.platform.to_string());
        let manifest = platforms.into_iter().any(|platform| {
            ["manifest", "manifest-descriptor"]
                .iter()
                .any(|kind| !annotations.of(kind, Some(&platform)).is_empty())
        });
        manifest || !annotations.of("index", None).is_empty()
    }

    fn assemble_image(
        &self,
        sink: &mut dyn ManifestSink,
        annotations: &AnnotationSet,
    ) -> Result<ReadyManifest> {
        let names = self.names();
        let manifest_annotations: Vec<BTreeMap<String, String>> = self
            .outputs
            .iter()
            .map(|output| annotations.of("manifest", Some(&output.platform.to_string())))
            .collect();
        let make_statement = |output: &PlatformResult, manifest: &Digest| {
            let statement =
                self.exports.provenance.statement(&output.capture, &output.platform, names, manifest);
            (provenance::PREDICATE.to_owned(), statement)
        };
        let statements: Vec<_> = self
            .outputs
            .iter()
            .map(|output| move |manifest: &Digest| make_statement(output, manifest))
            .collect();
        let mut members = Vec::new();
        for ((output, annotated), statement) in
            self.outputs.iter().zip(&manifest_annotations).zip(&statements)
        {
            let statement: StatementFn<'_> = statement;
            members.push(IndexMember {
                platform: output.platform.clone(),
                cargo: ImageParts {
                    config: &output.config,
                    layers: &output.layers,
                    manifest: None,
                    annotations: annotated,
                },
                entry: annotations.of("manifest-descriptor", Some(&output.platform.to_string())),
                statement: self.exports.provenance.enabled.then_some(statement),
            });
        }
        assemble_manifest(sink, &members, &annotations.of("index", None))
    }

    fn archive(&mut self, oci: bool, to: &ExportDest, directory: bool) -> Result<()> {
        if !oci && self.outputs.len() > 1 {
            return Err(invalid("docker exporter does not currently support exporting manifest lists")
                .hint("type=oci holds several platforms")
                .into());
        }
        let form = self.options.form;
        let annotations = self.annotations()?;
        // Annotations and attestations need OCI media types.
        let oci_types =
            form.oci.unwrap_or(oci || self.has_annotations(&annotations) || self.exports.provenance.enabled);
        let mut layout = OciLayout::new(self.store, form.compression, oci_types, self.progress)?;
        let ready = self.assemble_image(&mut layout, &annotations)?;
        layout.write_index(&ready, self.names(), &annotations.of("index-descriptor", None), !oci)?;
        match to {
            ExportDest::Path(dir) if directory => {
                files::make_dirs(dir).with_context(|| format!("cannot make {}", dir.display()))?;
                layout.write_to_dir(dir)?;
            }
            dest => write_dest(dest, |out| layout.write_archive(out))?,
        }
        self.record_manifest(&ready)?;
        self.record_names();
        Ok(())
    }

    fn record_manifest(&mut self, ready: &ReadyManifest) -> Result<()> {
        let exported = &mut *self.exported;
        exported.manifest = Some(ready.descriptor.digest.clone());
        // Not in the store: the ID is the digest of the configuration all the same.
        if exported.image.is_none() {
            exported.image = self.outputs.first().map(|output| Digest::of(&output.config));
        }
        exported.metadata.insert("containerimage.digest".into(), json!(ready.descriptor.digest));
        exported.metadata.insert("containerimage.config.digest".into(), json!(exported.image));
        exported
            .metadata
            .insert("containerimage.descriptor".into(), serde_json::to_value(&ready.descriptor)?);
        if self.exports.provenance.enabled {
            for output in self.outputs {
                let key = match self.outputs.len() {
                    1 => "buildx.build.provenance".to_owned(),
                    _ => format!("buildx.build.provenance/{}", output.platform),
                };
                let predicate = self.exports.provenance.predicate(&output.capture, &output.platform);
                exported.metadata.insert(key, predicate);
            }
        }
        Ok(())
    }
}
