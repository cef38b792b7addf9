//! Which checks run: `# check=skip=…;error=…;experimental=…` and the build argument
//! `BUILDKIT_DOCKERFILE_CHECK`.

use std::collections::BTreeSet;

use super::rules::CheckRule;
use crate::ast::Dockerfile;
use dhow_error::{Failure, invalid};
use dhow_model::boolean;

/// Which rules apply, and whether a violation fails the build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckOptions {
    /// `skip=all`
    pub(crate) skip_all: bool,
    /// `skip=NAME,…`
    pub skip: BTreeSet<String>,
    /// `experimental=all`
    pub(crate) experimental_all: bool,
    /// `experimental=NAME,…`
    pub experimental: BTreeSet<String>,
    /// `error=true`
    pub error: bool,
}

impl CheckOptions {
    /// The options of a build: the build argument, if `given`, overrides the file's directive.
    pub fn for_build(file: &Dockerfile, given: Option<&str>) -> Result<Self, Failure> {
        match (given, &file.directives.check) {
            (Some(text), _) => Self::parse(text),
            (None, Some((text, line))) => Self::parse(text).map_err(|failure| failure.at(*line..=*line)),
            (None, None) => Ok(Self::default()),
        }
    }

    /// Parses `skip=A,B;error=true;experimental=all // reason`.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let mut options = Self::default();
        // No option has a slash.
        let (text, _) = text.split_once("//").unwrap_or((text, ""));
        if text.trim().is_empty() {
            return Ok(options);
        }
        for part in text.split(';') {
            let unknown = |option: &str| {
                invalid(format!("failed to parse check options: invalid check option {option:?}"))
            };
            let (key, value) = part.split_once('=').ok_or_else(|| unknown(part))?;
            let value = value.trim();
            match key.trim() {
                "skip" => (options.skip_all, options.skip) = names(value),
                "experimental" => (options.experimental_all, options.experimental) = names(value),
                "error" => options.error = boolean::parse(value).ok_or_else(|| unknown(part))?,
                other => return Err(unknown(other)),
            }
        }
        Ok(options)
    }

    /// Adds what a comment `# check=skip=…` directly above an instruction skips.
    pub(super) fn with_comments(&self, comments: &[String]) -> Self {
        let mut options = self.clone();
        // Malformed comments are ignored: only the directive is checked.
        let extra_options = comments.iter().filter_map(|line| Self::parse(line.strip_prefix("check=")?).ok());
        for extra in extra_options {
            options.skip_all |= extra.skip_all;
            options.skip.extend(extra.skip);
        }
        options
    }

    pub(super) fn applies(&self, rule: &CheckRule) -> bool {
        let enabled = self.experimental_all || self.experimental.contains(rule.name);
        !self.skip_all && !self.skip.contains(rule.name) && (!rule.experimental || enabled)
    }
}

/// `all`, or a list of names.
fn names(value: &str) -> (bool, BTreeSet<String>) {
    match value {
        "all" => (true, BTreeSet::new()),
        names => (false, names.split(',').map(|name| name.trim().to_owned()).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_skipped_and_what_is_an_error() {
        let options = CheckOptions::parse(" skip=A, B;error=true;experimental=all").unwrap();
        assert!(options.skip.contains("A") && options.skip.contains("B") && !options.skip_all);
        assert!(options.error && options.experimental_all);
        assert!(CheckOptions::parse("skip=all").unwrap().skip_all);
        assert_eq!(CheckOptions::parse(" ").unwrap(), CheckOptions::default());
        let reason = CheckOptions::parse("skip=A,B // of old; see http://x").unwrap();
        assert_eq!(reason.skip, BTreeSet::from(["A".to_owned(), "B".to_owned()]));
        assert!(CheckOptions::parse("skip=all // x").unwrap().skip_all);
        assert!(CheckOptions::parse("error=true // x").unwrap().error);
        for bad in ["skip", "error=maybe", "what=A", "skip=A;;error=true"] {
            assert!(CheckOptions::parse(bad).is_err(), "{bad}");
        }
    }
}
