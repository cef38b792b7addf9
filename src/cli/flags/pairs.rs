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

/// Reads the pairs of all `files` in order.
pub(crate) fn read_pair_files(flag: &str, files: &[String]) -> anyhow::Result<Vec<KeyValue>> {
    let mut pairs = Vec::new();
    for path in files {
        pairs.extend(parse_file(&read_flag_file(flag, path)?, path)?);
    }
    Ok(pairs)
}
