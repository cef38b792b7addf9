//! Help for a command, a group or everything, and the command tree for man pages and completions.

use std::ffi::OsString;

use clap::{Args, Command};

use super::command::{CommandContext, CommandEntry, CommandResult, CommandTable};
use super::globals::GlobalFlags;
use super::parser::bare_command;
use super::suggest::closest;
use super::usage::UsageError;
use crate::output;
use dhow_error::unsupported;

/// Prints the help of a command.
pub(crate) fn print_command_help(entry: &CommandEntry, context: &CommandContext) -> CommandResult {
    let mut command = entry
        .definition("dhow")
        .override_usage(format!("{} {}", context.command_line(), entry.usage))
        .after_help(alias_line(entry, context));
    output::print(&command.render_help().to_string())?;
    Ok(0)
}

fn alias_line(entry: &CommandEntry, context: &CommandContext) -> String {
    if entry.names.len() < 2 {
        return String::new();
    }
    let names: Vec<_> = entry.names.iter().map(|name| format!("{} {name}", context.program)).collect();
    format!("Also called: {}", names.join(", "))
}

/// Answers arguments that do not begin with a known command: with help, or an error.
pub(crate) fn answer_unmatched(context: &mut CommandContext, arguments: &[OsString]) -> CommandResult {
    let mut words: Vec<String> = arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let help_requested = words.first().is_some_and(|word| word == "help") || context.globals.help;
    if words.first().is_some_and(|word| word == "help") {
        words.remove(0);
    }
    // `dhow image --help` shows the help of the group, as `dhow help image` does.
    words.retain(|word| help_requested || (word != "--help" && word != "-h"));
    let group = words.first().and_then(|word| context.table.groups.iter().find(|group| group.0 == word));
    match (group, words.as_slice()) {
        (None, []) => print_overview(context),
        (Some(group), [_]) => print_group_help(context, group),
        (_, words) if help_requested => print_help_for(context, words),
        (Some(group), [_, second, ..]) => {
            context.words = group.0.into();
            Err(unknown_subcommand(context, group.0, second))
        }
        (None, [first, ..]) => Err(unknown_command(context, first)),
        // Cannot happen: a group is found by the first word.
        (Some(_), []) => print_overview(context),
    }
}

fn print_help_for(context: &mut CommandContext, words: &[String]) -> CommandResult {
    let words = words.join(" ");
    match context.table.named(&words) {
        Some(entry) => {
            context.words = words;
            print_command_help(entry, context)
        }
        None => Err(unknown_command(context, &words)),
    }
}

fn unknown_command(context: &CommandContext, word: &str) -> anyhow::Error {
    if context.table.unsupported.contains(&word) {
        return unsupported_command(context, word);
    }
    let commands = context.table.entries.iter().flat_map(|entry| entry.names.iter().copied());
    let groups = context.table.groups.iter().map(|group| group.0);
    // Commands of two words are suggested within their group, by `unknown_subcommand`.
    unknown_with_suggestion(context, word, commands.filter(|name| !name.contains(' ')).chain(groups))
}

fn unknown_subcommand(context: &CommandContext, group: &str, word: &str) -> anyhow::Error {
    let command = format!("{group} {word}");
    if context.table.unsupported.contains(&command.as_str()) {
        return unsupported_command(context, &command);
    }
    let names = context.table.entries.iter().flat_map(|entry| entry.names.iter());
    unknown_with_suggestion(
        context,
        word,
        names.filter_map(|name| name.strip_prefix(group)?.strip_prefix(' ')),
    )
}

fn unsupported_command(context: &CommandContext, words: &str) -> anyhow::Error {
    unsupported(format!(
        "unknown command: {} {words}: docker has it, this version of dhow does not",
        context.program
    ))
    .into()
}

fn unknown_with_suggestion<'a>(
    context: &CommandContext,
    word: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> anyhow::Error {
    let hint = closest(word, candidates).map(|name| format!("did you mean `{name}`?"));
    let message = format!("unknown command: {} {}", context.command_line(), word.escape_debug());
    UsageError { message, hint, about_flag: false }.into()
}

fn print_group_help(context: &CommandContext, group: &(&str, &str)) -> CommandResult {
    let mut text = format!("Usage:  {} {} COMMAND\n\n{}\n\nCommands:\n", context.program, group.0, group.1);
    let subcommands = context.table.entries.iter().filter_map(|entry| {
        // Any name counts: some commands are in a group only under an alias (`builder build`).
        let verb = entry.names.iter().find_map(|name| name.strip_prefix(group.0)?.strip_prefix(' '))?;
        Some((verb, entry.about))
    });
    text += &aligned_list(subcommands);
    text += &format!(
        "\nRun '{} {} COMMAND --help' for more information on a command.\n",
        context.program, group.0
    );
    output::print(&text)?;
    Ok(0)
}

fn print_overview(context: &CommandContext) -> CommandResult {
    let one_word = |entry: &'static CommandEntry| {
        let name = entry.names.iter().find(|name| !name.contains(' '))?;
        Some((*name, entry.about))
    };
    let mut text = format!("Usage:  {} [OPTIONS] COMMAND\n\n{ABOUT}\n", context.program);
    text += "\nCommands:\n";
    text += &aligned_list(context.table.entries.iter().filter_map(one_word));
    text += "\nGroups of commands:\n";
    text += &aligned_list(context.table.groups.iter().copied());
    text += "\nOptions in front of the command:\n";
    text += &global_options();
    text += &format!("\nRun '{} COMMAND --help' for more information on a command.\n", context.program);
    output::print(&text)?;
    Ok(0)
}

const ABOUT: &str = "Runs containers without a daemon and without privileges.";

fn global_options() -> String {
    let command = GlobalFlags::augment_args(bare_command("dhow")).help_template("{options}");
    command.clone().render_help().to_string().trim_end().to_owned() + "\n"
}

fn aligned_list<'a>(lines: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut lines: Vec<_> = lines.collect();
    lines.sort_unstable();
    let width = lines.iter().map(|line| line.0.len()).max().unwrap_or(0);
    lines.iter().map(|(name, about)| format!("  {name:width$}   {about}\n")).collect()
}

/// The whole command tree with every alias, for man pages and completions.
pub(crate) fn command_tree(table: &CommandTable) -> Command {
    let mut root = GlobalFlags::augment_args(bare_command("dhow"))
        .about(ABOUT)
        .version(env!("CARGO_PKG_VERSION"))
        .override_usage("dhow [OPTIONS] COMMAND")
        .subcommand_required(true);
    // First the groups, since commands can be added only to those that exist.
    for (group, about) in table.groups {
        root = root.subcommand(bare_command(group).about(*about));
    }
    for entry in table.entries {
        for name in entry.names {
            root = add_command(root, entry, name);
        }
    }
    root
}

fn add_command(root: Command, entry: &'static CommandEntry, name: &'static str) -> Command {
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
