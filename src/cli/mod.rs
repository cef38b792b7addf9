//! The command line: the only place that knows clap, standard output, the environment and exit codes.

use std::process::ExitCode;

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
