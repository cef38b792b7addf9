//! An OCI image layout in a directory (OCI image specification, `image-layout.md`), from which one image is
//! loaded.

use std::os::fd::AsFd as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::fs::{Mode, OFlags};
use serde_json::Value;

use super::members::{ArchiveMembers, MemberContent};
use super::oci;
use dhow_error::{invalid, not_found};
use dhow_model::digest::Digest;

pub(super) fn read_members(dir: &Path) -> Result<ArchiveMembers> {
    let root = dhow_sys::fs::open_dir(dir).with_context(|| format!("cannot open `{}`", dir.display()))?;
    let mut files = Vec::new();
    add_file(&root, oci::INDEX_JSON, &mut files)?;
    for algorithm in ["sha256", "sha512"] {
        let blobs = format!("blobs/{algorithm}");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let list = match dhow_sys::fs::open_in_root(root.as_fd(), Path::new(&blobs), flags, Mode::empty()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            other => other.with_context(|| format!("cannot open `{blobs}`"))?,
        };
        for entry in rustix::fs::Dir::read_from(&list)? {
            if let Ok(name) = entry?.file_name().to_str()
                // Hidden files are no blobs.
                && !name.starts_with('.')
            {
                add_file(&root, &format!("{blobs}/{name}"), &mut files)?;
            }
        }
    }
    let mut members = ArchiveMembers::of_dir(root);
    for (name, size) in files {
        members.add(name.into_bytes(), MemberContent::InDir { size })?;
    }
    Ok(members)
}

/// Adds a regular file with its size; anything else is ignored.
fn add_file(root: &std::os::fd::OwnedFd, name: &str, files: &mut Vec<(String, u64)>) -> Result<()> {
    match dhow_sys::fs::open_in_root(root.as_fd(), Path::new(name), OFlags::PATH, Mode::empty()) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => {
            let stat = rustix::fs::fstat(other.with_context(|| format!("cannot open `{name}`"))?)?;
            if rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::RegularFile {
                files.push((name.to_owned(), u64::try_from(stat.st_size).unwrap_or_default()));
            }
            Ok(())
        }
    }
}

/// Selects an image of a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayoutSelector {
    /// The only one, or the one with the tag `latest`.
    Default,
    Tag(String),
    Digest(Digest),
}

/// The index reduced to the selected image.
pub(super) fn select_image(listing: &[u8], selector: &LayoutSelector) -> Result<Vec<u8>> {
    let malformed = || invalid("the layout's index.json is malformed");
    let mut index: Value = serde_json::from_slice(listing).map_err(|_| malformed())?;
    let entries = index.get_mut("manifests").and_then(Value::as_array_mut).ok_or_else(malformed)?;
    match selector {
        LayoutSelector::Digest(digest) => entries.retain(|entry| entry["digest"] == digest.as_str()),
        LayoutSelector::Tag(tag) => entries.retain(|entry| has_tag(entry, tag)),
        LayoutSelector::Default if entries.len() > 1 => entries.retain(|entry| has_tag(entry, "latest")),
        LayoutSelector::Default => {}
    }
    if entries.is_empty() {
        let missing = match selector {
            LayoutSelector::Digest(digest) => format!("digest {digest}"),
            LayoutSelector::Tag(tag) => format!("tag `{}`", tag.escape_debug()),
            LayoutSelector::Default => "tag `latest`".to_owned(),
        };
        return Err(not_found(format!("the layout has no image with the {missing}"))
            .hint("say which one is meant: oci-layout://PATH:TAG or oci-layout://PATH@DIGEST")
            .into());
    }
    Ok(serde_json::to_vec(&index)?)
}

/// The tag annotation is either a bare tag or a full name that ends in it.
fn has_tag(entry: &Value, tag: &str) -> bool {
    let names =
        [oci::REF_NAME, oci::FULL_NAME].map(|key| entry["annotations"][key].as_str().unwrap_or_default());
    names.iter().any(|name| *name == tag || name.strip_suffix(tag).is_some_and(|rest| rest.ends_with(':')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_image_is_chosen() {
        let digest = |letter: &str| format!("sha256:{}", letter.repeat(64));
        let entry = |letter: &str, name: &str| {
            format!(
                "{{\"digest\":\"{}\",\"annotations\":{{\"{}\":\"{name}\"}}}}",
                digest(letter),
                oci::REF_NAME
            )
        };
        let listing =
            format!("{{\"manifests\":[{},{}]}}", entry("a", "v1"), entry("b", "docker.io/x:latest"));
        let left = |which: LayoutSelector| {
            let text = select_image(listing.as_bytes(), &which).ok()?;
            let index: Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
            Some(index["manifests"][0]["digest"].as_str().unwrap().to_owned())
        };
        assert_eq!(left(LayoutSelector::Default), Some(digest("b")));
        assert_eq!(left(LayoutSelector::Tag("v1".into())), Some(digest("a")));
        assert_eq!(left(LayoutSelector::Digest(digest("b").parse().unwrap())), Some(digest("b")));
        assert_eq!(left(LayoutSelector::Tag("1".into())), None);
        assert!(
            select_image(b"{}", &LayoutSelector::Default).is_err()
                && select_image(b"[", &LayoutSelector::Default).is_err()
        );
    }
}
