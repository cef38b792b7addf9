//! Checks that there is a terminal for `-it`.

use std::io::IsTerminal as _;

use super::usage::UsageError;

/// Refuses `-it` without a terminal; scripts rely on that and on its exit code. `stdin_to_tty` is whether
/// standard input goes to a terminal of the process.
pub(crate) fn check_tty(stdin_to_tty: bool) -> Result<(), UsageError> {
    if stdin_to_tty && !std::io::stdin().is_terminal() {
        return Err(UsageError::new("the input device is not a TTY")
            .with_hint("leave out -t where the input is a pipe"));
    }
    Ok(())
}
