//! Parses the values of build flags and of bake attributes (buildx: `util/buildflags`).

pub mod args;
pub mod context;
pub mod entries;
pub mod secret;

use std::path::{Path, PathBuf};

use dhow_model::environment::Environment;

/// The client's environment and working directory, against which flag values are resolved.
#[derive(Clone, Debug)]
pub struct ClientEnv {
    pub environment: Environment,
    /// Absolute.
    pub dir: PathBuf,
}

impl ClientEnv {
    /// Makes `path` absolute. `~` is left to the shell.
    pub fn absolute(&self, path: impl AsRef<Path>) -> PathBuf {
        self.dir.join(path)
    }
}
