//! Checks that there is a terminal for `-it`.

use std::io::IsTerminal as _;

use super::usage::UsageError;

/// Refuses `-it` without a terminal; scripts rely on that and on its exit code. `typed` says whether standard
/// input is to reach a terminal of the process.
pub(crate) fn check_tty(typed: bool) -> Result<(), UsageError> {
    if typed && !std::io::stdin().is_terminal() {
        return Err(UsageError::new("the input device is not a TTY")
            .with_hint("leave out -t where the input is a pipe"));
    }
    Ok(())
}
