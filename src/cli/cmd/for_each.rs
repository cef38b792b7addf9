//! For commands that act on several objects: a failure of one does not stop the others.

use crate::frame::command::{CommandContext, CommandResult};
use crate::frame::report;
use crate::output;

/// Runs `action` on each of `names` and prints what it returns. Errors go to standard error and make the exit
/// code 1.
pub(crate) fn for_each_name<'a>(
    context: &CommandContext,
    names: &'a [String],
    mut action: impl FnMut(&'a str) -> anyhow::Result<String>,
) -> CommandResult {
    let mut code = 0;
    for name in names {
        match action(name) {
            Ok(line) => output::print_line(&line)?,
            Err(error) => {
                report::print_error(context, &error);
                code = 1;
            }
        }
    }
    Ok(code)
}
