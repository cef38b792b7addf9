//! The files of a log: `PATH` is written to, `PATH.1` is the latest that was put aside, and so on. One that is compressed
//! ends in `.zst`, and says which file it was made from, so that a reader can tell whether it has read that.

use std::fs::{File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// Upper bound on the number of log files.
const MAX_FILES: u32 = 1000;

pub(super) const COMPRESSED: &str = ".zst";

/// The head of a skippable frame of 24 bytes, which decoders pass over (RFC 8878, 3.1.2): magic number and length.
const ORIGIN_FRAME: [u8; 8] = [0x50, 0x2a, 0x4d, 0x18, 24, 0, 0, 0];

/// The path of the `number`th rotated file; 1 is the latest.
pub(super) fn rotated_path(path: &Path, number: u32, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}{ending}"));
    name.into()
}

/// What tells a file that is complete from all others of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileIdentity {
    /// Not enough: that of a file that was compressed and removed is given to a later one.
    inode: u64,
    /// When it was last written to, in nanoseconds since 1970.
    modified: u64,
    size: u64,
}

impl FileIdentity {
    pub(super) fn of(file: &File) -> io::Result<Self> {
        Ok(Self::from_metadata(&file.metadata()?))
    }

    fn from_metadata(metadata: &Metadata) -> Self {
        let seconds = u64::try_from(metadata.mtime()).unwrap_or_default();
        let nanoseconds = u64::try_from(metadata.mtime_nsec()).unwrap_or_default();
        Self {
            inode: metadata.ino(),
            modified: seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds),
            size: metadata.len(),
        }
    }

    /// Ends a compressed file with the identity of the file that it was made from.
    pub(super) fn write_behind(self, compressed: &mut impl Write) -> io::Result<()> {
        compressed.write_all(&ORIGIN_FRAME)?;
        [self.inode, self.modified, self.size]
            .iter()
            .try_for_each(|number| compressed.write_all(&number.to_le_bytes()))
    }

    /// What [`Self::write_behind`] wrote; `None` if there is none, as in files of early versions.
    fn read_behind(compressed: &File) -> Option<Self> {
        let mut frame = [0; 32];
        compressed.read_exact_at(&mut frame, compressed.metadata().ok()?.len().checked_sub(32)?).ok()?;
        let (head, numbers) = frame.split_first_chunk::<8>()?;
        let (numbers, _) = numbers.as_chunks::<8>();
        let [inode, modified, size] = <[[u8; 8]; 3]>::try_from(numbers).ok()?.map(u64::from_le_bytes);
        (*head == ORIGIN_FRAME).then_some(Self { inode, modified, size })
    }
}

/// The files of a log, opened.
pub(super) struct LogFiles {
    /// The one that is written to.
    pub current: Option<File>,
    /// Latest first.
    pub rotated: Vec<RotatedFile>,
}

/// A file that was put aside, and is complete.
pub(super) struct RotatedFile {
    pub file: File,
    pub compressed: bool,
    /// Its own.
    inode: u64,
    /// That of the file before it was compressed, if known.
    identity: Option<FileIdentity>,
}

impl LogFiles {
    /// Opens those that are later than `after`, or all.
    ///
    /// The writer renumbers the files from the oldest on, so while they are opened one may be met again under the next
    /// number, and one number may be missing.
    pub(super) fn open(path: &Path, after: Option<FileIdentity>) -> io::Result<Self> {
        let mut files = Self { current: open_if_exists(path)?, rotated: Vec::new() };
        let mut missing = false;
        for number in 1..MAX_FILES {
            let Some(file) = RotatedFile::open(path, number)? else {
                if missing {
                    break;
                }
                missing = true;
                continue;
            };
            missing = false;
            // Nobody can tell whether a file without an identity was read.
            if after.is_some() && (file.identity.is_none() || file.identity == after) {
                break;
            }
            if !files.contains(&file)? {
                files.rotated.push(file);
            }
        }
        Ok(files)
    }

    /// Whether `file` is here already, perhaps from before it was compressed.
    fn contains(&self, file: &RotatedFile) -> io::Result<bool> {
        if let Some(current) = &self.current
            && (current.metadata()?.ino() == file.inode || Some(FileIdentity::of(current)?) == file.identity)
        {
            return Ok(true);
        }
        let is_same = |other: &RotatedFile| {
            other.inode == file.inode || other.identity.is_some() && other.identity == file.identity
        };
        Ok(self.rotated.iter().any(is_same))
    }
}

impl RotatedFile {
    /// Opens the `number`th; `None` if there is none.
    fn open(path: &Path, number: u32) -> io::Result<Option<Self>> {
        // While one is compressed it has both names; the plain one is removed last.
        if let Some(file) = open_if_exists(&rotated_path(path, number, ""))? {
            let identity = FileIdentity::of(&file)?;
            return Ok(Some(Self {
                file,
                compressed: false,
                inode: identity.inode,
                identity: Some(identity),
            }));
        }
        let Some(file) = open_if_exists(&rotated_path(path, number, COMPRESSED))? else { return Ok(None) };
        let (inode, identity) = (file.metadata()?.ino(), FileIdentity::read_behind(&file));
        Ok(Some(Self { file, compressed: true, inode, identity }))
    }

    pub(super) fn identity(&self) -> Option<FileIdentity> {
        self.identity
    }
}

fn open_if_exists(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        file => file.map(Some),
    }
}
