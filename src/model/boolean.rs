//! Boolean values of flags, environment variables and Dockerfiles.

/// The spellings that Go's `strconv.ParseBool` accepts.
pub fn parse(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Like [`parse`], in any case (`tRUE`).
pub(crate) fn parse_any_case(text: &str) -> Option<bool> {
    parse(&text.to_ascii_lowercase())
}
