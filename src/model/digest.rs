//! Content digests in OCI form: `sha256:` and 64 lower-case hex digits.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use dhow_error::{Failure, invalid};

/// A SHA-256 or SHA-512 digest, valid by construction, so that it is safe as a file name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest {
    text: String,
    colon: usize,
}

impl Digest {
    pub fn of(content: &[u8]) -> Self {
        Self::from_sha256(sha2::Sha256::digest(content).as_slice())
    }

    /// `hash` has 32 bytes.
    pub fn from_sha256(hash: &[u8]) -> Self {
        Self { text: format!("sha256:{}", hex(hash)), colon: 6 }
    }

    /// `hash` has 64 bytes.
    pub fn from_sha512(hash: &[u8]) -> Self {
        Self { text: format!("sha512:{}", hex(hash)), colon: 6 }
    }

    /// `sha256` or `sha512`.
    pub fn algorithm(&self) -> &str {
        &self.text[..self.colon]
    }

    /// The hex digits without the algorithm.
    pub fn hex(&self) -> &str {
        &self.text[self.colon + 1..]
    }

    /// The first twelve digits, as listings show IDs.
    pub fn short(&self) -> &str {
        &self.hex()[..12]
    }

    /// `algorithm:digits`.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)] as char);
        text.push(DIGITS[usize::from(byte & 15)] as char);
    }
    text
}

impl FromStr for Digest {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let malformed = || {
            invalid(format!("`{}` is not a digest (sha256: and 64 hexadecimal digits)", text.escape_debug()))
        };
        let (algorithm, digits) = text.split_once(':').ok_or_else(malformed)?;
        let length = match algorithm {
            "sha256" => 64,
            "sha512" => 128,
            _ => return Err(malformed()),
        };
        // Upper case is refused: a digest names a file, and must have one spelling.
        let hexadecimal = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if digits.len() != length || !digits.bytes().all(hexadecimal) {
            return Err(malformed());
        }
        Ok(Self { text: text.to_owned(), colon: algorithm.len() })
    }
}

impl TryFrom<String> for Digest {
    type Error = Failure;

    fn try_from(text: String) -> Result<Self, Failure> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.text
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_it_prints() {
        let digest = Digest::of(b"");
        assert_eq!(
            digest.as_str(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        assert_eq!(digest.short(), "e3b0c44298fc");
    }

    #[test]
    fn refuses_what_could_name_another_file() {
        let hex = "a".repeat(64);
        for bad in [
            "",
            "sha256:",
            "sha256:abc",
            &format!("md5:{hex}"),
            &format!("sha256:{}", "A".repeat(64)),
            &format!("sha256:../{}", &hex[3..]),
            &hex,
        ] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }
}
