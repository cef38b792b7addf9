//! Reads files that flags name: environment, labels, seccomp profiles.

use std::fs;

use anyhow::Context as _;

use dhow_model::flags::key_value::{KeyValue, parse_file};

/// The largest file that is read, in bytes; a larger one is a mistake.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Reads the file that `flag` names.
pub(crate) fn read_flag_file(flag: &str, path: &str) -> anyhow::Result<Vec<u8>> {
    use std::io::Read;
    let doing = || format!("cannot read {flag} `{path}`");
    let file = fs::File::open(path).with_context(doing)?;
    let mut content = Vec::new();
    // One byte more than allowed shows that the file is too large.
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut content).with_context(doing)?;
    if content.len() as u64 > MAX_FILE_BYTES {
        return Err(dhow_error::invalid("it is larger than 16 MiB")).with_context(doing);
    }
    Ok(content)
}

/// Reads the pairs of all `files` in order.
pub(crate) fn read_pair_files(flag: &str, files: &[String]) -> anyhow::Result<Vec<KeyValue>> {
    let mut pairs = Vec::new();
    for path in files {
        pairs.extend(parse_file(&read_flag_file(flag, path)?, path)?);
    }
    Ok(pairs)
}
