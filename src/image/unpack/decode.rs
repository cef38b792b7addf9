//! Compression formats of layers and archives, detected by magic number as in every engine, never by name.

use std::io::{self, BufRead, Read};

/// Memory limit of the xz decoder in bytes; enough for the strongest preset.
const XZ_MEMORY: u64 = 256 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionFormat {
    Plain,
    Gzip,
    Zstd,
    Bzip2,
    Xz,
}

impl CompressionFormat {
    /// Detects the format of a stream that starts with `start`; unknown data counts as plain.
    pub fn of(start: &[u8]) -> Self {
        const MAGIC: &[(&[u8], CompressionFormat)] = &[
            (&[0x1f, 0x8b], CompressionFormat::Gzip),
            (&[0x28, 0xb5, 0x2f, 0xfd], CompressionFormat::Zstd),
            (b"BZh", CompressionFormat::Bzip2),
            (&[0xfd, b'7', b'z', b'X', b'Z', 0], CompressionFormat::Xz),
        ];
        MAGIC
            .iter()
            .find(|(magic, _)| start.starts_with(magic))
            .map_or(CompressionFormat::Plain, |(_, format)| *format)
    }
}

/// A reader of the decompressed stream. Concatenated members and frames are read as one.
pub fn decoder<'a>(
    format: CompressionFormat,
    source: impl BufRead + Send + 'a,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    Ok(match format {
        CompressionFormat::Plain => Box::new(source),
        CompressionFormat::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(source)),
        CompressionFormat::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(source)?),
        CompressionFormat::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(source)),
        CompressionFormat::Xz => {
            let stream =
                liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(source, stream))
        }
    })
}

#[cfg(test)]
pub mod tests {
    use std::io::Write as _;

    use super::*;

    pub fn compress(format: CompressionFormat, plain: &[u8]) -> Vec<u8> {
        match format {
            CompressionFormat::Plain => plain.to_vec(),
            CompressionFormat::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
            CompressionFormat::Zstd => zstd::encode_all(plain, 1).unwrap(),
            CompressionFormat::Bzip2 => {
                let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
            CompressionFormat::Xz => {
                let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
        }
    }

    #[test]
    fn formats_are_told_by_their_first_bytes() {
        for format in [
            CompressionFormat::Plain,
            CompressionFormat::Gzip,
            CompressionFormat::Zstd,
            CompressionFormat::Bzip2,
            CompressionFormat::Xz,
        ] {
            assert_eq!(CompressionFormat::of(&compress(format, b"./")), format);
        }
        assert_eq!(CompressionFormat::of(b""), CompressionFormat::Plain);
    }
}
