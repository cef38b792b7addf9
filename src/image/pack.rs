//! Regenerates the tar stream of a layer, byte for byte, from its tree and its tar-split data.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use anyhow::Context as _;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use sha2::Digest as _;

use super::tar_split::{TarSplitReader, TarSplitRecord};
use dhow_error::{Failure, corrupt};
use dhow_model::digest::Digest;
use dhow_store::Store;

/// Copy buffer.
const BUFFER: usize = 256 << 10;

/// Writes the tar stream of the layer `diff_id` to `out` and verifies its digest. On an error of kind corrupt
/// the output is not the layer, and the caller must discard it.
pub(crate) fn pack_layer(store: &Store, diff_id: &Digest, out: &mut dyn Write) -> anyhow::Result<()> {
    let doing = || format!("cannot write layer {diff_id}");
    let mut packer = LayerPacker::open(store, diff_id, out).with_context(doing)?;
    packer.run().with_context(doing)?;
    let actual = Digest::from_sha256(packer.hash.finalize().as_slice());
    if actual == *diff_id {
        return Ok(());
    }
    Err(layer_changed_error(&format!("its content has the digest {actual} now")).context(doing()))
}

struct LayerPacker<'a> {
    tar_split: TarSplitReader,
    tree: OwnedFd,
    /// Contents that the tree does not hold; `None` if there are none.
    extra: Option<PathBuf>,
    hash: sha2::Sha256,
    out: &'a mut dyn Write,
    buffer: Vec<u8>,
}

impl<'a> LayerPacker<'a> {
    fn open(store: &Store, diff_id: &Digest, out: &'a mut dyn Write) -> anyhow::Result<Self> {
        let dir = store.layer_dir(diff_id);
        let tar_split =
            TarSplitReader::new(File::open(dir.join("recipe")).context("cannot open the tar-split data")?)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let tree = rustix::fs::openat(CWD, dir.join("fs"), flags, Mode::empty())
            .context("cannot open the layer's tree")?;
        let extra = Some(dir.join("extra")).filter(|extra| extra.exists());
        Ok(Self { tar_split, tree, extra, hash: sha2::Sha256::new(), out, buffer: vec![0; BUFFER] })
    }

    fn run(&mut self) -> anyhow::Result<()> {
        while let Some(record) = self.tar_split.next_record()? {
            match record {
                TarSplitRecord::Raw(length) => self.raw(length)?,
                TarSplitRecord::File { number, length, path } => {
                    self.file(number, length, &path)
                        .with_context(|| format!("at `{}`", String::from_utf8_lossy(&path).escape_debug()))?;
                }
            }
        }
        Ok(())
    }

    fn raw(&mut self, mut remaining: u64) -> anyhow::Result<()> {
        while remaining > 0 {
            let part = buffer_slice(&mut self.buffer, remaining);
            self.tar_split.read(part).context("cannot read the tar-split data")?;
            remaining -= part.len() as u64;
            self.hash.update(&*part);
            self.out.write_all(part)?;
        }
        Ok(())
    }

    fn file(&mut self, number: u32, length: u64, path: &[u8]) -> anyhow::Result<()> {
        let mut file = self.content(number, path)?;
        // Check first: the length is part of the headers already written.
        if file.metadata()?.len() != length {
            return Err(layer_changed_error("a file has another size now"));
        }
        let mut remaining = length;
        while remaining > 0 {
            let part = buffer_slice(&mut self.buffer, remaining);
            file.read_exact(part).context("cannot read the file")?;
            remaining -= part.len() as u64;
            self.hash.update(&*part);
            self.out.write_all(part)?;
        }
        Ok(())
    }

    fn content(&self, number: u32, path: &[u8]) -> anyhow::Result<File> {
        if let Some(extra) = &self.extra {
            match File::open(extra.join(number.to_string())) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => return Ok(other?),
            }
        }
        // The layer's own symbolic links must not lead out of the tree, or to another file.
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        loop {
            match rustix::fs::openat2(&self.tree, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                    return Err(layer_changed_error("a file is missing"));
                }
                other => return Ok(File::from(other?)),
            }
        }
    }
}

fn buffer_slice(buffer: &mut [u8], remaining: u64) -> &mut [u8] {
    let length = buffer.len().min(usize::try_from(remaining).unwrap_or(usize::MAX));
    &mut buffer[..length]
}

fn layer_changed_error(change: &str) -> anyhow::Error {
    let failure: Failure = corrupt(format!("the layer was changed in the store: {change}"));
    failure.hint("remove the image and pull or load it again").into()
}
