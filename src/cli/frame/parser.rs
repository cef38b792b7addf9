//! clap, configured to parse flags as docker does.

use std::ffi::OsString;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::empty_values::drop_empty_texts;
use dhow_model::boolean;

/// A command without the flags and subcommands that clap adds by itself.
pub(crate) fn bare_command(name: &'static str) -> Command {
    Command::new(name).disable_help_flag(true).disable_help_subcommand(true).disable_version_flag(true)
}

/// Adds `--help`, and `-h` where the command does not use the letter.
pub(crate) fn with_help_flag(command: Command) -> Command {
    // `run` and `create` use -h for the host name.
    let taken = command.get_arguments().any(|argument| argument.get_short() == Some('h'));
    let help =
        Arg::new("help").long("help").action(ArgAction::Help).help("Show this help").display_order(999);
    let help = if taken { help } else { help.short('h') };
    command.disable_help_flag(true).disable_version_flag(true).arg(help)
}

/// Parses `arguments`, which do not begin with a program's name, by docker's conventions.
pub(crate) fn parse(command: Command, arguments: Vec<OsString>) -> Result<ArgMatches, clap::Error> {
    let command = docker_parser(command).no_binary_name(true);
    let arguments = drop_empty_texts(&command, arguments);
    command.try_get_matches_from(arguments)
}

/// Gives a definition the conventions of docker's flags: `--flag=false`, the last one wins, and a value may
/// start with a dash.
pub(super) fn docker_parser(command: Command) -> Command {
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
                .value_parser(ValueParser::new(parse_switch))
        }
        ArgAction::Set | ArgAction::Append => argument.allow_hyphen_values(true),
        _ => argument,
    }
}

fn parse_switch(text: &str) -> Result<bool, String> {
    boolean::parse(text).ok_or_else(|| "true or false is expected".into())
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
        let words = words.iter().map(OsString::from).collect();
        let matches = parse(Sample::augment_args(clap::Command::new("x")), words).unwrap();
        Sample::from_arg_matches(&matches).unwrap()
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
