//! Parses `RUN`, and commands in shell and exec form.

use super::flags::{FlagArity, InstructionFlags};
use super::node::{InstructionNode, NodeArguments};
use crate::ast::{CommandLine, HereDoc, RunInstruction};
use dhow_error::{Failure, invalid};
use dhow_model::flags::csv;

const FLAGS: [(&str, FlagArity); 4] = [
    ("mount", FlagArity::Many),
    ("network", FlagArity::One),
    ("security", FlagArity::One),
    ("device", FlagArity::Many),
];

pub(super) fn parse_run(node: InstructionNode) -> Result<RunInstruction, Failure> {
    let mut flags = InstructionFlags::read(&node.flags, &FLAGS)?;
    let mounts: Result<Vec<_>, Failure> =
        flags.take_all("mount").iter().map(|text| mount_fields(text)).collect();
    let network = flags.take_one("network");
    if let Some(mode) = &network
        && !matches!(mode.as_str(), "default" | "none" | "host")
    {
        return Err(invalid(format!("invalid network mode \"{}\"", mode.escape_debug())));
    }
    let security = flags.take_one("security");
    if let Some(mode) = &security
        && !matches!(mode.as_str(), "sandbox" | "insecure")
    {
        return Err(invalid(format!("security \"{}\" is not valid", mode.escape_debug())));
    }
    Ok(RunInstruction {
        command: command_line(node.arguments, node.here_docs),
        mounts: mounts?,
        network,
        security,
        devices: flags.take_all("device"),
    })
}

/// The fields of a `--mount`. Values are checked after expansion; only what can be refused without it is
/// refused here.
fn mount_fields(text: &str) -> Result<Vec<(String, Option<String>)>, Failure> {
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
pub(super) fn command_line(arguments: NodeArguments, here_docs: Vec<HereDoc>) -> CommandLine {
    match arguments.words() {
        (words, true) => CommandLine::Exec(words),
        (words, false) => CommandLine::Shell { line: words.join(" "), here_docs },
    }
}
