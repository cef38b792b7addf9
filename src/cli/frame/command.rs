//! The types of the command table: what a command is, what it gets, and what it returns.

use std::ffi::OsString;

use clap::builder::ValueParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches};

use super::globals::GlobalFlags;
use super::{help, usage};
use crate::cmd;

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
        Self { names, usage, about, define: T::augment_args, run: run_matches::<T> }
    }

    /// The clap definition, named `name`, as help, man pages and completions show it.
    pub(crate) fn definition(&self, name: &'static str) -> clap::Command {
        // No display order sorts the flags by name. The doc comment of the arguments is not for users.
        let command = (self.define)(clap::Command::new(name).next_display_order(None))
            .about(self.about)
            .long_about(None);
        help::with_help_flag(command)
    }

    /// Parses `arguments`, which follow the command's words, and runs the command.
    pub(crate) fn execute(&self, context: &CommandContext, arguments: Vec<OsString>) -> CommandResult {
        let words = arguments.into_iter();
        let parsed = docker_parser(self.definition("dhow")).no_binary_name(true).try_get_matches_from(words);
        match parsed {
            Ok(matches) => (self.run)(&matches, context),
            // clap knows neither the words that were typed nor the aliases.
            Err(error) if error.kind() == ErrorKind::DisplayHelp => help::print_command_help(self, context),
            Err(error) => Err(usage::from_clap(&error).into()),
        }
    }
}

fn run_matches<T: CommandArgs>(matches: &ArgMatches, context: &CommandContext) -> CommandResult {
    match T::from_arg_matches(matches) {
        Ok(arguments) => arguments.run(context),
        Err(error) => Err(usage::from_clap(&error).into()),
    }
}

/// Gives a definition the conventions of docker's flags: `--flag=false`, the last one wins, and a value may
/// start with a dash.
pub(crate) fn docker_parser(command: clap::Command) -> clap::Command {
    command.args_override_self(true).color(clap::ColorChoice::Never).mut_args(docker_flag)
}

fn docker_flag(argument: Arg) -> Arg {
    if argument.is_positional() {
        return argument;
    }
    match argument.get_action() {
        ArgAction::SetTrue => {
            let default = argument.get_default_values().first().map_or("false".into(), Clone::clone);
            // As in Go's pflag: `--flag` or `--flag=false`, and in `--flag false` the second word is an
            // argument.
            argument
                .action(ArgAction::Set)
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .default_value(default)
                .value_parser(ValueParser::new(parse_go_bool))
        }
        ArgAction::Set | ArgAction::Append => argument.allow_hyphen_values(true),
        _ => argument,
    }
}

/// The spellings that Go's `strconv.ParseBool` accepts.
fn parse_go_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("true or false is expected".into()),
    }
}

/// A match in the command table.
pub(crate) struct MatchedCommand {
    pub(crate) entry: &'static CommandEntry,
    pub(crate) words: String,
    /// How many arguments the words took.
    pub(crate) consumed: usize,
}

/// Finds the longest command name in front of `arguments`.
pub(crate) fn find_command(arguments: &[OsString]) -> Option<MatchedCommand> {
    let first = arguments.first()?.to_str()?;
    // Two words first: `image ls` is not the command `image`.
    if let Some(second) = arguments.get(1).and_then(|word| word.to_str()) {
        let words = format!("{first} {second}");
        if let Some(entry) = command_named(&words) {
            return Some(MatchedCommand { entry, words, consumed: 2 });
        }
    }
    let entry = command_named(first)?;
    Some(MatchedCommand { entry, words: first.to_owned(), consumed: 1 })
}

/// The entry with this name or alias.
pub(crate) fn command_named(words: &str) -> Option<&'static CommandEntry> {
    cmd::ENTRIES.iter().find(|entry| entry.names.contains(&words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Args, Debug, PartialEq)]
    struct Sample {
        #[arg(short, long)]
        interactive: bool,
        #[arg(short, long)]
        tty: bool,
        #[arg(long, default_value = "true")]
        proxy: bool,
        #[arg(short, long)]
        env: Vec<String>,
        #[arg(short, long)]
        name: Option<String>,
        #[arg(trailing_var_arg = true, required = true)]
        words: Vec<String>,
    }

    fn sample(words: &[&str]) -> Sample {
        use clap::{Args, FromArgMatches};
        let command = docker_parser(Sample::augment_args(clap::Command::new("x"))).no_binary_name(true);
        Sample::from_arg_matches(&command.try_get_matches_from(words).unwrap()).unwrap()
    }

    #[test]
    fn flags_are_read_as_docker_reads_them() {
        let got = sample(&[
            "-it",
            "-e",
            "-x",
            "--env=A=b",
            "-eC",
            "-n=q",
            "--name",
            "--last",
            "img",
            "-i",
            "--",
            "y",
        ]);
        assert!(got.interactive && got.tty && got.proxy);
        assert_eq!(got.env, ["-x", "A=b", "C"]);
        assert_eq!(got.name.as_deref(), Some("--last"));
        assert_eq!(got.words, ["img", "-i", "--", "y"]);
        let got = sample(&["-i=false", "--tty", "--tty=0", "--proxy=false", "--", "-img"]);
        assert!(!got.interactive && !got.tty && !got.proxy);
        assert_eq!(got.words, ["-img"]);
    }
}
