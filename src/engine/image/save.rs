//! `save`: writes images to one archive that docker, podman and skopeo can read, with the same IDs.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::{Context as _, Result};

use dhow_error::{Failure, FailureKind, not_found};
use dhow_image::archive::layout::OciLayout;
use dhow_image::archive::output::write_output_file;
use dhow_image::archive::save::{ArchivePlan, SavedImage};
use dhow_image::compress::Compression;
use dhow_image::push::ImageParts;
use dhow_image::push::assemble::{IndexMember, assemble_manifest};
use dhow_model::platform::Platform;
use dhow_model::progress::SilentProgress;
use dhow_model::reference::ImageReference;
use dhow_runtime::userns;
use dhow_store::event_records;
use dhow_store::{NameRecord, Store, StoredImage};

#[derive(Clone, Debug)]
pub struct SaveRequest {
    /// Names, IDs, or repositories (meaning all their tags), as the user typed them.
    pub images: Vec<String>,
    /// Refuse images for other platforms.
    pub platform: Option<Platform>,
}

/// Writes the archive to `out`. Missing images are found before anything is written; after a later error the output
/// is useless.
///
/// The process must be single-threaded and able to read files of every owner (see `userns`).
pub fn save(store: &Store, request: &SaveRequest, out: &mut dyn Write) -> Result<()> {
    let images = images(store, request)?;
    let archive = SaveArchive::prepare(store, request, &images)?;
    archive.write(out).context("cannot write the archive")?;
    record_all(store, &images);
    Ok(())
}

enum SaveArchive<'a> {
    /// Single-platform images: docker's archive and an OCI layout in one.
    Plain(ArchivePlan<'a>),
    /// A multi-platform name: an OCI layout.
    MultiPlatform(Box<OciLayout<'a>>),
}

impl<'a> SaveArchive<'a> {
    /// Looks up everything that will be written, then becomes able to read files of every owner.
    fn prepare(store: &'a Store, request: &SaveRequest, images: &[SavedImage]) -> Result<Self> {
        if let ([text], None) = (request.images.as_slice(), &request.platform)
            && let Ok(name) = text.parse::<ImageReference>()
            && name.digest().is_none()
            && let Some(record) = store.name(&name)?
            && !record.others.is_empty()
        {
            userns::become_root();
            return multi_platform_layout(store, &record).map(|layout| Self::MultiPlatform(Box::new(layout)));
        }
        let plan = ArchivePlan::new(store, images)?;
        userns::become_root();
        Ok(Self::Plain(plan))
    }

    fn write(&self, out: &mut dyn Write) -> Result<()> {
        match self {
            Self::Plain(plan) => plan.write(out),
            Self::MultiPlatform(layout) => layout.write_archive(out),
        }
    }
}

/// All images that a name refers to, with an index.
fn multi_platform_layout<'a>(store: &'a Store, record: &NameRecord) -> Result<OciLayout<'a>> {
    let gone = || not_found(format!("No such image: {}", record.reference.familiar()));
    let images = record.ids().map(|id| Ok(store.image(id)?.ok_or_else(gone)?));
    let images = images.collect::<Result<Vec<StoredImage>>>()?;
    let no_annotations = BTreeMap::new();
    let members: Vec<IndexMember<'_>> = images
        .iter()
        .map(|image| IndexMember {
            platform: image.platform(),
            cargo: ImageParts {
                config: &image.raw_config,
                layers: &image.config.rootfs.diff_ids,
                manifest: None,
                annotations: &no_annotations,
            },
            entry: BTreeMap::new(),
            statement: None,
        })
        .collect();
    let mut layout = OciLayout::new(store, Compression::None, true, &SilentProgress)?;
    let ready = assemble_manifest(&mut layout, &members, &no_annotations)?;
    layout.write_index(&ready, std::slice::from_ref(&record.reference), &no_annotations, false)?;
    Ok(layout)
}

/// [`save`] to a file, which appears only once it is complete. A device or pipe is written to directly.
pub fn save_to_file(store: &Store, request: &SaveRequest, path: &Path) -> Result<()> {
    let images = images(store, request)?;
    let archive = SaveArchive::prepare(store, request, &images)?;
    write_output_file(path, |out| {
        archive.write(out).with_context(|| format!("cannot write {}", path.display()))
    })?;
    record_all(store, &images);
    Ok(())
}

