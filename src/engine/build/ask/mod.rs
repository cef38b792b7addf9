//! The texts in which a build is asked for (values of flags, attributes of a bake file) and what they mean.

pub mod args;
pub mod context;
pub mod secret;
pub mod typed;

use std::path::{Path, PathBuf};

use crate::model::environment::Environment;

/// Where texts are read: relative paths and variables without a value get theirs from here.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The environment.
    pub environment: Environment,
    /// The working directory, absolute.
    pub dir: PathBuf,
}

impl Surroundings {
    /// `path` made absolute; `~` is left to the shell.
    pub fn absolute(&self, path: impl AsRef<Path>) -> PathBuf {
        self.dir.join(path)
    }
}
