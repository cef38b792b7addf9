//! For commands that act on several objects: a failure of one does not stop the others.

use super::entry::{Context, Outcome};
use super::{output, report};

/// Runs `action` on each of `names` and prints what it returns. Errors go to standard error and make the exit
/// code 1.
pub(crate) fn each<'a>(
    context: &Context,
    names: &'a [String],
    mut action: impl FnMut(&'a str) -> anyhow::Result<String>,
) -> Outcome {
    let mut code = 0;
    for name in names {
        match action(name) {
            Ok(line) => output::print_line(&line)?,
            Err(error) => {
                report::complain(context, &error);
                code = 1;
            }
        }
    }
    Ok(code)
}
