//! `.dockerignore`: which files of a context do not exist for the build.

use crate::path_pattern::{MatchInfo, PatternMatcher, clean};
use dhow_error::{Failure, invalid};

/// Used if the Dockerfile has no ignore file of its own (`NAME.dockerignore`).
pub const DEFAULT: &str = ".dockerignore";
/// Larger files are refused; in bytes.
pub const LIMIT: u64 = 4 << 20;

/// A parsed ignore file, with its name for error messages.
#[derive(Clone, Debug, Default)]
pub struct IgnoreFile {
    matcher: PatternMatcher,
    file: String,
}

impl IgnoreFile {
    pub fn none() -> Self {
        Self::default()
    }

    pub fn parse(file: &str, text: &[u8]) -> Result<Self, Failure> {
        let matcher = PatternMatcher::new(&parse(text)).map_err(|bad| {
            let bad = bad.escape_debug().to_string();
            invalid(format!(
                "failed to read {file}: invalid excludepatterns: \"{bad}\": syntax error in pattern"
            ))
            .hint("a literal `[`, `?`, `*` or `\\` needs a backslash in front")
        })?;
        Ok(Self { matcher, file: file.to_owned() })
    }

    pub fn file(&self) -> &str {
        &self.file
    }

    pub fn is_empty(&self) -> bool {
        self.matcher.is_empty()
    }

    /// Whether some pattern starts with `!`.
    pub fn has_exceptions(&self) -> bool {
        self.matcher.has_exceptions()
    }

    /// The match of `path`, given that of its parent directory.
    pub fn below(&self, path: &[u8], parent: &MatchInfo) -> MatchInfo {
        if self.matcher.is_empty() { MatchInfo::default() } else { self.matcher.match_child(path, parent) }
    }

    /// Whether nothing below the ignored directory `dir` can be re-included, so that it need not be walked.
    pub(crate) fn hides_all_of(&self, dir: &[u8]) -> bool {
        !self.matcher.has_exception_below(dir)
    }
}

/// The patterns of an ignore file: without comments and blank lines, clean and relative, exceptions with a
/// leading `!`.
pub fn parse(text: &[u8]) -> Vec<String> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let text = String::from_utf8_lossy(text);
    // `#` starts a comment only in the first column.
    text.lines().filter(|line| !line.starts_with('#')).filter_map(pattern).collect()
}

fn pattern(line: &str) -> Option<String> {
    let line = line.trim();
    let (mark, path) = match line.strip_prefix('!') {
        Some(rest) => ("!", rest.trim()),
        None => ("", line),
    };
    if path.is_empty() {
        // A lone `!` is kept: the matcher reports it as malformed.
        return (!mark.is_empty()).then(|| mark.to_owned());
    }
    let path = clean(path);
    let relative = if path.len() > 1 { path.strip_prefix('/').unwrap_or(&path) } else { &path };
    Some(format!("{mark}{relative}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_the_original_does() {
        let text = b"\xef\xbb\xbftest1\n/test2\n/a/file/here\n\nlastfile\n# this is a comment\n! /inverted/abs/path\n!\n! \n #no comment\n  spaced/../x/  \r\n";
        let expected =
            ["test1", "test2", "a/file/here", "lastfile", "!inverted/abs/path", "!", "!", "#no comment", "x"];
        assert_eq!(parse(text), expected);
        assert_eq!(parse(b"/\n.\n"), ["/", "."]);
    }

    #[test]
    fn malformed_patterns_name_the_file() {
        let error = IgnoreFile::parse("my.dockerignore", b"ok\na[b\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "failed to read my.dockerignore: invalid excludepatterns: \"a[b\": syntax error in pattern"
        );
        assert!(IgnoreFile::parse(".dockerignore", b"!\n").is_err());
    }

    #[test]
    fn a_directory_with_exceptions_is_read() {
        let ignore = IgnoreFile::parse(DEFAULT, b"*\n!src/**\n").unwrap();
        let root = MatchInfo::default();
        let src = ignore.below(b"src", &root);
        assert!(src.all && !ignore.hides_all_of(b"src") && ignore.hides_all_of(b"lib"));
        assert!(!ignore.below(b"src/main.c", &src).all);
        assert!(!IgnoreFile::none().below(b"x", &root).all);
    }
}
