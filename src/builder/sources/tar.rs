//! Archives: unpacked into a layer by ADD, or as a whole context.

use std::ffi::CString;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context as _, Result};
use rustix::fs::SeekFrom;

use dhow_build::context::{ArchiveExtractor, FileAttributes, LayerWriter, TargetDir};
use dhow_error::{corrupt, unsupported};
use dhow_image::files::extract::{ExtractSide, extract_archive};
use dhow_image::tar::fill::write_content;
use dhow_image::tar::name::MemberPath;
use dhow_image::tar::{TarMember, TarMemberKind, TarReader};
use dhow_image::unpack::decode::{CompressionFormat, decoder};

const BUFFER: usize = 256 << 10;
/// Size of a tar header, in bytes.
const HEADER: usize = 512;

/// Unpacks local archives for ADD: tar, plain or compressed with gzip, bzip2, xz or zstd, detected by
/// content.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ArchiveUnpacker;

impl ArchiveExtractor for ArchiveUnpacker {
    fn is_archive(&mut self, file: &File) -> Result<bool> {
        let mut start = [0; HEADER];
        let amount = file.read_at(&mut start, 0).context("cannot read it")?;
        // A compressed file may contain anything, so a member must be read; a plain tar needs a whole header.
        if amount < 3 || (CompressionFormat::of(&start) == CompressionFormat::Plain && amount < HEADER) {
            return Ok(false);
        }
        Ok(matches!(open(file).and_then(|mut archive| archive.next_member()), Ok(Some(_))))
    }

    fn unpack(
        &mut self,
        file: &File,
        target: &mut LayerWriter,
        dir: &Rc<TargetDir>,
        owner: Option<(u32, u32)>,
    ) -> Result<()> {
        let mut archive = open(file)?;
        while let Some(mut member) = archive.next_member()? {
            (member.uid, member.gid) = owner.unwrap_or((member.uid, member.gid));
            unpack_member(&mut archive, &member, target, dir)
                .with_context(|| format!("cannot unpack `{}`", display_path(&member.path)))?;
        }
        Ok(())
    }
}

fn open<'a>(file: &'a File) -> Result<TarReader<impl BufRead + use<'a>>> {
    rustix::fs::seek(file, SeekFrom::Start(0))?;
    let mut input = BufReader::with_capacity(BUFFER, file);
    let format = CompressionFormat::of(input.fill_buf()?);
    Ok(TarReader::new(BufReader::with_capacity(BUFFER, decoder(format, input)?)))
}

/// Creates what a member describes, replacing what exists, as tar does.
fn unpack_member<R: BufRead>(
    archive: &mut TarReader<R>,
    member: &TarMember,
    target: &mut LayerWriter,
    dir: &Rc<TargetDir>,
) -> Result<()> {
    let name = MemberPath::parse(&member.path)?;
    let attributes = attributes(member, target);
    if name.base.is_empty() {
        return match member.kind {
            // The root of the archive, `./`: the destination keeps its own owner and mode.
            TarMemberKind::Dir => Ok(()),
            _ => Err(corrupt("it has no name").into()),
        };
    }
    // Not the owner of `--chown` for directories that the archive does not name, as in BuildKit.
    let implied = FileAttributes::implied((0, 0));
    let parent = target.ensure_dir(dir, &name.dir, &implied)?;
    let base = CString::new(name.base)?;
    match member.kind {
        TarMemberKind::Dir => target.make_dir(&parent, &base, &attributes, true, true).map(drop),
        TarMemberKind::File => {
            let mut file = target.create(&parent, &base, member.mode, true)?;
            write_content(archive, member, &mut file)?;
            target.finish_file(&file, &attributes)
        }
        TarMemberKind::Symlink if member.link.is_empty() || member.link.contains(&0) => {
            Err(corrupt("a symbolic link without a usable target").into())
        }
        TarMemberKind::Symlink => target.make_symlink(&parent, &base, &member.link, &attributes, true),
        TarMemberKind::HardLink => {
            let doing = || format!("cannot link to `{}`", display_path(&member.link));
            let source = MemberPath::parse(&member.link)?;
            let from = target.ensure_dir(dir, &source.dir, &implied).with_context(doing)?;
            let first = CString::new(source.base)?;
            target.make_hard_link((&from, &first), &parent, &base, true).with_context(doing)
        }
        TarMemberKind::Fifo => target.make_fifo(&parent, &base, &attributes, true),
        TarMemberKind::Char | TarMemberKind::Block => {
            let device = (member.kind == TarMemberKind::Block, member.device.0, member.device.1);
            target.make_device(&parent, &base, device, &attributes, true)
        }
        TarMemberKind::Other(kind) => {
            let kind = char::from(kind).escape_debug();
            Err(unsupported(format!("the archive's entry type `{kind}` is not one of files")).into())
        }
    }
}

