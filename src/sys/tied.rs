//! Programs that end with the thread that started them.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::process::die_with_parent;

/// Has the program be killed when the thread that starts it has ended, however that comes about (prctl(2),
/// PR_SET_PDEATHSIG: the parent is a thread).
pub fn tie(command: &mut Command) -> &mut Command {
    // SAFETY: between fork and exec only async-signal-safe functions may be called, and nothing may be allocated: this
    // makes one system call.
    unsafe { command.pre_exec(die_with_parent) }
}
