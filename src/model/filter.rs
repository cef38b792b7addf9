//! `--filter` conditions.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::boolean;
use dhow_error::{Failure, invalid};

/// A `KEY=VALUE` condition; each command defines its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListFilter {
    /// In lower case.
    pub key: String,
    pub value: String,
}

impl FromStr for ListFilter {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let (key, value) = text.split_once('=').ok_or_else(|| {
            invalid(format!("invalid filter '{}'", text.escape_debug())).hint("name=value is expected")
        })?;
        Ok(Self { key: key.trim().to_lowercase(), value: value.trim().to_owned() })
    }
}

impl ListFilter {
    /// The error for a key that the command does not support; `supported` lists those it does.
    pub fn unknown(&self, supported: &str) -> Failure {
        invalid(format!("invalid filter '{}'", self.key.escape_debug()))
            .hint(format!("there are: {supported}"))
    }

    /// Parses the value as a boolean.
    pub fn boolean(&self) -> Result<bool, Failure> {
        boolean::parse_any_case(&self.value).ok_or_else(|| {
            invalid(format!(
                "invalid filter '{}={}': true or false is expected",
                self.key,
                self.value.escape_debug()
            ))
        })
    }
}

/// Whether any filter with this key holds; true if there is none. docker ORs filters of one key.
pub fn any_matches(filters: &[ListFilter], key: &str, holds: impl Fn(&ListFilter) -> bool) -> bool {
    let mut of_key = filters.iter().filter(|filter| filter.key == key).peekable();
    // No filter with this key lets everything pass.
    of_key.peek().is_none() || of_key.any(holds)
}

/// Whether all filters on labels hold.
pub fn labels_match(filters: &[ListFilter], labels: &BTreeMap<String, String>) -> bool {
    // Label filters are ANDed, unlike those of other keys.
    let mut of_labels = filters.iter().filter(|filter| filter.key == "label");
    of_labels.all(|filter| LabelFilter::new(&filter.value, true).matches(Some(labels)))
}

/// `label=KEY[=VALUE]` or `label!=KEY[=VALUE]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelFilter {
    pub key: String,
    /// `None` to test only that the label exists.
    pub value: Option<String>,
    /// False for `label!=`.
    pub must_have: bool,
}

impl LabelFilter {
    /// Parses `KEY[=VALUE]`.
    pub fn new(text: &str, must_have: bool) -> Self {
        match text.split_once('=') {
            Some((key, value)) => Self { key: key.into(), value: Some(value.into()), must_have },
            None => Self { key: text.into(), value: None, must_have },
        }
    }

    pub fn matches(&self, labels: Option<&BTreeMap<String, String>>) -> bool {
        let actual = labels.and_then(|labels| labels.get(&self.key));
        let has = match (&self.value, actual) {
            (Some(value), Some(actual)) => value == actual,
            (None, actual) => actual.is_some(),
            (Some(_), None) => false,
        };
        has == self.must_have
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values() {
        let filter: ListFilter = "Label!=a=b".parse().unwrap();
        assert_eq!((filter.key.as_str(), filter.value.as_str()), ("label!", "a=b"));
        assert!("dangling".parse::<ListFilter>().is_err());
        assert!("dangling=maybe".parse::<ListFilter>().unwrap().boolean().is_err());
        assert!("dangling=1".parse::<ListFilter>().unwrap().boolean().unwrap());
    }

    #[test]
    fn labels() {
        let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        for (text, wanted, holds) in [
            ("a", true, true),
            ("a=b", true, true),
            ("a=c", true, false),
            ("c", true, false),
            ("a", false, false),
        ] {
            assert_eq!(LabelFilter::new(text, wanted).matches(Some(&labels)), holds, "{text}");
        }
        assert!(!LabelFilter::new("a", true).matches(None));
    }
}