fn attributes(member: &TarMember, target: &LayerWriter) -> FileAttributes {
    FileAttributes {
        owner: (member.uid, member.gid),
        mode: member.mode,
        mtime: target.time_of_copy((member.mtime.seconds, member.mtime.nanos), false),
        xattrs: member.xattrs.clone(),
    }
}

/// Whether the input is an archive. Reads no further than the buffer of `input`.
pub(crate) fn looks_like_archive(input: &mut impl BufRead) -> Result<bool> {
    let start = input.fill_buf().context("cannot read the context")?;
    if CompressionFormat::of(start) != CompressionFormat::Plain {
        return Ok(true);
    }
    let header = start.get(..HEADER).unwrap_or_default();
    Ok(!header.is_empty() && matches!(TarReader::new(header).next_member(), Ok(Some(_))))
}

/// Unpacks a context into the empty directory `into`. Files become the user's; devices are left out.
pub(crate) fn unpack_context(mut input: impl BufRead + Send, into: &Path) -> Result<()> {
    let format = CompressionFormat::of(input.fill_buf().context("cannot read the context")?);
    let plain = BufReader::with_capacity(BUFFER, decoder(format, input)?);
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
    let root = rustix::fs::openat(rustix::fs::CWD, into, flags, rustix::fs::Mode::empty())
        .with_context(|| format!("cannot open the directory `{}`", into.display()))?;
    extract_archive(plain, root, ExtractSide::Host).context("cannot unpack the context")?;
    Ok(())
}

