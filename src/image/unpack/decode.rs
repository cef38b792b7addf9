//! Compression formats of layers and archives, detected by magic number as in every engine, never by name.

use std::io::{self, BufRead, Read};

/// Memory limit of the xz decoder in bytes; enough for the strongest preset.
const XZ_MEMORY: u64 = 256 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Plain,
    Gzip,
    Zstd,
    Bzip2,
    Xz,
}

impl Format {
    /// Detects the format of a stream that starts with `start`; unknown data counts as plain.
    pub(crate) fn of(start: &[u8]) -> Self {
        const MAGIC: &[(&[u8], Format)] = &[
            (&[0x1f, 0x8b], Format::Gzip),
            (&[0x28, 0xb5, 0x2f, 0xfd], Format::Zstd),
            (b"BZh", Format::Bzip2),
            (&[0xfd, b'7', b'z', b'X', b'Z', 0], Format::Xz),
        ];
        MAGIC.iter().find(|(magic, _)| start.starts_with(magic)).map_or(Format::Plain, |(_, format)| *format)
    }
}

/// A reader of the decompressed stream. Concatenated members and frames are read as one.
pub(crate) fn decoder<'a>(
    format: Format,
    source: impl BufRead + Send + 'a,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    Ok(match format {
        Format::Plain => Box::new(source),
        Format::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(source)),
        Format::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(source)?),
        Format::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(source)),
        Format::Xz => {
            let stream =
                liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(source, stream))
        }
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write as _;

    use super::*;

    pub(crate) fn compress(format: Format, plain: &[u8]) -> Vec<u8> {
        match format {
            Format::Plain => plain.to_vec(),
            Format::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
            Format::Zstd => zstd::encode_all(plain, 1).unwrap(),
            Format::Bzip2 => {
                let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
            Format::Xz => {
                let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
        }
    }

    #[test]
    fn formats_are_told_by_their_first_bytes() {
        for format in [Format::Plain, Format::Gzip, Format::Zstd, Format::Bzip2, Format::Xz] {
            assert_eq!(Format::of(&compress(format, b"./")), format);
        }
        assert_eq!(Format::of(b""), Format::Plain);
    }
}
