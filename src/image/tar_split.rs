//! Tar-split: the tar stream of a layer without the contents of regular files. Together with the tree it
//! regenerates the identical stream.
//!
//! A zstd stream of records, each a type byte followed by LEB128 numbers:
//!
//! ```text
//! 'R' length bytes          raw bytes of the stream: headers, padding, contents not stored as such in the tree
//! 'F' length n path         `length` bytes of content, from the file at this path (of n bytes) in the tree; the
//!                           k-th such record, counting from 0, is read from `extra/k` if that exists
//! 'E'                       the end; without it the file is damaged
//! ```

use std::fs::File;
use std::io::{self, BufReader, Read, Write};

use dhow_error::{Failure, corrupt};

/// Headers are mostly zeros, so higher levels gain little.
const LEVEL: i32 = 1;
/// Bytes collected before they go to the compressor.
const BATCH: usize = 64 << 10;
/// Maximum path length in bytes, against damaged files.
const MAX_PATH: u64 = 1 << 20;

pub(crate) struct TarSplitWriter<W: Write = File> {
    out: zstd::stream::write::Encoder<'static, W>,
    raw: Vec<u8>,
    files: u32,
}

impl<W: Write> TarSplitWriter<W> {
    pub(crate) fn new(out: W) -> io::Result<Self> {
        let out = zstd::stream::write::Encoder::new(out, LEVEL)?;
        Ok(Self { out, raw: Vec::with_capacity(BATCH), files: 0 })
    }

    /// Appends raw bytes of the stream.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.raw.extend_from_slice(bytes);
        if self.raw.len() >= BATCH { self.flush_raw() } else { Ok(()) }
    }

    /// Appends a reference to `length` bytes of content at `path` in the tree. Returns the record's number.
    pub(crate) fn file(&mut self, path: &[u8], length: u64) -> io::Result<u32> {
        self.flush_raw()?;
        let mut head = vec![b'F'];
        put_number(&mut head, length);
        put_number(&mut head, path.len() as u64);
        head.extend_from_slice(path);
        self.out.write_all(&head)?;
        let number = self.files;
        self.files = number.checked_add(1).ok_or_else(|| io::Error::other("too many files"))?;
        Ok(number)
    }

    /// Writes the end record and returns the underlying writer.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.flush_raw()?;
        self.out.write_all(b"E")?;
        self.out.finish()
    }

    fn flush_raw(&mut self) -> io::Result<()> {
        if self.raw.is_empty() {
            return Ok(());
        }
        let mut head = vec![b'R'];
        put_number(&mut head, self.raw.len() as u64);
        self.out.write_all(&head)?;
        self.out.write_all(&self.raw)?;
        self.raw.clear();
        Ok(())
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TarSplitRecord {
    /// The number of raw bytes that follow; read them with [`TarSplitReader::read`].
    Raw(u64),
    /// Content from a file.
    File {
        /// Counts the file records, from 0.
        number: u32,
        /// In bytes.
        length: u64,
        /// Path in the tree.
        path: Vec<u8>,
    },
}

pub(crate) struct TarSplitReader<R: Read = File> {
    input: zstd::stream::read::Decoder<'static, BufReader<R>>,
    files: u32,
}

impl<R: Read> TarSplitReader<R> {
    pub(crate) fn new(input: R) -> io::Result<Self> {
        Ok(Self { input: zstd::stream::read::Decoder::new(input)?, files: 0 })
    }

    /// The next record, or `None` at the end. The previous record's raw bytes must have been read.
    pub(crate) fn next_record(&mut self) -> anyhow::Result<Option<TarSplitRecord>> {
        match self.byte()? {
            b'R' => Ok(Some(TarSplitRecord::Raw(self.number()?))),
            b'F' => self.file().map(Some),
            b'E' => Ok(None),
            _ => Err(damaged().into()),
        }
    }

    /// Reads bytes of a raw record.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.input.read_exact(buffer)
    }

    fn file(&mut self) -> anyhow::Result<TarSplitRecord> {
        let length = self.number()?;
        let path_length = self.number()?;
        if path_length > MAX_PATH {
            return Err(damaged().into());
        }
        let mut path = vec![0; path_length as usize];
        self.input.read_exact(&mut path)?;
        let number = self.files;
        self.files = number.checked_add(1).ok_or_else(damaged)?;
        Ok(TarSplitRecord::File { number, length, path })
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.input.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    fn number(&mut self) -> anyhow::Result<u64> {
        let mut value = 0;
        // Nine groups of seven bits hold every length there is; a longer number is damage.
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(damaged().into())
    }
}

fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn damaged() -> Failure {
    corrupt("the layer's tar-split data is damaged")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_was_written() {
        let mut writer = TarSplitWriter::new(Vec::new()).unwrap();
        writer.raw(b"head").unwrap();
        writer.raw(b"er").unwrap();
        assert_eq!(writer.file(b"a/b", 1 << 40).unwrap(), 0);
        assert_eq!(writer.file(b"", 1).unwrap(), 1);
        let tar_split = writer.finish().unwrap();
        let mut reader = TarSplitReader::new(&tar_split[..]).unwrap();
        assert_eq!(reader.next_record().unwrap(), Some(TarSplitRecord::Raw(6)));
        let mut raw = [0; 6];
        reader.read(&mut raw).unwrap();
        assert_eq!(&raw, b"header");
        let first = TarSplitRecord::File { number: 0, length: 1 << 40, path: b"a/b".to_vec() };
        assert_eq!(reader.next_record().unwrap(), Some(first));
        assert!(matches!(reader.next_record().unwrap(), Some(TarSplitRecord::File { number: 1, .. })));
        assert_eq!(reader.next_record().unwrap(), None);
    }

    #[test]
    fn cut_data_is_noticed() {
        let mut writer = TarSplitWriter::new(Vec::new()).unwrap();
        writer.raw(b"x").unwrap();
        let tar_split = writer.finish().unwrap();
        for length in 0..tar_split.len() - 1 {
            let result = TarSplitReader::new(&tar_split[..length]).map_err(anyhow::Error::from).and_then(
                |mut reader| {
                    while let Some(record) = reader.next_record()? {
                        if let TarSplitRecord::Raw(length) = record {
                            reader.read(&mut vec![0; length as usize])?;
                        }
                    }
                    Ok(())
                },
            );
            assert!(result.is_err(), "{length}");
        }
    }
}