fn display_path(path: &[u8]) -> String {
    String::from_utf8_lossy(path).escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use dhow_build::context::{CopySpec, NoUnpack, SourceTree, StatCache, copy_selected};
    use dhow_build::dockerignore::IgnoreFile;
    use dhow_model::layer::LayerOwnership;
    use std::os::unix::fs::PermissionsExt as _;

    fn archive() -> Vec<u8> {
        let mut builder = ::tar::Builder::new(Vec::new());
        let mut add = |kind: ::tar::EntryType, name: &str, content: &str, mode: u32| {
            let mut header = ::tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(mode);
            header.set_uid(12);
            header.set_gid(34);
            header.set_mtime(1000);
            if kind.is_file() || kind.is_dir() {
                header.set_size(content.len() as u64);
                builder.append_data(&mut header, name, content.as_bytes()).unwrap();
            } else {
                header.set_size(0);
                builder.append_link(&mut header, name, content).unwrap();
            }
        };
        use ::tar::EntryType as T;
        add(T::Directory, "d/", "", 0o750);
        add(T::Regular, "d/f", "content", 0o4711);
        add(T::Symlink, "d/l", "f", 0o777);
        add(T::Link, "d/h", "d/f", 0o644);
        add(T::Regular, "bin/tool", "tool", 0o755);
        builder.into_inner().unwrap()
    }

    fn add(dir: &Path, unpack: bool) -> Result<()> {
        let _ = std::fs::remove_dir_all(dir.join("made"));
        std::fs::create_dir(dir.join("made")).unwrap();
        let lowers = [dir.join("lower")];
        let mut target = LayerWriter::open(&dir.join("made"), &lowers, LayerOwnership::Single, None)?;
        let source = SourceTree::directory(&dir.join("context"), IgnoreFile::none())?;
        let spec =
            CopySpec { sources: vec!["a".into()], target: "/to/".into(), unpack, ..CopySpec::default() };
        let unpacker: &mut dyn ArchiveExtractor = if unpack { &mut ArchiveUnpacker } else { &mut NoUnpack };
        copy_selected(&source, &spec, &mut target, &mut StatCache::default(), unpacker)?;
        target.finish().map(drop)
    }

    fn world() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for sub in ["context", "lower/to/usr/bin"] {
            std::fs::create_dir_all(dir.path().join(sub)).unwrap();
        }
        std::os::unix::fs::symlink("usr/bin", dir.path().join("lower/to/bin")).unwrap();
        dir
    }

    #[test]
    fn archives_are_unpacked_onto_what_is_there() {
        let dir = world();
        let plain = archive();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&plain).unwrap();
        for content in [plain.clone(), encoder.finish().unwrap(), zstd::encode_all(&plain[..], 1).unwrap()] {
            std::fs::write(dir.path().join("context/a"), content).unwrap();
            add(dir.path(), true).unwrap();
            let made = |path: &str| dir.path().join("made/to").join(path);
            assert_eq!(std::fs::read_to_string(made("d/f")).unwrap(), "content");
            let mode = |path: &str| std::fs::metadata(made(path)).unwrap().permissions().mode() & 0o7777;
            assert_eq!((mode("d"), mode("d/f")), (0o750, 0o4711));
            assert_eq!(std::fs::read_link(made("d/l")).unwrap(), Path::new("f"));
            use std::os::unix::fs::MetadataExt as _;
            let inode = |path: &str| std::fs::metadata(made(path)).unwrap().ino();
            assert_eq!((inode("d/f"), std::fs::metadata(made("d/f")).unwrap().mtime()), (inode("d/h"), 1000));
            // Through the link that the layer below has.
            assert_eq!(std::fs::read_to_string(made("usr/bin/tool")).unwrap(), "tool");
        }
    }

    #[test]
    fn what_is_no_archive_is_copied() {
        let dir = world();
        std::fs::write(dir.path().join("context/a"), zstd::encode_all(&b"no archive"[..], 1).unwrap())
            .unwrap();
        add(dir.path(), true).unwrap();
        assert!(dir.path().join("made/to/a").is_file());
        std::fs::write(dir.path().join("context/a"), archive()).unwrap();
        add(dir.path(), false).unwrap();
        assert!(dir.path().join("made/to/a").is_file());
        for content in [&b""[..], b"x", &[0; 2000]] {
            std::fs::write(dir.path().join("context/a"), content).unwrap();
            add(dir.path(), true).unwrap();
            assert!(dir.path().join("made/to/a").is_file());
        }
    }

    #[test]
    fn no_archive_leads_out_of_the_layer() {
        let dir = world();
        std::fs::create_dir(dir.path().join("outside")).unwrap();
        let outside = dir.path().join("outside");
        let mut builder = ::tar::Builder::new(Vec::new());
        let mut header = ::tar::Header::new_gnu();
        header.set_entry_type(::tar::EntryType::Symlink);
        header.set_size(0);
        header.set_mode(0o777);
        builder.append_link(&mut header, "link", &outside).unwrap();
        let mut header = ::tar::Header::new_gnu();
        header.set_size(1);
        header.set_mode(0o644);
        builder.append_data(&mut header, "link/evil", &b"x"[..]).unwrap();
        std::fs::write(dir.path().join("context/a"), builder.into_inner().unwrap()).unwrap();
        add(dir.path(), true).unwrap();
        assert_eq!(std::fs::read_dir(outside).unwrap().count(), 0);
        let mut raw = archive();
        raw[..5].copy_from_slice(b"../x/");
        // The checksum is of the old name, so it is put right.
        let mut header = ::tar::Header::from_byte_slice(&raw[..512]).clone();
        header.set_cksum();
        raw[..512].copy_from_slice(header.as_bytes());
        std::fs::write(dir.path().join("context/a"), raw).unwrap();
        assert!(add(dir.path(), true).is_err());
    }

    #[test]
    fn contexts_are_told_from_dockerfiles() {
        assert!(looks_like_archive(&mut &archive()[..]).unwrap());
        assert!(looks_like_archive(&mut &zstd::encode_all(&b"x"[..], 1).unwrap()[..]).unwrap());
        let long = format!("FROM scratch\n{}", "# comment\n".repeat(100));
        assert!(
            !looks_like_archive(&mut long.as_bytes()).unwrap()
                && !looks_like_archive(&mut &b"FROM x"[..]).unwrap()
        );
        let dir = tempfile::tempdir().unwrap();
        unpack_context(&zstd::encode_all(&archive()[..], 1).unwrap()[..], dir.path()).unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join("d/f")).unwrap(), "content");
    }
}
