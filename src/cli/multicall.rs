//! The other programs that this executable is when it is called by their names.

use std::ffi::OsString;
use std::process::ExitCode;

/// A program: takes all arguments, its own name first.
pub(crate) type Program = fn(Vec<OsString>) -> ExitCode;

/// Names that are not the command line.
const PROGRAMS: &[(&str, Program)] = &[];

/// The program called `name`, if it is not the command line itself.
pub(crate) fn find(name: &str) -> Option<Program> {
    PROGRAMS.iter().find(|(known, _)| *known == name).map(|(_, program)| *program)
}
