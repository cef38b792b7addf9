//! Turns an error into a line on standard error and an exit code; nothing else does.

use std::process::ExitCode;

use super::command::{CommandContext, CommandResult};
use super::environment;
use super::usage::UsageError;
use crate::output;
use crate::output::template::TemplateError;
use dhow_error::{Failure, FailureKind, exhausted, exhaustion_hint, kind_of, start_failure_exit_code};

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
            let reached = environment::engine_reached();
            output::eprint_line(&error_text(context, &error, reached));
            exit_code(context, &error, reached).into()
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
    output::eprint_line(&error_text(context, error, environment::engine_reached()));
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

/// `reached` is whether the command got as far as the engine.
fn exit_code(context: &CommandContext, error: &anyhow::Error, reached: bool) -> u8 {
    if let Some(usage) = error.downcast_ref::<UsageError>() {
        // docker exits with 125 for a wrong flag, and with 1 for wrong arguments.
        return if usage.about_flag { ENGINE_FAILURE } else { 1 };
    }
    let kind = kind_of(error);
    let start_failure = u8::try_from(start_failure_exit_code(kind)).unwrap_or(ENGINE_FAILURE);
    match kind {
        FailureKind::Interrupted => 130,
        _ if runs_container(&context.words) => start_failure,
        // As `run`, as long as it is about the flags.
        _ if creates_container(&context.words) && !reached => ENGINE_FAILURE,
        // `exec` shares 126 and 127 with `run`, but not 125.
        _ if joins_container(&context.words) && start_failure != ENGINE_FAILURE => start_failure,
        _ => 1,
    }
}

fn runs_container(words: &str) -> bool {
    matches!(words, "run" | "container run")
}

fn creates_container(words: &str) -> bool {
    matches!(words, "create" | "container create")
}

fn joins_container(words: &str) -> bool {
    matches!(words, "exec" | "container exec")
}

/// The message with its hint, followed by its causes if they are to be shown. `reached` is whether the command got as
/// far as the engine.
fn error_text(context: &CommandContext, error: &anyhow::Error, reached: bool) -> String {
    let line = printable(&one_line(error));
    let mut text = match context.as_docker() && reached && !error.is::<UsageError>() {
        true => docker_line(context, error, &line),
        false => format!("{}: {line}", context.program),
    };
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

/// In the words of docker's client, which scripts look for: it says of what its daemon answered where it is from.
fn docker_line(context: &CommandContext, error: &anyhow::Error, line: &str) -> String {
    match (context.words.as_str(), kind_of(error)) {
        // What the client finds out by itself.
        _ if error.is::<TemplateError>() => line.to_owned(),
        ("inspect", FailureKind::NotFound) => format!("Error: {line}"),
        (words, _) if runs_container(words) => format!("docker: Error response from daemon: {line}"),
        _ => format!("Error response from daemon: {line}"),
    }
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
    let found = error.chain().find_map(|cause| {
        let failure = Failure::find_in(cause).and_then(Failure::hint_text);
        let usage = cause.downcast_ref::<UsageError>().and_then(|usage| usage.hint.as_deref());
        failure.or(usage).map(str::to_owned)
    });
    found.or_else(|| exhausted(error).map(|errno| exhaustion_hint(errno).to_owned()))
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
            error_text(&context("pull"), &error, true),
            "dhow: cannot pull debain: not found\\non the \\u{1b}[1mregistry; did you mean debian?"
        );
        assert_eq!(exit_code(&context("pull"), &error, true), 1);
        assert_eq!(exit_code(&context("run"), &error, true), 125);
    }

    #[test]
    fn what_create_refuses_has_the_code_of_run_and_what_fails_later_has_not() {
        let error = anyhow::Error::from(dhow_error::invalid("wrong"));
        assert_eq!(exit_code(&context("create"), &error, false), 125);
        assert_eq!(exit_code(&context("create"), &error, true), 1);
    }

    #[test]
    fn called_docker_it_says_what_dockers_client_says() {
        let docker = |words: &str, error: &anyhow::Error, reached| {
            let context = CommandContext { program: "docker".into(), ..context(words) };
            error_text(&context, error, reached)
        };
        let error = anyhow::Error::from(not_found("No such container: x"));
        assert_eq!(docker("rm", &error, true), "Error response from daemon: No such container: x");
        assert_eq!(docker("run", &error, true), "docker: Error response from daemon: No such container: x");
        assert_eq!(docker("run", &error, false), "docker: No such container: x");
        let object = anyhow::Error::from(not_found("No such object: x"));
        assert_eq!(docker("inspect", &object, true), "Error: No such object: x");
    }

    #[test]
    fn repeated_causes_are_said_once() {
        let error = anyhow::anyhow!("it broke").context("cannot do x: it broke");
        assert_eq!(error_text(&context(""), &error, false), "dhow: cannot do x: it broke");
    }

    #[test]
    fn commands_in_the_container_have_their_own_codes() {
        let code = |kind| exit_code(&context("run"), &Failure::new(kind, "x").into(), true);
        assert_eq!(code(FailureKind::CommandNotFound), 127);
        assert_eq!(code(FailureKind::CommandNotExecutable), 126);
        assert_eq!(code(FailureKind::Other), 125);
    }
}
