//! Other programs in this executable, selected by the name that it is called by.

use std::ffi::OsString;
use std::process::ExitCode;

use super::command::process_exit_code;
use super::environment;
use crate::output;
use dhow_engine::image::demo;
use dhow_error::{FailureKind, kind_of};
use dhow_sandbox::reaper;

/// The main function of a program; gets all arguments, its own name first.
type MulticallProgram = fn(Vec<OsString>) -> ExitCode;

/// Names that select another program.
const PROGRAMS: &[(&str, MulticallProgram)] = &[(reaper::PROGRAM, run_init), (demo::PROGRAM, run_demo)];

/// The program called `name`; None for the command line itself.
pub(crate) fn find_program(name: &str) -> Option<MulticallProgram> {
    PROGRAMS.iter().find(|(known, _)| *known == name).map(|(_, program)| *program)
}

/// Process 1 of a container with `--init`.
fn run_init(arguments: Vec<OsString>) -> ExitCode {
    match reaper::run_reaper(arguments.get(1..).unwrap_or_default()) {
        Ok(code) => ExitCode::from(process_exit_code(code)),
        Err(error) => {
            output::eprint_line(&format!("{}: {error:#}", reaper::PROGRAM));
            // As a shell does: 127 if the program was not found, 126 if it cannot be executed.
            match kind_of(&error) {
                FailureKind::CommandNotFound => ExitCode::from(127),
                _ => ExitCode::from(126),
            }
        }
    }
}

/// The program of the built-in demo image.
fn run_demo(_arguments: Vec<OsString>) -> ExitCode {
    match output::print(&demo::isolation_report(&environment::all())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
