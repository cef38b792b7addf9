//! Help for a command, a group or everything, and the command tree for man pages and completions.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Args, Command};

use super::cmd;
use super::entry::{Context, Entry, Outcome, named};
use super::globals::Globals;
use super::output;
use super::suggest::closest;
use super::usage::UsageError;
use crate::error::unsupported;

/// A command without the flags and subcommands that clap adds by itself.
pub(crate) fn bare_command(name: &'static str) -> Command {
    Command::new(name).disable_help_flag(true).disable_help_subcommand(true).disable_version_flag(true)
}

/// Adds `--help`, and `-h` where the command does not use the letter.
pub(crate) fn add_help_flag(command: Command) -> Command {
    // `run` and `create` use -h for the host name.
    let taken = command.get_arguments().any(|argument| argument.get_short() == Some('h'));
    let help =
        Arg::new("help").long("help").action(ArgAction::Help).help("Show this help").display_order(999);
    let help = if taken { help } else { help.short('h') };
    command.disable_help_flag(true).disable_version_flag(true).arg(help)
}

/// Prints the help of a command.
pub(crate) fn of_entry(entry: &Entry, context: &Context) -> Outcome {
    let mut command = entry
        .definition("dhow")
        .override_usage(format!("{} {}", context.command_line(), entry.usage))
        .after_help(also_called(entry, context));
    output::print(&command.render_help().to_string())?;
    Ok(0)
}

fn also_called(entry: &Entry, context: &Context) -> String {
    if entry.names.len() < 2 {
        return String::new();
    }
    let names: Vec<_> = entry.names.iter().map(|name| format!("{} {name}", context.program)).collect();
    format!("Also called: {}", names.join(", "))
}

/// Answers arguments that do not begin with a known command: with help, or an error.
pub(crate) fn no_command(context: &mut Context, arguments: &[OsString]) -> Outcome {
    let mut words: Vec<String> = arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let asked = words.first().is_some_and(|word| word == "help") || context.globals.help;
    if words.first().is_some_and(|word| word == "help") {
        words.remove(0);
    }
    // `dhow image --help` shows the help of the group, as `dhow help image` does.
    words.retain(|word| asked || (word != "--help" && word != "-h"));
    let group = words.first().and_then(|word| cmd::GROUPS.iter().find(|group| group.0 == word));
    match (group, words.as_slice()) {
        (None, []) => of_everything(context),
        (Some(group), [_]) => of_group(context, group),
        (_, words) if asked => of_words(context, words),
        (Some(group), [_, second, ..]) => {
            context.words = group.0.into();
            Err(unknown_in_group(context, group.0, second))
        }
        (None, [first, ..]) => Err(unknown(context, first)),
        (Some(_), []) => of_everything(context),
    }
}

fn of_words(context: &mut Context, words: &[String]) -> Outcome {
    let words = words.join(" ");
    match named(&words) {
        Some(entry) => {
            context.words = words;
            of_entry(entry, context)
        }
        None => Err(unknown(context, &words)),
    }
}

fn unknown(context: &Context, word: &str) -> anyhow::Error {
    if cmd::ABSENT.contains(&word) {
        return absent(context, word);
    }
    let known = cmd::ENTRIES.iter().flat_map(|entry| entry.names.iter().copied());
    let groups = cmd::GROUPS.iter().map(|group| group.0);
    unknown_among(context, word, known.filter(|name| !name.contains(' ')).chain(groups))
}

fn unknown_in_group(context: &Context, group: &str, word: &str) -> anyhow::Error {
    let full = format!("{group} {word}");
    if cmd::ABSENT.contains(&full.as_str()) {
        return absent(context, &full);
    }
    let known = cmd::ENTRIES.iter().flat_map(|entry| entry.names.iter());
    unknown_among(context, word, known.filter_map(|name| name.strip_prefix(group)?.strip_prefix(' ')))
}

fn absent(context: &Context, words: &str) -> anyhow::Error {
    unsupported(format!(
        "unknown command: {} {words}: docker has it, this version of dhow does not",
        context.program
    ))
    .into()
}

fn unknown_among<'a>(context: &Context, word: &str, known: impl Iterator<Item = &'a str>) -> anyhow::Error {
    let hint = closest(word, known).map(|meant| format!("did you mean `{meant}`?"));
    let message = format!("unknown command: {} {}", context.command_line(), word.escape_debug());
    UsageError { message, hint, about_flag: false }.into()
}

fn of_group(context: &Context, group: &(&str, &str)) -> Outcome {
    let mut text = format!("Usage:  {} {} COMMAND\n\n{}\n\nCommands:\n", context.program, group.0, group.1);
    let inside = cmd::ENTRIES.iter().filter_map(|entry| {
        let verb = entry.names.iter().find_map(|name| name.strip_prefix(group.0)?.strip_prefix(' '))?;
        Some((verb, entry.about))
    });
    text += &listing(inside);
    text += &format!(
        "\nRun '{} {} COMMAND --help' for more information on a command.\n",
        context.program, group.0
    );
    output::print(&text)?;
    Ok(0)
}

fn of_everything(context: &Context) -> Outcome {
    let single = |entry: &'static Entry| {
        let name = entry.names.iter().find(|name| !name.contains(' '))?;
        Some((*name, entry.about))
    };
    let mut text = format!("Usage:  {} [OPTIONS] COMMAND\n\n{ABOUT}\n", context.program);
    text += "\nCommands:\n";
    text += &listing(cmd::ENTRIES.iter().filter_map(single));
    text += "\nGroups of commands:\n";
    text += &listing(cmd::GROUPS.iter().copied());
    text += "\nOptions in front of the command:\n";
    text += &options();
    text += &format!("\nRun '{} COMMAND --help' for more information on a command.\n", context.program);
    output::print(&text)?;
    Ok(0)
}

const ABOUT: &str = "Runs containers without a daemon and without privileges.";

fn options() -> String {
    let command = Globals::augment_args(bare_command("dhow")).help_template("{options}");
    command.clone().render_help().to_string().trim_end().to_owned() + "\n"
}

fn listing<'a>(lines: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut lines: Vec<_> = lines.collect();
    lines.sort_unstable();
    let width = lines.iter().map(|line| line.0.len()).max().unwrap_or(0);
    lines.iter().map(|(name, about)| format!("  {name:width$}   {about}\n")).collect()
}

/// The whole command tree with every alias, for man pages and completions.
pub fn tree() -> Command {
    let mut root = Globals::augment_args(bare_command("dhow"))
        .about(ABOUT)
        .version(env!("CARGO_PKG_VERSION"))
        .override_usage("dhow [OPTIONS] COMMAND")
        .subcommand_required(true);
    for (group, about) in cmd::GROUPS {
        root = root.subcommand(bare_command(group).about(*about));
    }
    for entry in cmd::ENTRIES {
        for name in entry.names {
            root = graft(root, entry, name);
        }
    }
    root
}

fn graft(root: Command, entry: &'static Entry, name: &'static str) -> Command {
    match name.split_once(' ') {
        Some((group, verb)) => {
            let command = entry.definition(verb).override_usage(format!("dhow {name} {}", entry.usage));
            root.mut_subcommand(group, |group| group.subcommand(command))
        }
        None => {
            root.subcommand(entry.definition(name).override_usage(format!("dhow {name} {}", entry.usage)))
        }
    }
}
