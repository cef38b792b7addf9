//! Parses `RUN`, and commands in shell and exec form.

use super::ast::{Command, HereDoc, Run};
use super::flags::{Flags, Takes};
use super::node::{Arguments, Node};
use crate::error::{Failure, invalid};
use crate::model::csv;

const FLAGS: [(&str, Takes); 4] =
    [("mount", Takes::Many), ("network", Takes::One), ("security", Takes::One), ("device", Takes::Many)];

pub(super) fn run(node: Node) -> Result<Run, Failure> {
    let mut flags = Flags::read(&node.flags, &FLAGS)?;
    let mounts: Result<Vec<_>, Failure> = flags.many("mount").iter().map(|text| fields(text)).collect();
    let network = flags.one("network");
    if let Some(mode) = &network
        && !matches!(mode.as_str(), "default" | "none" | "host")
    {
        return Err(invalid(format!("invalid network mode \"{}\"", mode.escape_debug())));
    }
    let security = flags.one("security");
    if let Some(mode) = &security
        && !matches!(mode.as_str(), "sandbox" | "insecure")
    {
        return Err(invalid(format!("security \"{}\" is not valid", mode.escape_debug())));
    }
    Ok(Run {
        command: command(node.arguments, node.here_docs),
        mounts: mounts?,
        network,
        security,
        devices: flags.many("device"),
    })
}

/// The fields of a `--mount`. Values are checked after expansion; only what can be refused without it is
/// refused here.
fn fields(text: &str) -> Result<Vec<(String, Option<String>)>, Failure> {
    let fields = csv::fields(text).map_err(|why| invalid(format!("failed to parse csv mounts: {why}")))?;
    let fields = fields
        .iter()
        .map(|field| match field.split_once('=') {
            Some((key, value)) => (key.to_ascii_lowercase(), Some(value.to_owned())),
            None => (field.to_ascii_lowercase(), None),
        })
        .collect::<Vec<_>>();
    // `from` decides which stages are built, and that is decided before variables are expanded.
    let variable = |value: &String| value.find('$').is_some_and(|at| at + 1 < value.len());
    if fields.iter().any(|(key, value)| key == "from" && value.as_ref().is_some_and(variable)) {
        return Err(invalid("'from' doesn't support variable expansion, define alias stage instead"));
    }
    Ok(fields)
}

/// Shell form, or exec form for a JSON array.
pub(super) fn command(arguments: Arguments, here_docs: Vec<HereDoc>) -> Command {
    match arguments.words() {
        (words, true) => Command::Exec(words),
        (words, false) => Command::Shell { line: words.join(" "), here_docs },
    }
}
