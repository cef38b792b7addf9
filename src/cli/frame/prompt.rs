//! Questions on the terminal, with and without echo.

use std::io::{self, Read as _};
use std::os::fd::AsFd as _;

use anyhow::Context as _;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::output;
use dhow_error::{Failure, FailureKind};

/// Asks a question and reads a line.
pub(crate) fn ask_line(question: &str) -> anyhow::Result<String> {
    output::print(question)?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context("cannot read from the terminal")?;
    Ok(answer.trim().to_owned())
}

/// Asks the user to confirm `warning`; only `y` does.
pub(crate) fn confirm(warning: &str) -> anyhow::Result<bool> {
    let answer = ask_line(&format!("WARNING! {warning}\nAre you sure you want to continue? [y/N] "))?;
    Ok(answer.eq_ignore_ascii_case("y"))
}

/// Asks a question and reads a line without echo.
pub(crate) fn ask_secret(question: &str) -> anyhow::Result<String> {
    output::print(question)?;
    let answer = {
        let _hidden = HiddenInput::new().context("cannot hide what is typed")?;
        read_keys()
    };
    // The newline that ended the input was not echoed.
    output::print("\n")?;
    answer
}

/// A terminal without echo, line editing and signal keys. Ctrl-C arrives as a byte, so that an interruption
/// cannot leave the terminal without echo. Dropping it restores the settings.
struct HiddenInput(Termios);

impl HiddenInput {
    fn new() -> io::Result<Self> {
        let original = tcgetattr(io::stdin().as_fd())?;
        let mut hidden = original.clone();
        hidden.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(io::stdin().as_fd(), OptionalActions::Now, &hidden)?;
        Ok(Self(original))
    }
}

impl Drop for HiddenInput {
    fn drop(&mut self) {
        // If the terminal is gone, nothing needs restoring.
        let _ = tcsetattr(io::stdin().as_fd(), OptionalActions::Now, &self.0);
    }
}

fn read_keys() -> anyhow::Result<String> {
    // Line editing is off, so the control characters are handled here.
    const INTERRUPT: u8 = 3;
    const END: u8 = 4;
    let mut input = Vec::new();
    for key in io::stdin().lock().bytes() {
        match key.context("cannot read from the terminal")? {
            INTERRUPT => return Err(Failure::new(FailureKind::Interrupted, "interrupted").into()),
            END | b'\r' | b'\n' => break,
            8 | 127 => drop(input.pop()),
            byte => input.push(byte),
        }
    }
    String::from_utf8(input)
        .map_err(|_| Failure::new(FailureKind::Invalid, "what was typed is not UTF-8").into())
}
