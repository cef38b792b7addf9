//! `--call`: what to do with a Dockerfile instead of building it, and how to print the result.

use crate::engine::build::request::Call;
use crate::error::{Failure, invalid};
use crate::model::csv;

/// How the result is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) json: bool,
    /// Exit with 0 even if a check finds something.
    pub(crate) ignore_status: bool,
}

/// Parses `check,format=json`.
pub(crate) fn call(text: &str) -> Result<(Call, Format), Failure> {
    let mut format = Format::default();
    let mut name = String::new();
    for field in csv::fields(text)? {
        match field.split_once('=') {
            None if name.is_empty() => name = field,
            Some(("format", "json")) => format.json = true,
            Some(("format", "text" | "")) => format.json = false,
            Some(("ignorestatus", value)) => format.ignore_status = value == "true" || value == "1",
            _ => return Err(invalid(format!("invalid call value {:?}: unexpected {field:?}", text))),
        }
    }
    let call = match name.as_str() {
        "" | "build" => Call::Build,
        "check" | "lint" => Call::Check,
        "outline" => Call::Outline,
        "targets" => Call::Targets,
        _ => {
            return Err(
                invalid(format!("unknown call {name:?}")).hint("there are: build, check, outline, targets")
            );
        }
    };
    Ok((call, format))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls() {
        assert_eq!(call("build").unwrap(), (Call::Build, Format::default()));
        let json = Format { json: true, ignore_status: false };
        assert_eq!(call("check,format=json").unwrap(), (Call::Check, json));
        assert_eq!(call("targets,format=text").unwrap(), (Call::Targets, Format::default()));
        for bad in ["dance", "check,outline", "check,format=xml"] {
            assert!(call(bad).is_err(), "{bad}");
        }
    }
}
