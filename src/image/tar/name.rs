//! Member names, normalised so that they stay inside the target directory.

use dhow_error::{Failure, corrupt};

/// A relative directory and a name in it; both empty for the root.
#[derive(Debug, PartialEq, Eq)]
pub struct MemberPath {
    pub dir: Vec<u8>,
    pub base: Vec<u8>,
}

impl MemberPath {
    /// Parses a name lexically: leading slashes are ignored, and `..` may not lead out of the root.
    pub fn parse(path: &[u8]) -> Result<MemberPath, Failure> {
        if path.contains(&0) {
            return Err(corrupt("the name contains a zero byte"));
        }
        let mut parts: Vec<&[u8]> = Vec::new();
        for part in path.split(|b| *b == b'/') {
            match part {
                b"" | b"." => {}
                b".." => {
                    parts.pop().ok_or_else(|| corrupt("the name leads out of the directory"))?;
                }
                part => parts.push(part),
            }
        }
        let base = parts.pop().unwrap_or_default().to_vec();
        Ok(MemberPath { dir: parts.join(&b'/'), base })
    }

    pub fn path(&self) -> Vec<u8> {
        if self.dir.is_empty() {
            return self.base.clone();
        }
        [&self.dir[..], b"/", &self.base].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside() {
        let parse = |text: &str| MemberPath::parse(text.as_bytes()).map(|name| (name.dir, name.base));
        assert_eq!(parse("./a//b/").unwrap(), (b"a".to_vec(), b"b".to_vec()));
        assert_eq!(parse("/etc/passwd").unwrap(), (b"etc".to_vec(), b"passwd".to_vec()));
        assert_eq!(parse("a/../b/./c").unwrap(), (b"b".to_vec(), b"c".to_vec()));
        assert_eq!(parse("./").unwrap(), (vec![], vec![]));
        for bad in ["..", "a/../../b", "/../etc", "a\0b"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
