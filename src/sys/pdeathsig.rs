//! Programs that are killed when the thread that started them ends.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::process::die_with_parent;

/// Sets PR_SET_PDEATHSIG in the child (prctl(2)): SIGKILL when the parent *thread* ends, for whatever reason.
pub fn kill_with_parent(command: &mut Command) -> &mut Command {
    // SAFETY: between fork and exec only async-signal-safe functions may be called, and nothing may be allocated:
    // this makes one system call.
    unsafe { command.pre_exec(die_with_parent) }
}
