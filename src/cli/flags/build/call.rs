//! `--call`: what to do with a Dockerfile instead of building it, and how to print the result.

use dhow_builder::request::CallFunc;
use dhow_error::{Failure, invalid};
use dhow_model::flags::csv;

/// How the result is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CallFormat {
    pub(crate) json: bool,
    /// Exit with 0 even if a check finds something.
    pub(crate) ignore_status: bool,
}

/// Parses `check,format=json`.
pub(crate) fn parse_call(text: &str) -> Result<(CallFunc, CallFormat), Failure> {
    let mut format = CallFormat::default();
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
        "" | "build" => CallFunc::Build,
        // `lint` is BuildKit's name for the request behind it.
        "check" | "lint" => CallFunc::Check,
        "outline" => CallFunc::Outline,
        "targets" => CallFunc::Targets,
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
        assert_eq!(parse_call("build").unwrap(), (CallFunc::Build, CallFormat::default()));
        let json = CallFormat { json: true, ignore_status: false };
        assert_eq!(parse_call("check,format=json").unwrap(), (CallFunc::Check, json));
        assert_eq!(parse_call("targets,format=text").unwrap(), (CallFunc::Targets, CallFormat::default()));
        for bad in ["dance", "check,outline", "check,format=xml"] {
            assert!(parse_call(bad).is_err(), "{bad}");
        }
    }
}
