//! The command line: the only place that knows clap, standard output, the environment and exit codes.
//!
//! A start costs what its own command costs: the words of the command are looked up in a table, and only the one
//! definition found there is built. The whole tree exists for help, completions and man pages.

mod baking;
mod builders;
mod building;
mod cmd;
mod each;
mod entry;
mod environment;
mod fetch;
mod flags;
mod front;
mod globals;
mod help;
mod human;
mod inspect;
mod lines;
mod listing;
mod multicall;
mod output;
mod progress;
mod prompt;
mod reindent;
mod report;
mod settings;
mod suggest;
mod table;
mod template;
mod tty;
mod usage;

use std::ffi::OsString;
use std::process::ExitCode;

use entry::{Context, Outcome};
use globals::Globals;

pub use help::tree;

/// Runs the command that the arguments name and returns its exit code.
pub fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    let program = program_name(arguments.first());
    if let Some(run) = multicall::find(&program) {
        return run(arguments);
    }
    let rest = arguments.split_off(arguments.len().min(1));
    let mut context = Context { program, words: String::new(), globals: Globals::default() };
    let outcome = dispatch(&mut context, rest);
    report::finish(&context, outcome)
}

fn program_name(first: Option<&OsString>) -> String {
    let name = first.map(std::path::Path::new).and_then(|path| path.file_name());
    name.map_or_else(|| "dhow".into(), |name| name.to_string_lossy().into_owned())
}

fn dispatch(context: &mut Context, mut arguments: Vec<OsString>) -> Outcome {
    if arguments.first().is_some_and(|first| first.as_encoded_bytes().starts_with(b"-")) {
        let (globals, rest) = globals::parse(arguments)?;
        context.globals = globals;
        arguments = rest;
    }
    if context.globals.version {
        return cmd::system::version::one_line(context);
    }
    context.globals.check()?;
    let Some(found) = entry::find(&arguments) else {
        return help::no_command(context, &arguments);
    };
    context.words = found.words;
    arguments.drain(..found.consumed);
    found.entry.execute(context, arguments)
}
