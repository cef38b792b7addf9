//! The members of an archive by name; links between them are resolved without ever leaving it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::fs::{Mode, OFlags};

use crate::hash::DigestHasher;
use crate::manifest::Descriptor;
use crate::tar::{self, TarMember};
use dhow_error::{Failure, FailureKind, corrupt};
use dhow_model::digest::Digest;

/// Maximum size of a listing, manifest or configuration in bytes; other engines allow 4 or 8 MiB.
pub(super) const TEXT_LIMIT: u64 = 8 << 20;
/// An image has a few members per layer.
const MAX_MEMBERS: usize = 1 << 17;
/// Maximum length of a chain of links.
const MAX_LINKS: usize = 16;

/// Where a member's content is.
pub(super) enum MemberContent {
    /// In memory.
    Text(Vec<u8>),
    /// In the archive file, in bytes.
    InArchive { offset: u64, size: u64 },
    /// A separate file below [`ArchiveMembers::dir`]; size in bytes.
    InDir { size: u64 },
    /// A layer already unpacked into the store; the diff ID.
    Layer(Digest),
    /// A link to another member.
    Link(Vec<u8>),
    /// Why it cannot be used; reported only if an image needs it.
    Unusable(Failure),
}

#[derive(Default)]
pub(super) struct ArchiveMembers {
    items: BTreeMap<Vec<u8>, MemberContent>,
    /// Backs [`MemberContent::InArchive`].
    file: Option<File>,
    /// Backs [`MemberContent::InDir`].
    dir: Option<OwnedFd>,
}

impl ArchiveMembers {
    pub(super) fn of_file(file: File) -> Self {
        Self { file: Some(file), ..Self::default() }
    }

    pub(super) fn of_dir(dir: OwnedFd) -> Self {
        Self { dir: Some(dir), ..Self::default() }
    }

    /// Adds a member; as when unpacking, the last one with a given name wins.
    pub(super) fn add(&mut self, name: Vec<u8>, item: MemberContent) -> Result<()> {
        self.items.insert(name, item);
        if self.items.len() > MAX_MEMBERS {
            let message =
                format!("the archive has more than {MAX_MEMBERS} members, which no archive of images has");
            return Err(Failure::new(FailureKind::Full, message).into());
        }
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The member with this name, following links.
    pub(super) fn get(&self, name: &[u8]) -> Option<&MemberContent> {
        let mut item = self.items.get(name)?;
        // Bounded, because links may form a cycle.
        for _ in 0..MAX_LINKS {
            match item {
                MemberContent::Link(target) => item = self.items.get(target)?,
                _ => return Some(item),
            }
        }
        None
    }

    /// The text of a listing, manifest or configuration; `None` if there is no such member.
    pub(super) fn text(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some(item) = self.get(&normalize_path(name.as_bytes())) else { return Ok(None) };
        let too_large = || corrupt(format!("`{}` is too large for what it is", name.escape_debug()));
        match item {
            MemberContent::Text(text) => Ok(Some(text.clone())),
            MemberContent::InArchive { size, .. } | MemberContent::InDir { size } if *size > TEXT_LIMIT => {
                Err(too_large().into())
            }
            MemberContent::InArchive { .. } | MemberContent::InDir { .. } => {
                let mut text = Vec::new();
                // The size was checked above, but the file may grow while it is read.
                let mut source = self.named_content(&normalize_path(name.as_bytes()), item)?.take(TEXT_LIMIT);
                source
                    .read_to_end(&mut text)
                    .with_context(|| format!("cannot read `{}`", name.escape_debug()))?;
                Ok(Some(text))
            }
            MemberContent::Unusable(failure) => Err(failure.clone().into()),
            MemberContent::Layer(_) | MemberContent::Link(_) => Err(too_large().into()),
        }
    }

    /// A JSON blob of an OCI layout, verified against its digest.
    pub(super) fn blob(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let digest = &descriptor.digest;
        let text = self
            .text(&blob_name(digest))?
            .ok_or_else(|| corrupt(format!("the archive lacks the blob {digest} that it lists")))?;
        if DigestHasher::digest_like(digest, &text) != *digest {
            return Err(corrupt(format!("the archive's blob {digest} has another digest")).into());
        }
        Ok(text)
    }

    /// The content of member `name`, which may be a separate file.
    pub(super) fn named_content<'a>(
        &'a self,
        name: &[u8],
        item: &'a MemberContent,
    ) -> Result<Box<dyn Read + Send + 'a>> {
        let (MemberContent::InDir { .. }, Some(dir)) = (item, &self.dir) else { return self.content(item) };
        // O_NONBLOCK: opening a FIFO must not hang.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let path = Path::new(OsStr::from_bytes(name));
        let file = File::from(dhow_sys::fs::open_in_root(dir.as_fd(), path, flags, Mode::empty())?);
        anyhow::ensure!(file.metadata()?.is_file(), "it is not a regular file");
        Ok(Box::new(file))
    }

    /// The content of a member that is in memory or in the archive file.
    pub(super) fn content<'a>(&'a self, item: &'a MemberContent) -> Result<Box<dyn Read + Send + 'a>> {
        match (item, &self.file) {
            (MemberContent::Text(text), _) => Ok(Box::new(&text[..])),
            (MemberContent::InArchive { offset, size }, Some(file)) => {
                Ok(Box::new(FileRange { file, at: *offset, end: offset.saturating_add(*size) }))
            }
            (MemberContent::Unusable(failure), _) => Err(failure.clone().into()),
            _ => Err(corrupt("a member of the archive was expected to have content").into()),
        }
    }
}

