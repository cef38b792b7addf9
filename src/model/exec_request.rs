//! What `exec` asks for: another process in a running container.

use super::detach_keys::DetachKeys;

#[derive(Clone, Debug, Default)]
pub struct ExecRequest {
    /// Name or ID.
    pub container: String,
    /// Program and arguments; not empty.
    pub args: Vec<String>,
    /// `NAME=value`, in addition to the container's; a bare `NAME` removes the variable.
    pub env: Vec<String>,
    /// `user[:group]`; `None` for the container's.
    pub user: Option<String>,
    /// Absolute; `None` for the container's.
    pub workdir: Option<String>,
    /// All capabilities, no seccomp filter.
    pub privileged: bool,
    /// Allocate a pseudo-terminal.
    pub tty: bool,
    /// Keep stdin open.
    pub interactive: bool,
    /// Run in the background.
    pub detach: bool,
    pub detach_keys: DetachKeys,
}
