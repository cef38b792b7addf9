//! Hashing with the algorithm of a given digest, to verify streams.

use sha2::Digest as _;

use dhow_model::digest::Digest;

#[derive(Clone)]
pub enum DigestHasher {
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
}

impl DigestHasher {
    /// A hasher for the algorithm of `digest`.
    pub fn matching(digest: &Digest) -> Self {
        match digest.algorithm() {
            "sha512" => Self::Sha512(sha2::Sha512::new()),
            _ => Self::Sha256(sha2::Sha256::new()),
        }
    }

    pub fn update(&mut self, content: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(content),
            Self::Sha512(hash) => hash.update(content),
        }
    }

    pub fn finish(self) -> Digest {
        match self {
            Self::Sha256(hash) => Digest::from_sha256(hash.finalize().as_slice()),
            Self::Sha512(hash) => Digest::from_sha512(hash.finalize().as_slice()),
        }
    }

    /// Hashes `content` with the algorithm of `digest`.
    pub fn digest_like(digest: &Digest, content: &[u8]) -> Digest {
        let mut hasher = Self::matching(digest);
        hasher.update(content);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_algorithms() {
        let short = Digest::of(b"x");
        assert_eq!(DigestHasher::digest_like(&short, b"x"), short);
        let long: Digest = format!("sha512:{}", "0".repeat(128)).parse().unwrap();
        let found = DigestHasher::digest_like(&long, b"");
        assert!(found.as_str().starts_with("sha512:cf83e1357eefb8bd"), "{found}");
    }
}
