//! Reads files that flags name.

use std::fs;
use std::io::{self, Read};

use anyhow::Context as _;

use dhow_error::invalid;

/// The largest file that is read, in bytes; a larger one is a mistake.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Reads the file that `flag` names.
pub(crate) fn read_flag_file(flag: &str, path: &str) -> anyhow::Result<Vec<u8>> {
    let context = || format!("cannot read {flag} `{path}`");
    let file = fs::File::open(path).with_context(context)?;
    let content = read_limited(file).with_context(context)?;
    content.ok_or_else(|| invalid("it is larger than 16 MiB")).with_context(context)
}

/// Reads everything that `reader` has; None if that is more than 16 MiB.
pub(crate) fn read_limited(reader: impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut content = Vec::new();
    // One byte more than allowed shows that there is too much.
    reader.take(MAX_FILE_BYTES + 1).read_to_end(&mut content)?;
    Ok(Some(content).filter(|content| content.len() as u64 <= MAX_FILE_BYTES))
}
