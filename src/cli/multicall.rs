//! The other programs that this executable is when it is called by their names.

use std::ffi::OsString;
use std::process::ExitCode;

use super::{environment, output};
use crate::engine::demo;
use crate::error::{Kind, kind_of};
use crate::sandbox::reaper;

/// A program: takes all arguments, its own name first.
pub(crate) type Program = fn(Vec<OsString>) -> ExitCode;

/// Names that are not the command line.
const PROGRAMS: &[(&str, Program)] = &[(reaper::PROGRAM, init), (demo::PROGRAM, show_demo)];

/// The program called `name`, if it is not the command line itself.
pub(crate) fn find(name: &str) -> Option<Program> {
    PROGRAMS.iter().find(|(known, _)| *known == name).map(|(_, program)| *program)
}

/// Process 1 of a container with `--init`.
fn init(arguments: Vec<OsString>) -> ExitCode {
    match reaper::run(arguments.get(1..).unwrap_or_default()) {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)),
        Err(error) => {
            output::note(&format!("{}: {error:#}", reaper::PROGRAM));
            match kind_of(&error) {
                Kind::CommandNotFound => ExitCode::from(127),
                _ => ExitCode::from(126),
            }
        }
    }
}

/// The program of the built-in image.
fn show_demo(_arguments: Vec<OsString>) -> ExitCode {
    match output::print(&demo::report(&environment::all())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