fn record_all(store: &Store, images: &[SavedImage]) {
    images.iter().for_each(|saved| event_records::image_event(store, "save", &saved.image));
}

fn images(store: &Store, request: &SaveRequest) -> Result<Vec<SavedImage>> {
    let mut saved: Vec<SavedImage> = Vec::new();
    for text in &request.images {
        for (image, tag) in resolve_images(store, text, request)? {
            check_platform(&image, text, request.platform.as_ref())?;
            // An image that was named twice is saved once, with both tags.
            let index = saved.iter().position(|entry| entry.image.id == image.id).unwrap_or_else(|| {
                saved.push(SavedImage { image, tags: Vec::new() });
                saved.len() - 1
            });
            if let (Some(entry), Some(tag)) = (saved.get_mut(index), tag)
                && !entry.tags.contains(&tag)
            {
                entry.tags.push(tag);
            }
        }
    }
    Ok(saved)
}

/// The images that `text` means, each with the tag to save it by: a repository stands for all its tags; an ID
/// or digest saves the image without a name.
fn resolve_images(
    store: &Store,
    text: &str,
    request: &SaveRequest,
) -> Result<Vec<(StoredImage, Option<ImageReference>)>> {
    let reference = text.parse::<ImageReference>().ok();
    if let Some(repository) = reference.as_ref().filter(|it| it.tag().is_none() && it.digest().is_none()) {
        let mut images = Vec::new();
        for record in store.names()? {
            let name = record.reference;
            if name.tag().is_some() && name.familiar_name() == repository.familiar_name() {
                images.extend(store.image(&record.id)?.map(|image| (image, Some(name))));
            }
        }
        if !images.is_empty() {
            return Ok(images);
        }
    }
    let image = match &request.platform {
        Some(platform) => store.find_image_for(text, platform)?,
        None => store.find_image(text)?,
    };
    let tag = reference.filter(|reference| reference.tag().is_some() && reference.digest().is_none());
    Ok(vec![(image, tag)])
}

fn check_platform(image: &StoredImage, text: &str, platform: Option<&Platform>) -> Result<()> {
    let offered = image.platform();
    match platform {
        Some(platform) if platform.rank(&offered).is_none() => Err(Failure::new(
            FailureKind::NotFound,
            format!("image {text} was found but does not provide the specified platform ({platform})"),
        )
        .hint(format!("it is for {offered}"))
        .into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::rm::tests::RmiFixture;
    use dhow_model::digest::Digest;

    fn request(images: &[&str]) -> SaveRequest {
        SaveRequest { images: images.iter().map(|&text| text.to_owned()).collect(), platform: None }
    }

    fn tags(fixture: &RmiFixture, texts: &[&str]) -> Vec<Vec<String>> {
        let saved = images(&fixture.store, &request(texts)).unwrap();
        saved.iter().map(|saved| saved.tags.iter().map(ImageReference::familiar).collect()).collect()
    }

    #[test]
    fn a_repository_means_its_tags_and_an_id_none() {
        let fixture = RmiFixture::new();
        let (a, b) = (fixture.image("a"), fixture.image("b"));
        fixture.name("x:1", &a);
        fixture.name("x:2", &b);
        fixture.name("y:1", &a);
        assert_eq!(tags(&fixture, &["x"]), [["x:1"], ["x:2"]]);
        assert_eq!(tags(&fixture, &["x:2", "x:2"]), [["x:2"]]);
        assert_eq!(tags(&fixture, &["y:1", "x:1"]), [["y:1", "x:1"]]);
        assert_eq!(tags(&fixture, &[a.short()]), [[""; 0]]);
        assert_eq!(tags(&fixture, &[&format!("x@{}", Digest::of(b"manifest"))]), [[""; 0]]);
        assert!(images(&fixture.store, &request(&["x", "absent"])).is_err());
        let foreign = SaveRequest { platform: Some("linux/s390x".parse().unwrap()), ..request(&["x:1"]) };
        assert!(images(&fixture.store, &foreign).unwrap_err().to_string().contains("linux/s390x"));
    }

    #[test]
    fn a_failure_leaves_the_old_file() {
        let fixture = RmiFixture::new();
        let a = fixture.image("a");
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("archive.tar");
        std::fs::write(&file, "old").unwrap();
        // The fixture's layers have nothing to be written from.
        assert!(save_to_file(&fixture.store, &request(&[a.short()]), &file).is_err());
        assert_eq!(std::fs::read(&file).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
