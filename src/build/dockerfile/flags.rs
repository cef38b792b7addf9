//! Parses the flags of an instruction.

use std::collections::BTreeMap;

use crate::suggest::did_you_mean;
use dhow_error::{Failure, invalid};

/// How often a flag may occur, and with what value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FlagArity {
    /// `--link` or `--link=true`
    Bool,
    /// `--from=value`, at most once.
    One,
    /// `--mount=value`, repeatable.
    Many,
}

/// The flags that were given; each is removed when it is taken.
#[derive(Debug, Default)]
pub(super) struct InstructionFlags(BTreeMap<&'static str, Vec<String>>);

impl InstructionFlags {
    /// Fails on flags that are not in `supported`.
    pub(super) fn read(given: &[String], supported: &[(&'static str, FlagArity)]) -> Result<Self, Failure> {
        let mut flags = Self::default();
        for flag in given {
            let (flag, value) = match flag.split_once('=') {
                Some((flag, value)) => (flag, Some(value)),
                None => (flag.as_str(), None),
            };
            let name = flag.strip_prefix("--").unwrap_or(flag);
            let Some((key, arity)) = supported.iter().find(|(key, _)| *key == name) else {
                let names = supported.iter().map(|(key, _)| *key);
                return Err(invalid(did_you_mean(format!("unknown flag: {flag}"), name, names)));
            };
            if *arity != FlagArity::Many && flags.0.contains_key(key) {
                return Err(invalid(format!("duplicate flag specified: {flag}")));
            }
            flags.0.entry(key).or_default().push(read_value(flag, value, *arity)?);
        }
        Ok(flags)
    }

    /// The value of a flag that may occur once.
    pub(super) fn take_one(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).and_then(|mut values| values.pop())
    }

    /// All values of a repeatable flag.
    pub(super) fn take_all(&mut self, name: &str) -> Vec<String> {
        self.0.remove(name).unwrap_or_default()
    }

    /// Whether a boolean flag is set.
    pub(super) fn take_true(&mut self, name: &str) -> bool {
        self.take_bool(name).unwrap_or(false)
    }

    /// The value of a boolean flag, if given.
    pub(super) fn take_bool(&mut self, name: &str) -> Option<bool> {
        self.take_one(name).map(|value| value == "true")
    }
}

fn read_value(flag: &str, value: Option<&str>, arity: FlagArity) -> Result<String, Failure> {
    match (arity, value) {
        (FlagArity::Bool, None) => Ok("true".into()),
        (FlagArity::Bool, Some(value)) if !value.is_empty() => match value.to_ascii_lowercase().as_str() {
            lower @ ("true" | "false") => Ok(lower.to_owned()),
            _ => Err(invalid(format!("expecting boolean value for flag {flag}, not: {value}"))),
        },
        (FlagArity::One | FlagArity::Many, Some(value)) => Ok(value.to_owned()),
        _ => Err(invalid(format!("missing a value on flag: {flag}"))),
    }
}
