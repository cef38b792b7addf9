//! Mistakes in the arguments, reported in one line instead of clap's paragraphs.

use std::error::Error as _;
use std::fmt;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use dhow_error::Failure;

/// A command line that cannot be parsed.
#[derive(Debug)]
pub(crate) struct UsageError {
    /// What is wrong, without a final full stop.
    pub(crate) message: String,
    /// A suggestion.
    pub(crate) hint: Option<String>,
    /// Whether it is about a flag (exit code 125) rather than an argument (1).
    pub(crate) about_flag: bool,
}

impl UsageError {
    /// Wrong arguments: too many, too few, or invalid ones.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, about_flag: false }
    }

    /// A wrong flag, or a wrong value of one.
    pub(crate) fn flag(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, about_flag: true }
    }

    /// Adds a suggestion.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for UsageError {}

/// Translates clap's error.
pub(crate) fn from_clap(error: &clap::Error) -> UsageError {
    let argument = context(error, ContextKind::InvalidArg).unwrap_or_default();
    let value = context(error, ContextKind::InvalidValue).unwrap_or_default();
    match error.kind() {
        ErrorKind::UnknownArgument => unknown(error, &argument),
        // clap reports a missing value as an empty one.
        ErrorKind::InvalidValue if value.is_empty() => {
            UsageError::flag(format!("flag needs an argument: {}", flag_name(&argument)))
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => wrong_value(error, &argument, &value),
        ErrorKind::MissingRequiredArgument => missing(error),
        ErrorKind::TooManyValues => UsageError::new(format!("unexpected argument {value:?}")),
        ErrorKind::InvalidUtf8 => UsageError::new("an argument is not valid UTF-8"),
        // The other kinds are rare, and clap's own text will do for them.
        _ => UsageError::flag(error.to_string().trim().trim_start_matches("error: ").to_owned()),
    }
}

fn unknown(error: &clap::Error, argument: &str) -> UsageError {
    let hint = context(error, ContextKind::SuggestedArg).map(|flag| format!("did you mean {flag}?"));
    if argument.starts_with("--") {
        return UsageError { hint, ..UsageError::flag(format!("unknown flag: {argument}")) };
    }
    match argument.strip_prefix('-') {
        Some(letter) if !letter.is_empty() => {
            UsageError::flag(format!("unknown shorthand flag: {letter:?} in {argument}"))
        }
        // clap reports a surplus word as an unknown argument, too.
        _ => UsageError::new(format!("unexpected argument {argument:?}")),
    }
}

fn wrong_value(error: &clap::Error, argument: &str, value: &str) -> UsageError {
    let cause = error.source();
    let reason = match (cause, context(error, ContextKind::ValidValue)) {
        (_, Some(valid)) => format!("expected one of {valid}"),
        (Some(cause), None) => cause.to_string(),
        (None, None) => "it cannot be read".into(),
    };
    let failure = cause.and_then(|cause| cause.downcast_ref::<Failure>());
    let hint = failure.and_then(Failure::hint_text).map(str::to_owned);
    let (about_flag, name) = (argument.starts_with('-'), flag_name(argument));
    let message = format!("invalid argument {value:?} for {name}: {reason}");
    UsageError { message, hint, about_flag }
}

fn missing(error: &clap::Error) -> UsageError {
    let names = context(error, ContextKind::InvalidArg).unwrap_or_default();
    UsageError::new(format!("missing argument: {}", names.replace(['<', '>'], "").replace("...", "")))
}

/// `--memory <BYTES>` and `-m, --memory <BYTES>` without the value's name.
fn flag_name(argument: &str) -> &str {
    argument.split([' ', '=', '[']).next().unwrap_or(argument)
}

fn context(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => Some(texts.join(", ")),
        _ => None,
    }
    .filter(|text| !text.is_empty())
}