/// A range of a file, read without moving the file's offset.
struct FileRange<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for FileRange<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let remaining = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let length = buffer.len().min(remaining);
        if length == 0 {
            return Ok(0);
        }
        let amount = self.file.read_at(&mut buffer[..length], self.at)?;
        // The file was truncated after the index was built.
        if amount == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, corrupt("the archive is truncated")));
        }
        self.at += amount as u64;
        Ok(amount)
    }
}

/// The path of a blob in an OCI layout.
pub(super) fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}

/// The digest claimed by a member's name: `blobs/sha256/HEX`, `HEX.tar`, `HEX.json`.
pub(super) fn digest_in_name(name: &[u8]) -> Option<Digest> {
    let base = name.rsplit(|b| *b == b'/').next()?;
    let stem = base.split(|b| *b == b'.').next()?;
    format!("sha256:{}", std::str::from_utf8(stem).ok()?).parse().ok()
}

/// Normalises a path without `.`, `..` and redundant slashes; `..` at the top stays there.
pub(super) fn normalize_path(name: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in name.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            // `..` at the top stays at the top, as in a chroot.
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join(&b'/')
}

/// The target of a link as a normalised path.
pub(super) fn link_target(member: &TarMember) -> Vec<u8> {
    if member.kind == tar::TarMemberKind::HardLink || member.link.starts_with(b"/") {
        return normalize_path(&member.link);
    }
    normalize_path(&[&normalize_path(&member.path)[..], b"/../", &member.link].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_never_leave() {
        assert_eq!(normalize_path(b"./a//b/"), b"a/b");
        assert_eq!(normalize_path(b"../../etc/passwd"), b"etc/passwd");
        assert_eq!(normalize_path(b"/"), b"");
        let hex = "a".repeat(64);
        for name in [format!("blobs/sha256/{hex}"), format!("{hex}.tar"), format!("x/{hex}.json")] {
            assert_eq!(digest_in_name(name.as_bytes()).unwrap().hex(), hex);
        }
        assert!(digest_in_name(b"x/layer.tar").is_none());
    }

    #[test]
    fn links_lead_to_contents_and_loops_to_nothing() {
        let mut members = ArchiveMembers::default();
        let link = |to: &str| MemberContent::Link(to.into());
        members.add(b"a".into(), link("b")).unwrap();
        members.add(b"b".into(), MemberContent::Text(b"text".into())).unwrap();
        members.add(b"x".into(), link("y")).unwrap();
        members.add(b"y".into(), link("x")).unwrap();
        members.add(b"z".into(), link("nothing")).unwrap();
        assert_eq!(members.text("./a").unwrap().unwrap(), b"text");
        assert!(members.get(b"x").is_none() && members.get(b"z").is_none());
    }
}
