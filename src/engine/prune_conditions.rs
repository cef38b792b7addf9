//! Conditions that the `prune` commands share.

use std::collections::BTreeMap;

use jiff::Timestamp;

use dhow_error::Failure;
use dhow_model::filter::{LabelFilter, ListFilter};
use dhow_model::timestamp;

/// All must hold.
#[derive(Clone, Debug, Default)]
pub struct PruneConditions {
    /// Only what was created before this time.
    pub until: Option<Timestamp>,
    pub labels: Vec<LabelFilter>,
}

impl PruneConditions {
    /// Parses filters; any other key is an error.
    pub fn parse(filters: &[ListFilter]) -> Result<Self, Failure> {
        let mut conditions = Self::default();
        for filter in filters {
            if !conditions.parse_filter(filter)? {
                return Err(filter.unknown("until, label, label!"));
            }
        }
        Ok(conditions)
    }

    /// Parses one filter. Returns whether it is one of these conditions.
    pub fn parse_filter(&mut self, filter: &ListFilter) -> Result<bool, Failure> {
        match filter.key.as_str() {
            "until" => self.until = Some(timestamp::parse(&filter.value, Timestamp::now())?),
            "label" => self.labels.push(LabelFilter::new(&filter.value, true)),
            "label!" => self.labels.push(LabelFilter::new(&filter.value, false)),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Whether an object created at `created` with `labels` matches. One without a creation time counts as
    /// old.
    pub fn matches(&self, created: Option<&str>, labels: Option<&BTreeMap<String, String>>) -> bool {
        let created = created.and_then(|text| text.parse::<Timestamp>().ok());
        let old = match (self.until, created) {
            (Some(until), Some(created)) => created < until,
            _ => true,
        };
        old && self.labels.iter().all(|label| label.matches(labels))
    }
}
