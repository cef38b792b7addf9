//! Build arguments and annotations: `NAME=value`, or `NAME` from the environment.

use std::collections::BTreeMap;

use super::ClientEnv;
use dhow_error::{Failure, invalid};
use dhow_model::flags::key_value;

/// Parses `--build-arg`. A name alone takes its value from the environment, and is left out if unset there.
pub fn parse_build_args(texts: &[String], client: &ClientEnv) -> Result<BTreeMap<String, String>, Failure> {
    let mut args = BTreeMap::new();
    for text in texts {
        let pair = key_value::parse(text, "build argument")?;
        let value = pair
            .value
            .or_else(|| client.environment.raw(&pair.name).map(|value| value.to_string_lossy().into_owned()));
        if let Some(value) = value {
            args.insert(pair.name, value);
        }
    }
    Ok(args)
}

/// What an annotation can be attached to.
const ANNOTATION_TYPES: [&str; 4] = ["manifest", "manifest-descriptor", "index", "index-descriptor"];

/// Parses `--annotation`: `[TYPE[PLATFORM][,TYPE]:]KEY=VALUE`.
pub fn parse_annotations(texts: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let mut annotations = BTreeMap::new();
    for text in texts {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| invalid(format!("invalid annotation {text:?}, expected key=value")))?;
        let (kinds, name) = match key.split_once(':') {
            Some((kinds, name)) if kinds.split(',').all(is_annotation_type) => (kinds, name),
            Some((kinds, _)) => {
                return Err(invalid(format!("unknown annotation type {kinds:?} in {text:?}"))
                    .hint(format!("there are: {}", ANNOTATION_TYPES.join(", "))));
            }
            None => ("", key),
        };
        if kinds.is_empty() {
            annotations.insert(name.to_owned(), value.to_owned());
        }
        for kind in kinds.split(',').filter(|kind| !kind.is_empty()) {
            annotations.insert(format!("{kind}:{name}"), value.to_owned());
        }
    }
    Ok(annotations)
}

fn is_annotation_type(text: &str) -> bool {
    let kind = text.split('[').next().unwrap_or(text);
    ANNOTATION_TYPES.contains(&kind) && (kind == text || text.ends_with(']'))
}

/// The argument and variable whose value, in seconds, takes the place of the current time.
pub(crate) const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// `SOURCE_DATE_EPOCH` in seconds, from the arguments or else from the environment, in which case it becomes
/// an argument.
pub fn parse_epoch(args: &mut BTreeMap<String, String>, client: &ClientEnv) -> Result<Option<i64>, Failure> {
    if let (false, Some(value)) = (args.contains_key(EPOCH), client.environment.text(EPOCH)) {
        args.insert(EPOCH.into(), value.into());
    }
    args.get(EPOCH).map_or(Ok(None), |value| parse_epoch_value(value))
}

/// An empty value sets none.
pub(crate) fn parse_epoch_value(value: &str) -> Result<Option<i64>, Failure> {
    if value.is_empty() {
        return Ok(None);
    }
    let wrong = |_| invalid(format!("invalid SOURCE_DATE_EPOCH: {}", value.escape_debug()));
    value.parse().map(Some).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_model::environment::Environment;

    fn client() -> ClientEnv {
        let environment = Environment::from_iter([("A", "1"), ("B", ""), ("SOURCE_DATE_EPOCH", "12")]);
        ClientEnv { environment, dir: "/".into() }
    }

    fn list(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn arguments_without_a_value() {
        let args = parse_build_args(&list(&["A", "B", "C", "D=x=y", "E="]), &client()).unwrap();
        let all: Vec<_> = args.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(all, ["A=1", "B=", "D=x=y", "E="]);
        assert!(parse_build_args(&list(&["=x"]), &client()).is_err());
    }

    #[test]
    fn the_epoch_is_an_argument() {
        let mut args = BTreeMap::new();
        assert_eq!(parse_epoch(&mut args, &client()).unwrap(), Some(12));
        assert_eq!(args["SOURCE_DATE_EPOCH"], "12");
        args.insert("SOURCE_DATE_EPOCH".into(), "7".into());
        assert_eq!(parse_epoch(&mut args, &client()).unwrap(), Some(7));
        args.insert("SOURCE_DATE_EPOCH".into(), "context".into());
        assert!(parse_epoch(&mut args, &client()).is_err());
    }

    #[test]
    fn annotations_have_types() {
        let read = |text: &str| parse_annotations(&list(&[text]));
        assert_eq!(read("a.b=c").unwrap()["a.b"], "c");
        assert_eq!(read("index:a=b").unwrap()["index:a"], "b");
        assert_eq!(read("index,manifest[linux/amd64]:a=b=c").unwrap()["manifest[linux/amd64]:a"], "b=c");
        assert!(read("what:a=b").unwrap_err().to_string().contains("unknown annotation type"));
        assert!(read("a").unwrap_err().to_string().contains("expected key=value"));
    }
}
