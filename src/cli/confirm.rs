//! Asks before something is lost.

use std::io::BufRead as _;

use super::output;

/// Shows `warning` and reads a line from standard input; only `y` agrees.
pub(crate) fn confirm(warning: &str) -> anyhow::Result<bool> {
    output::print(&format!("WARNING! {warning}\nAre you sure you want to continue? [y/N] "))?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}
