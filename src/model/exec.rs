//! What is asked of `exec`: a further process in a container that runs.

use super::detach_keys::DetachKeys;

/// A request for a process.
#[derive(Clone, Debug, Default)]
pub struct ExecRequest {
    /// The container, by name or ID.
    pub container: String,
    /// Program and arguments; not empty.
    pub args: Vec<String>,
    /// `NAME=value` beside the container's own; a `NAME` alone takes the variable away.
    pub env: Vec<String>,
    /// `user[:group]`; the container's own where `None`.
    pub user: Option<String>,
    /// Absolute working directory; the container's own where `None`.
    pub workdir: Option<String>,
    /// All capabilities and no filter.
    pub privileged: bool,
    /// Give it a terminal.
    pub tty: bool,
    /// Keep its standard input open.
    pub interactive: bool,
    /// Let it go on alone.
    pub detach: bool,
    /// What detaches a terminal.
    pub detach_keys: DetachKeys,
}
