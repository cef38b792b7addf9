//! Commands that do the same to several objects: each by itself, a failure of one keeps no other from its turn.

use super::entry::{Context, Outcome};
use super::{output, report};

/// Does `action` to each of `names` and prints what it returns; complaints go to standard error, and make the exit
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
