//! Reads files that flags name: environment, labels, seccomp profiles.

use std::fs;

use anyhow::Context as _;

use crate::model::key_value::{Pair, parse_file};

/// The largest file that is read, in bytes; a larger one is a mistake.
const LIMIT: u64 = 16 << 20;

/// Reads the file that `flag` names.
pub(crate) fn read(flag: &str, path: &str) -> anyhow::Result<Vec<u8>> {
    use std::io::Read;
    let doing = || format!("cannot read {flag} `{path}`");
    let file = fs::File::open(path).with_context(doing)?;
    let mut content = Vec::new();
    // One byte more than allowed shows that the file is too large.
    file.take(LIMIT + 1).read_to_end(&mut content).with_context(doing)?;
    if content.len() as u64 > LIMIT {
        return Err(crate::error::invalid("it is larger than 16 MiB")).with_context(doing);
    }
    Ok(content)
}

/// Reads the pairs of all `files` in order.
pub(crate) fn pairs(flag: &str, files: &[String]) -> anyhow::Result<Vec<Pair>> {
    let mut pairs = Vec::new();
    for path in files {
        pairs.extend(parse_file(&read(flag, path)?, path)?);
    }
    Ok(pairs)
}
