//! Turns an error into a line on standard error and an exit code; nothing else does.

use std::process::ExitCode;

use super::command::{CommandContext, CommandResult};
use super::usage::UsageError;
use crate::output;
use dhow_error::{Failure, FailureKind, kind_of, start_failure_exit_code};

/// 128 + SIGPIPE, which a shell reports for a program that a closed pipe killed.
const SIGPIPE_EXIT: u8 = 141;
/// docker's code for a container that failed before its process started, and for an invalid flag.
const ENGINE_FAILURE: u8 = 125;

/// Reports the error of a command, if any; returns the exit code.
pub(crate) fn finish(context: &CommandContext, result: CommandResult) -> ExitCode {
    match result {
        Ok(code) => code.into(),
        Err(error) if output::is_closed_error(&error) => SIGPIPE_EXIT.into(),
        Err(error) => {
            output::eprint_line(&error_text(context, &error));
            exit_code(context, &error).into()
        }
    }
}

/// Prints a warning on standard error, unless the log level excludes warnings.
pub(crate) fn warn(context: &CommandContext, message: &str) {
    if context.globals.warnings() {
        output::eprint_line(&format!("WARNING: {}", printable(message)));
    }
}

/// Prints an error about one of several arguments. The caller goes on with the others and exits with 1.
pub(crate) fn print_error(context: &CommandContext, error: &anyhow::Error) {
    output::eprint_line(&error_text(context, error));
}

/// Prints a build failure in docker's words; returns the exit code.
pub(crate) fn report_failed_build(context: &CommandContext, error: &anyhow::Error, verbose: bool) -> u8 {
    if output::is_closed_error(error) {
        return SIGPIPE_EXIT;
    }
    let mut text = format!("ERROR: failed to build: {}", printable(&one_line(error)));
    if let Some(hint) = hint(error) {
        text.push('\n');
        text.push_str(&printable_lines(&hint));
    }
    if verbose || context.globals.verbose() {
        text.push_str(&causes(error));
    }
    output::eprint_line(&text);
    // The code of a program that SIGINT ended, so that scripts can tell it from a failed step.
    if kind_of(error) == FailureKind::Interrupted { 130 } else { 1 }
}

/// Whether the error is about the command line rather than the operation.
pub(crate) fn is_usage_error(error: &anyhow::Error) -> bool {
    error.is::<UsageError>()
}

fn exit_code(context: &CommandContext, error: &anyhow::Error) -> u8 {
    if let Some(usage) = error.downcast_ref::<UsageError>() {
        // docker exits with 125 for a wrong flag, and with 1 for wrong arguments.
        return if usage.about_flag { ENGINE_FAILURE } else { 1 };
    }
    let kind = kind_of(error);
    let start_failure = u8::try_from(start_failure_exit_code(kind)).unwrap_or(ENGINE_FAILURE);
    match kind {
        FailureKind::Interrupted => 130,
        _ if runs_container(&context.words) => start_failure,
        // `exec` shares 126 and 127 with `run`, but not 125.
        _ if joins_container(&context.words) && start_failure != ENGINE_FAILURE => start_failure,
        _ => 1,
    }
}

fn runs_container(words: &str) -> bool {
    matches!(words, "run" | "container run")
}

fn joins_container(words: &str) -> bool {
    matches!(words, "exec" | "container exec")
}

/// The message with its hint, followed by its causes if they are to be shown.
fn error_text(context: &CommandContext, error: &anyhow::Error) -> String {
    let mut text = format!("{}: {}", context.program, printable(&one_line(error)));
    if let Some(hint) = hint(error) {
        // A hint of several lines is a list, which needs lines of its own.
        text.push_str(if hint.contains('\n') { "\n" } else { "; " });
        text.push_str(&printable_lines(&hint));
    }
    if error.is::<UsageError>() {
        text.push_str(&format!("\nRun '{} --help' for more information", context.command_line()));
    }
    if context.globals.verbose() {
        text.push_str(&causes(error));
    }
    text
}

/// A line for each cause and one for the kind.
fn causes(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        text.push_str(&format!("\n  caused by: {}", printable(&cause.to_string())));
    }
    text + &format!("\n  kind: {:?}", kind_of(error))
}

/// All causes on one line, without those that the line already quotes.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let part = cause.to_string();
        if line.is_empty() {
            line = part;
        // Many errors quote their cause.
        } else if !part.is_empty() && !line.contains(&part) {
            line = line + ": " + &part;
        }
    }
    line
}

fn hint(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| {
        let failure = Failure::find_in(cause).and_then(Failure::hint_text);
        let usage = cause.downcast_ref::<UsageError>().and_then(|usage| usage.hint.as_deref());
        failure.or(usage).map(str::to_owned)
    })
}

/// Escapes control characters: messages quote registries and images, which must not control the terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

/// Escapes control characters other than newlines.
pub(crate) fn printable_lines(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::command::CommandTable;
    use crate::frame::globals::GlobalFlags;
    use dhow_error::not_found;

    static TABLE: CommandTable = CommandTable { entries: &[], groups: &[], unsupported: &[] };

    fn context(words: &str) -> CommandContext {
        CommandContext {
            program: "dhow".into(),
            words: words.into(),
            globals: GlobalFlags::default(),
            table: &TABLE,
        }
    }

    #[test]
    fn one_line_with_causes_and_hint() {
        let cause = not_found("not found\non the \x1b[1mregistry").hint("did you mean debian?");
        let error = anyhow::Error::from(cause).context("cannot pull debain");
        assert_eq!(
            error_text(&context("pull"), &error),
            "dhow: cannot pull debain: not found\\non the \\u{1b}[1mregistry; did you mean debian?"
        );
        assert_eq!(exit_code(&context("pull"), &error), 1);
        assert_eq!(exit_code(&context("run"), &error), 125);
    }

    #[test]
    fn repeated_causes_are_said_once() {
        let error = anyhow::anyhow!("it broke").context("cannot do x: it broke");
        assert_eq!(error_text(&context(""), &error), "dhow: cannot do x: it broke");
    }

    #[test]
    fn commands_in_the_container_have_their_own_codes() {
        let code = |kind| exit_code(&context("run"), &Failure::new(kind, "x").into());
        assert_eq!(code(FailureKind::CommandNotFound), 127);
        assert_eq!(code(FailureKind::CommandNotExecutable), 126);
        assert_eq!(code(FailureKind::Other), 125);
    }
}
