//! The types of the command table: what a command is, what it gets, and what it returns.

use std::ffi::OsString;

use clap::ArgMatches;

use super::globals::GlobalFlags;
use super::{parser, usage};

/// An exit code, or the error that `report` turns into one.
pub(crate) type CommandResult = anyhow::Result<u8>;

/// What every command gets besides its own arguments.
pub(crate) struct CommandContext {
    /// The name dhow was called by, without its directory.
    pub(crate) program: String,
    /// The words of the command as typed, `image ls`.
    pub(crate) words: String,
    /// The flags in front of the command.
    pub(crate) globals: GlobalFlags,
    /// All commands, for help and completions.
    pub(crate) table: &'static CommandTable,
}

/// The exit code for that of a process, which is at most 255 unless something went wrong.
pub(crate) fn process_exit_code(code: i32) -> u8 {
    u8::try_from(code).unwrap_or(u8::MAX)
}

impl CommandContext {
    /// The whole command as typed, `dhow image ls`.
    pub(crate) fn command_line(&self) -> String {
        if self.words.is_empty() { self.program.clone() } else { format!("{} {}", self.program, self.words) }
    }

    /// Whether dhow was called through a link named `docker`.
    pub(crate) fn as_docker(&self) -> bool {
        self.program == "docker"
    }
}

/// The arguments of a command.
pub(crate) trait CommandArgs: clap::Args {
    /// Runs the command; returns its exit code.
    fn run(self, context: &CommandContext) -> CommandResult;
}

/// A row of the command table.
pub(crate) struct CommandEntry {
    /// The names, words separated by one space: first the canonical one, then the aliases.
    pub(crate) names: &'static [&'static str],
    /// What follows the name in the usage line.
    pub(crate) usage: &'static str,
    /// One line of help.
    pub(crate) about: &'static str,
    /// Whether it is carried out by the engine that the flags in front of it name, which must be this one.
    pub(crate) uses_engine: bool,
    define: fn(clap::Command) -> clap::Command,
    run: fn(&ArgMatches, &CommandContext) -> CommandResult,
}

impl CommandEntry {
    /// The entry of the command with the arguments `T`.
    pub(crate) const fn new<T: CommandArgs>(
        names: &'static [&'static str],
        usage: &'static str,
        about: &'static str,
    ) -> Self {
        Self { names, usage, about, uses_engine: true, define: T::augment_args, run: run_matches::<T> }
    }

    /// The same for a command that is about the client, whatever engine that is for.
    pub(crate) const fn without_engine(self) -> Self {
        Self { uses_engine: false, ..self }
    }

    /// The clap definition, named `name`, as help, man pages and completions show it.
    pub(crate) fn definition(&self, name: &'static str) -> clap::Command {
        // No display order sorts the flags by name. The doc comment of the arguments is not for users.
        let command = (self.define)(clap::Command::new(name).next_display_order(None))
            .about(self.about)
            .long_about(None);
        parser::with_help_flag(command)
    }

    /// Parses `arguments`, which follow the command's words.
    pub(crate) fn parse(&self, arguments: Vec<OsString>) -> Result<ArgMatches, clap::Error> {
        // The command's words are cut off already, so the first argument is not a name.
        parser::parse(self.definition("dhow"), arguments)
    }

    /// Runs the command with its parsed arguments.
    pub(crate) fn run(&self, matches: &ArgMatches, context: &CommandContext) -> CommandResult {
        (self.run)(matches, context)
    }
}

fn run_matches<T: CommandArgs>(matches: &ArgMatches, context: &CommandContext) -> CommandResult {
    match T::from_arg_matches(matches) {
        Ok(arguments) => arguments.run(context),
        Err(error) => Err(usage::from_clap(&error).into()),
    }
}

/// All commands of a program.
pub(crate) struct CommandTable {
    pub(crate) entries: &'static [CommandEntry],
    /// First words of commands that have two, each with one line of help.
    pub(crate) groups: &'static [(&'static str, &'static str)],
    /// Commands of docker that do not exist here; they get an error of their own.
    pub(crate) unsupported: &'static [&'static str],
}

/// A match in the command table.
pub(crate) struct MatchedCommand {
    pub(crate) entry: &'static CommandEntry,
    pub(crate) words: String,
    /// How many arguments the words took.
    pub(crate) consumed: usize,
}

impl CommandTable {
    /// Finds the longest command name in front of `arguments`.
    pub(crate) fn find(&self, arguments: &[OsString]) -> Option<MatchedCommand> {
        let first = arguments.first()?.to_str()?;
        // Two words first: `image ls` is not the command `image`.
        if let Some(second) = arguments.get(1).and_then(|word| word.to_str()) {
            let words = format!("{first} {second}");
            if let Some(entry) = self.named(&words) {
                return Some(MatchedCommand { entry, words, consumed: 2 });
            }
        }
        let entry = self.named(first)?;
        Some(MatchedCommand { entry, words: first.to_owned(), consumed: 1 })
    }

    /// The entry with this name or alias.
    pub(crate) fn named(&self, words: &str) -> Option<&'static CommandEntry> {
        self.entries.iter().find(|entry| entry.names.contains(&words))
    }
}
