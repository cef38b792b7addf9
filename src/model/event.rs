//! Events for `dhow events`, with docker's types, actions and attributes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::container::ContainerSpec;

/// The type of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    Container,
    Image,
    Volume,
    Network,
}

impl EventKind {
    /// docker's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Volume => "volume",
            Self::Network => "network",
        }
    }
}

/// Something that happened to an object. Stored as JSON lines with short keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineEvent {
    /// Nanoseconds since 1970; 0 until recorded.
    #[serde(rename = "t")]
    pub time: i64,
    #[serde(rename = "k")]
    pub kind: EventKind,
    /// docker's action, with its argument if it has one: `exec_start: sh -c true`.
    #[serde(rename = "a")]
    pub action: String,
    /// The ID of a container, ID or name of an image, name of a volume.
    pub id: String,
    /// Attributes of the event, labels included.
    #[serde(rename = "with", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

impl EngineEvent {
    pub fn new(kind: EventKind, action: impl Into<String>, id: impl Into<String>) -> Self {
        Self { time: 0, kind, action: action.into(), id: id.into(), attributes: BTreeMap::new() }
    }

    /// An event of a container, with its labels, image and name as docker adds them.
    pub fn of_container(spec: &ContainerSpec, action: impl Into<String>) -> Self {
        let mut event = Self::new(EventKind::Container, action, &spec.id).labelled(&spec.labels);
        if let Some(image) = &spec.image {
            event = event.with("image", &image.name);
        }
        event.with("name", &spec.name)
    }

    /// Adds labels; attributes of the same name take precedence.
    #[must_use]
    pub fn labelled(mut self, labels: &BTreeMap<String, String>) -> Self {
        for (name, value) in labels {
            self.attributes.entry(name.clone()).or_insert_with(|| value.clone());
        }
        self
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.attributes.insert(name.to_owned(), value.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_containers_labels_do_not_hide_its_name() {
        let labels = [("name".to_owned(), "false".to_owned()), ("a".to_owned(), "b".to_owned())].into();
        let spec = ContainerSpec { id: "1".into(), name: "web".into(), labels, ..ContainerSpec::default() };
        let event = EngineEvent::of_container(&spec, "die").with("exitCode", "3");
        let pairs: Vec<_> = event.attributes.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(pairs, ["a=b", "exitCode=3", "name=web"]);
    }
}
