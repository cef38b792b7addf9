//! Whether a command has the terminal that it is to give to a process.

use std::io::IsTerminal as _;

use super::usage::UsageError;

/// Scripts count on the refusal of `-it` without a terminal, and on its exit code. `typed` is whether what is typed is
/// to reach a terminal of the process.
pub(crate) fn check(typed: bool) -> Result<(), UsageError> {
    if typed && !std::io::stdin().is_terminal() {
        return Err(UsageError::words("the input device is not a TTY")
            .hinting("leave out -t where the input is a pipe"));
    }
    Ok(())
}
