//! Flags that are only checked: a table in place of a struct field each.

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

/// A flag of a table.
pub(crate) struct Known {
    /// Its long name.
    pub(crate) long: &'static str,
    /// What its value looks like.
    pub(crate) shape: Shape,
    /// Values that ask for what is the case anyway.
    pub(crate) harmless: &'static [&'static str],
}

/// What a value looks like.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    /// True or false.
    Switch,
    /// Any text.
    Text,
}

impl Known {
    /// A flag without harmless values.
    pub(crate) const fn new(long: &'static str, shape: Shape) -> Self {
        Self { long, shape, harmless: &[] }
    }

    /// The same with values that change nothing.
    pub(crate) const fn harmless(self, harmless: &'static [&'static str]) -> Self {
        Self { harmless, ..self }
    }

    fn argument(&self) -> Arg {
        let argument = Arg::new(self.long).long(self.long);
        match self.shape {
            Shape::Switch => argument.action(ArgAction::SetTrue),
            shape => argument.action(ArgAction::Append).value_name("VALUE").value_parser(checker(shape)),
        }
    }

    /// Whether the flag was given with a value that asks for something.
    fn is_asked(&self, matches: &ArgMatches) -> bool {
        if matches.value_source(self.long) != Some(ValueSource::CommandLine) {
            return false;
        }
        if matches!(self.shape, Shape::Switch) {
            return matches.get_one::<bool>(self.long).copied().unwrap_or(false);
        }
        let mut values = matches.get_many::<String>(self.long).unwrap_or_default();
        values.any(|value| !self.harmless.contains(&value.as_str()))
    }
}

/// Adds the flags of `table`; `help` says what they all have in common.
pub(crate) fn augment(command: Command, table: &[Known], help: &'static str, hide: bool) -> Command {
    command.args(table.iter().map(|known| known.argument().help(help).hide(hide)))
}

/// The flags of `table` that were given.
pub(crate) fn asked(matches: &ArgMatches, table: &[Known]) -> Vec<&'static str> {
    table.iter().filter(|known| known.is_asked(matches)).map(|known| known.long).collect()
}

fn checker(shape: Shape) -> fn(&str) -> Result<String, String> {
    match shape {
        Shape::Switch | Shape::Text => |text| Ok(text.to_owned()),
    }
}
