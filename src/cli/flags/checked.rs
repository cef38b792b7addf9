//! Flags that are only checked, in a table instead of a struct field for each.

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

/// A flag that is known only to be checked.
pub(crate) struct CheckedFlag {
    pub(crate) long: &'static str,
    /// The kind of its value.
    pub(crate) shape: FlagShape,
    /// Values that change nothing, and are accepted.
    pub(crate) harmless: &'static [&'static str],
}

/// The kind of a flag's value.
#[derive(Clone, Copy)]
pub(crate) enum FlagShape {
    /// True or false.
    Switch,
    /// Any text.
    Text,
}

impl CheckedFlag {
    /// A flag of which every value is refused.
    pub(crate) const fn new(long: &'static str, shape: FlagShape) -> Self {
        Self { long, shape, harmless: &[] }
    }

    /// The same flag with values that are accepted.
    pub(crate) const fn harmless(self, harmless: &'static [&'static str]) -> Self {
        Self { harmless, ..self }
    }

    fn argument(&self) -> Arg {
        let argument = Arg::new(self.long).long(self.long);
        match self.shape {
            FlagShape::Switch => argument.action(ArgAction::SetTrue),
            shape => argument.action(ArgAction::Append).value_name("VALUE").value_parser(value_parser(shape)),
        }
    }

    /// Whether the flag was given with a value that would change something.
    fn is_given(&self, matches: &ArgMatches) -> bool {
        // Defaults are values, too, but nobody asked for them.
        if matches.value_source(self.long) != Some(ValueSource::CommandLine) {
            return false;
        }
        if matches!(self.shape, FlagShape::Switch) {
            return matches.get_one::<bool>(self.long).copied().unwrap_or(false);
        }
        let mut values = matches.get_many::<String>(self.long).unwrap_or_default();
        values.any(|value| !self.harmless.contains(&value.as_str()))
    }
}

/// Adds the flags of `table` to `command`, all with the text `help`.
pub(crate) fn add_flags(command: Command, table: &[CheckedFlag], help: &'static str, hide: bool) -> Command {
    command.args(table.iter().map(|flag| flag.argument().help(help).hide(hide)))
}

/// The flags of `table` that were given.
pub(crate) fn given_flags(matches: &ArgMatches, table: &[CheckedFlag]) -> Vec<&'static str> {
    table.iter().filter(|flag| flag.is_given(matches)).map(|flag| flag.long).collect()
}

fn value_parser(shape: FlagShape) -> fn(&str) -> Result<String, String> {
    match shape {
        FlagShape::Switch | FlagShape::Text => |text| Ok(text.to_owned()),
    }
}
