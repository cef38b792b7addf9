//! Which paths of a context are hidden from bind mounts: a mount cannot apply an ignore file.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::SourceTree;
use super::tree_view::{ViewDir, display_path, join};
use crate::path_pattern::MatchInfo;
use dhow_error::invalid;

/// Deeper nesting is refused: each level holds open descriptors.
const MAX_DEPTH: usize = 400;

impl SourceTree {
    /// The paths below the directory `under` that the ignore file excludes, relative to the source's root. Of
    /// a tree that is excluded as a whole, only its top.
    pub fn ignored_paths(&self, under: &str) -> Result<Vec<PathBuf>> {
        let mut hidden = Vec::new();
        if !self.ignore.is_empty()
            && let Some(start) = self.resolve(under.as_bytes(), true)?
            && start.is_dir()
        {
            let state = self.ignore_match(&start.path);
            self.hidden_below(&start.dir, &start.path, &state, &mut hidden, 0)?;
        }
        Ok(hidden)
    }

    fn hidden_below(
        &self,
        dir: &ViewDir,
        path: &[u8],
        state: &MatchInfo,
        hidden: &mut Vec<PathBuf>,
        depth: usize,
    ) -> Result<()> {
        let doing = || format!("cannot read `/{}`", display_path(path));
        if depth >= MAX_DEPTH {
            return Err(invalid(format!("directories are nested more than {MAX_DEPTH} deep")))
                .with_context(doing);
        }
        for name in dir.names().with_context(doing)? {
            let Some(entry) = dir.lookup(&name).with_context(doing)? else { continue };
            let below = join(path, name.to_bytes());
            let matched = self.ignore.below(&below, state);
            if matched.all && (!entry.is_dir() || self.ignore.hides_all_of(&below)) {
                // Nothing below can be re-included, so the walk ends here.
                hidden.push(PathBuf::from(OsString::from_vec(below)));
            } else if entry.is_dir() {
                self.hidden_below(
                    &dir.enter(&name).with_context(doing)?,
                    &below,
                    &matched,
                    hidden,
                    depth + 1,
                )?;
            }
        }
        Ok(())
    }
}
