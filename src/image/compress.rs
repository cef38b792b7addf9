//! Compression of layers for transport. It is reproducible: the same layer and settings give the same bytes
//! on every machine, with one thread, no time or name in headers, and libraries whose output does not depend
//! on the CPU.

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use dhow_error::{Failure, invalid, unsupported};

/// A compression algorithm with its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compression {
    None,
    /// RFC 1952, level 0 to 9.
    Gzip(u32),
    /// RFC 8878, level 0 to 22.
    Zstd(i32),
}

impl Default for Compression {
    /// gzip, which every engine supports.
    fn default() -> Self {
        Self::Gzip(6)
    }
}

impl Compression {
    /// Parses the flag value `kind`, with `level` or its default.
    pub fn from_name(kind: &str, level: Option<i64>) -> Result<Self, Failure> {
        let within = |highest: i64, default: i64| match level {
            // -1 is the default level, as in Go's compress/gzip.
            None | Some(-1) => Ok(default),
            Some(level) if (0..=highest).contains(&level) => Ok(level),
            Some(level) => Err(invalid(format!("{level} is not a level of {kind}: 0 to {highest} are"))),
        };
        match kind {
            "uncompressed" => Ok(Self::None),
            "gzip" => Ok(Self::Gzip(within(9, 6)? as u32)),
            "zstd" => Ok(Self::Zstd(within(22, 3)? as i32)),
            "estargz" => Err(unsupported("layers of the sort `estargz` cannot be made")
                .hint("gzip, zstd and uncompressed can")),
            _ => Err(invalid(format!(
                "`{}` is not a compression: gzip, zstd or uncompressed",
                kind.escape_debug()
            ))),
        }
    }

    /// The media type of a layer with this compression.
    pub fn media_type(self, oci: bool) -> &'static str {
        match (self, oci) {
            (Self::None, true) => "application/vnd.oci.image.layer.v1.tar",
            (Self::Gzip(_), true) => "application/vnd.oci.image.layer.v1.tar+gzip",
            (Self::Zstd(_), true) => "application/vnd.oci.image.layer.v1.tar+zstd",
            (Self::None, false) => "application/vnd.docker.image.rootfs.diff.tar",
            (Self::Gzip(_), false) => "application/vnd.docker.image.rootfs.diff.tar.gzip",
            (Self::Zstd(_), false) => "application/vnd.docker.image.rootfs.diff.tar.zstd",
        }
    }

    pub fn writer<W: Write>(self, out: W) -> io::Result<Compressor<W>> {
        Ok(match self {
            Self::None => Compressor::None(out),
            Self::Gzip(level) => {
                Compressor::Gzip(flate2::write::GzEncoder::new(out, flate2::Compression::new(level)))
            }
            // No worker threads: they would change the output.
            Self::Zstd(level) => Compressor::Zstd(zstd::stream::write::Encoder::new(out, level)?),
        })
    }
}

/// The form stored in records, for example `gzip-6`.
impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("uncompressed"),
            Self::Gzip(level) => write!(f, "gzip-{level}"),
            Self::Zstd(level) => write!(f, "zstd-{level}"),
        }
    }
}

/// Parses the output of `Display`.
impl FromStr for Compression {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        match text.split_once('-') {
            // -2 is not a valid level, so a malformed number is rejected.
            Some((kind, level)) => Self::from_name(kind, Some(level.parse().unwrap_or(-2))),
            None => Self::from_name(text, None),
        }
    }
}

/// The equivalent OCI or docker media type of a layer.
pub(crate) fn convert_media_type(media_type: &str, oci: bool) -> String {
    // Media types do not tell the level, so any will do.
    let compression = if media_type.ends_with("gzip") {
        Compression::Gzip(6)
    } else if media_type.ends_with("zstd") {
        Compression::Zstd(3)
    } else {
        Compression::None
    };
    compression.media_type(oci).to_owned()
}

pub enum Compressor<W: Write> {
    /// Passes everything through.
    None(W),
    Gzip(flate2::write::GzEncoder<W>),
    Zstd(zstd::stream::write::Encoder<'static, W>),
}

impl<W: Write> Compressor<W> {
    /// Writes the trailer and returns the underlying writer.
    pub fn finish(self) -> io::Result<W> {
        match self {
            Self::None(out) => Ok(out),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::None(out) => out.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::None(out) => out.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn packed(compression: Compression) -> Vec<u8> {
        let mut writer = compression.writer(Vec::new()).unwrap();
        for part in 0..100_u32 {
            writer.write_all(format!("line {part}\n").repeat(50).as_bytes()).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn the_same_gives_the_same() {
        for compression in [Compression::None, Compression::default(), Compression::Zstd(3)] {
            assert_eq!(packed(compression), packed(compression), "{compression}");
        }
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(&packed(Compression::Gzip(9))[..]).read_to_end(&mut text).unwrap();
        assert_eq!(text, packed(Compression::None));
        assert_eq!(zstd::decode_all(&packed(Compression::Zstd(19))[..]).unwrap(), text);
    }

    #[test]
    fn levels_are_checked() {
        assert_eq!(Compression::from_name("gzip", None).unwrap(), Compression::Gzip(6));
        assert_eq!(Compression::from_name("zstd", Some(22)).unwrap(), Compression::Zstd(22));
        assert_eq!(Compression::from_name("uncompressed", Some(3)).unwrap(), Compression::None);
        for compression in [Compression::None, Compression::Gzip(9), Compression::Zstd(19)] {
            assert_eq!(compression.to_string().parse::<Compression>().unwrap(), compression);
        }
        for (kind, level) in [("gzip", 10), ("zstd", 23), ("gzip", -2), ("xz", 1), ("estargz", 1)] {
            assert!(Compression::from_name(kind, Some(level)).is_err(), "{kind} {level}");
        }
    }

    #[test]
    fn media_types_change_family() {
        let oci = "application/vnd.oci.image.layer.v1.tar+gzip";
        assert_eq!(convert_media_type("application/vnd.docker.image.rootfs.diff.tar.gzip", true), oci);
        assert_eq!(convert_media_type(oci, false), "application/vnd.docker.image.rootfs.diff.tar.gzip");
    }
}
