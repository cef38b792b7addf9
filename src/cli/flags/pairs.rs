//! `NAME=VALUE` pairs of flags and of the files that flags name.

use std::collections::BTreeMap;

use super::files::read_flag_file;
use dhow_error::Failure;
use dhow_model::flags::key_value::{self, KeyValue, parse_file};

/// Parses pairs, called `kind` in errors. A missing value is empty, and of several pairs with one name the
/// last wins.
pub(crate) fn parse_pairs(texts: &[String], kind: &str) -> Result<BTreeMap<String, String>, Failure> {
    let pair = |text: &String| {
        let pair = key_value::parse(text, kind)?;
        Ok((pair.name, pair.value.unwrap_or_default()))
    };
    texts.iter().map(pair).collect()
}

/// Labels of an object. A missing value is empty, and of several labels with one name the last wins.
pub(crate) fn label_map(labels: Vec<KeyValue>) -> BTreeMap<String, String> {
    labels.into_iter().map(|label| (label.name, label.value.unwrap_or_default())).collect()
}

/// The pair with the value that the environment has for its name, unless it has one of its own. A value that is not
/// UTF-8 counts as unset: what is made of it is stored as JSON.
pub(super) fn resolve_value(pair: KeyValue) -> KeyValue {
    KeyValue { value: pair.value.or_else(|| std::env::var(&pair.name).ok()), ..pair }
}

/// Reads the pairs of all `files` in order.
pub(crate) fn read_pair_files(flag: &str, files: &[String]) -> anyhow::Result<Vec<KeyValue>> {
    let mut pairs = Vec::new();
    for path in files {
        pairs.extend(parse_file(&read_flag_file(flag, path)?, path)?);
    }
    Ok(pairs)
}
