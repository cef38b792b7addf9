//! Something that happened to an object, as `events` tells of it: docker's types, actions and attributes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::container::ContainerSpec;

/// What sort of object it happened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// A container.
    Container,
    /// An image.
    Image,
    /// A volume.
    Volume,
    /// A network.
    Network,
}

impl EventKind {
    /// docker's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Volume => "volume",
            Self::Network => "network",
        }
    }
}

/// What happened, to what, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Nanoseconds since 1970; 0 until it is recorded.
    #[serde(rename = "t")]
    pub time: i64,
    /// The sort of object.
    #[serde(rename = "k")]
    pub kind: EventKind,
    /// docker's word for what happened, `start`, with its argument where it has one: `exec_start: sh -c true`.
    #[serde(rename = "a")]
    pub action: String,
    /// The object: ID of a container, ID or name of an image, name of a volume.
    pub id: String,
    /// What else is known of it; labels too.
    #[serde(rename = "with", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

impl Event {
    /// Something that happened to the object `id`.
    pub fn new(kind: EventKind, action: impl Into<String>, id: impl Into<String>) -> Self {
        Self { time: 0, kind, action: action.into(), id: id.into(), attributes: BTreeMap::new() }
    }

    /// Something that happened to a container: with its labels, image and name, as docker has it.
    pub fn of_container(spec: &ContainerSpec, action: impl Into<String>) -> Self {
        let mut event = Self::new(EventKind::Container, action, &spec.id).labelled(&spec.labels);
        if let Some(image) = &spec.image {
            event = event.with("image", &image.name);
        }
        event.with("name", &spec.name)
    }

    /// The same with the object's labels, which give way to attributes of the same name.
    #[must_use]
    pub fn labelled(mut self, labels: &BTreeMap<String, String>) -> Self {
        for (name, value) in labels {
            self.attributes.entry(name.clone()).or_insert_with(|| value.clone());
        }
        self
    }

    /// The same with one more attribute.
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
        let event = Event::of_container(&spec, "die").with("exitCode", "3");
        let pairs: Vec<_> = event.attributes.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(pairs, ["a=b", "exitCode=3", "name=web"]);
    }
}
