//! The command line: the only layer that knows clap, standard output, the process environment and exit codes.
//!
//! # Start-up
//! `main` first looks at the name that dhow was called by, which may select another program (see `multicall`). It
//! then splits off the flags in front of the command, looks the command's words up in a table, and builds the clap
//! definition of that one command. The tree of all commands is built for help, completions and man pages only, so a
//! start does not get slower with every command added.
//!
//! # Terms
//! - An *entry* is a row of the command table: names, one line of help, and the type of the arguments.
//! - The *arguments* of a command are a clap `Args` struct; its `run` carries the command out.
//! - The *context* is what a command gets besides its arguments: the words as typed and the flags in front of them.
//! - The *result* is an exit code, or an error that `report` turns into a line on standard error and an exit code.
//!
//! # Exit codes
//! As docker's: 125 if `run` fails before its process starts or a flag is invalid, 126 and 127 if the process cannot
//! be executed or found, 130 if interrupted, 141 if the reader of standard output went away, otherwise 1.
//!
//! # Rules
//! Layers below get the environment as a value and never print. Parsing a command line has no side effects.

#![allow(
    clippy::disallowed_methods,
    reason = "this crate reads the environment and writes the files of the user"
)]

mod cmd;
mod flags;
mod frame;
mod output;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;

use dhow_runtime::process_limits;
use frame::command::{CommandContext, CommandResult, MatchedCommand};
use frame::globals::{self, GlobalFlags};
use frame::{engine_choice, help, multicall, report, usage};

/// The tree of all commands, for man pages and completions.
pub fn command_tree() -> clap::Command {
    help::command_tree(&cmd::TABLE)
}

/// Runs the command that the arguments name and returns its exit code.
pub fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    let program = program_name(arguments.first());
    if let Some(run) = multicall::find_program(&program) {
        return run(arguments);
    }
    process_limits::prepare_own();
    // execve allows an empty list of arguments.
    let rest = arguments.split_off(arguments.len().min(1));
    let globals = GlobalFlags::default();
    let mut context = CommandContext { program, words: String::new(), globals, table: &cmd::TABLE };
    let result = dispatch(&mut context, rest);
    report::finish(&context, result)
}

fn program_name(first: Option<&OsString>) -> String {
    let name = first.map(std::path::Path::new).and_then(|path| path.file_name());
    name.map_or_else(|| "dhow".into(), |name| name.to_string_lossy().into_owned())
}

fn dispatch(context: &mut CommandContext, mut arguments: Vec<OsString>) -> CommandResult {
    // Without a flag in front there is nothing to parse, which is the usual case and keeps the start fast.
    if arguments.first().is_some_and(|first| first.as_encoded_bytes().starts_with(b"-")) {
        let (globals, rest) = globals::split_globals(arguments)?;
        context.globals = globals;
        arguments = rest;
    }
    if context.globals.version {
        return cmd::system::version::print_version_line(context);
    }
    context.globals.check()?;
    match context.table.find(&arguments) {
        Some(matched) => execute(context, matched, arguments),
        None => help::answer_unmatched(context, &arguments),
    }
}

fn execute(
    context: &mut CommandContext,
    matched: MatchedCommand,
    mut arguments: Vec<OsString>,
) -> CommandResult {
    context.words = matched.words;
    arguments.drain(..matched.consumed);
    match matched.entry.parse(arguments) {
        Ok(matches) => {
            if matched.entry.uses_engine {
                engine_choice::check(context)?;
            }
            matched.entry.run(&matches, context)
        }
        // clap knows neither the words that were typed nor the aliases.
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            help::print_command_help(matched.entry, context)
        }
        Err(error) => Err(usage::from_clap(&error).into()),
    }
}
