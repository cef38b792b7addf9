//! docker's filters for containers.

use anyhow::Result;

use crate::container_summary::{ContainerSummary, mount_name, network_name};
use crate::filter_pattern::FilterPattern;
use dhow_error::{Failure, FailureKind, invalid, kind_of};
use dhow_model::container::{ContainerSpec, NetworkMode};
use dhow_model::digest::Digest;
use dhow_model::filter::ListFilter;
use dhow_model::port_range;
use dhow_store::Store;

/// Parsed filters, with the objects they refer to looked up.
pub(crate) struct ContainerFilters {
    pairs: Vec<ListFilter>,
    /// Creation times of the containers named by `before` (`false`) and `since` (`true`).
    times: Vec<(bool, String)>,
    /// IDs of the images named by `ancestor`, and of images built on them.
    ancestors: Option<Vec<Digest>>,
    /// For `id` and `name`.
    patterns: Vec<(&'static str, FilterPattern)>,
    /// For `expose`.
    exposed: Vec<String>,
    /// For `publish`, with the host's ports.
    published: Vec<String>,
    /// For `is-task`.
    tasks: Vec<bool>,
}

const KEYS: [&str; 15] = [
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
    "isolation",
];
const STATES: [&str; 7] = ["created", "running", "paused", "restarting", "removing", "exited", "dead"];
const HEALTH: [&str; 4] = ["starting", "healthy", "unhealthy", "none"];

impl ContainerFilters {
    pub(super) fn new(store: &Store, pairs: &[ListFilter]) -> Result<Self> {
        let mut filters = Self {
            pairs: pairs.to_vec(),
            times: Vec::new(),
            ancestors: None,
            patterns: Vec::new(),
            exposed: Vec::new(),
            published: Vec::new(),
            tasks: Vec::new(),
        };
        for filter in pairs {
            filters.prepare(store, filter)?;
        }
        Ok(filters)
    }

    fn prepare(&mut self, store: &Store, filter: &ListFilter) -> Result<()> {
        let ListFilter { key, value } = filter;
        match key.as_str() {
            "before" | "since" => {
                let created = store.find_container(value)?.spec().created.clone();
                self.times.push((key == "since", created));
            }
            "ancestor" => self.add_ancestor(store, value)?,
            "id" => self.patterns.push(("id", FilterPattern::new(value))),
            "name" => self.patterns.push(("name", FilterPattern::new(value))),
            "status" => one_of(filter, &STATES)?,
            "health" => one_of(filter, &HEALTH)?,
            "is-task" => self.tasks.push(filter.boolean()?),
            "expose" => self.exposed.extend(port_range::parse(value).map_err(|_| invalid_filter(filter))?),
            "publish" => self.published.extend(port_range::parse(value).map_err(|_| invalid_filter(filter))?),
            "exited" => drop(value.parse::<i32>().map_err(|_| invalid_filter(filter))?),
            key if !KEYS.contains(&key) => return Err(filter.unknown(&KEYS.join(", ")).into()),
            _ => {}
        }
        Ok(())
    }

    fn add_ancestor(&mut self, store: &Store, text: &str) -> Result<()> {
        let ancestors = self.ancestors.get_or_insert_default();
        let image = match store.find_image(text) {
            // docker lists nothing then, and does not fail.
            Err(error) if kind_of(&error) == FailureKind::NotFound => return Ok(()),
            other => other?,
        };
        let layers = image.config.rootfs.diff_ids;
        ancestors.push(image.id);
        // Every image would be built on an image without layers.
        if !layers.is_empty() {
            let built_upon = store.images()?.into_iter().filter(|image| {
                let image_layers = &image.config.rootfs.diff_ids;
                image_layers.len() > layers.len() && image_layers.starts_with(&layers)
            });
            ancestors.extend(built_upon.map(|image| image.id));
        }
        Ok(())
    }

    /// Whether a filter selects by state, which includes containers that do not run.
    pub(crate) fn ask_for_state(&self) -> bool {
        self.pairs.iter().any(|filter| filter.key == "status" || filter.key == "exited")
    }

    /// The IDs of the containers that the filters by name and ID leave, and possibly of others; `None` without such
    /// filters. The records of the containers are not read.
    pub(super) fn candidates(&self, store: &Store) -> Result<Option<Vec<String>>> {
        let has = |key: &str| self.patterns.iter().any(|(of, _)| *of == key);
        let mut ids = match (has("name"), has("id")) {
            (false, false) => return Ok(None),
            (true, _) => store.container_ids_named(|name| self.matches_name(name))?,
            (false, true) => store.container_ids()?,
        };
        if has("id") {
            ids.retain(|id| self.matches("id", &[id]));
        }
        Ok(Some(ids))
    }

    pub(super) fn accept(&self, container: &ContainerSummary) -> bool {
        let created = &container.spec().created;
        let in_time = |(since, time): &(bool, String)| if *since { created > time } else { created < time };
        let image = container.spec().image.as_ref().map(|image| &image.id);
        let of_ancestor = |ids: &Vec<Digest>| ids.iter().any(|id| Some(id) == image);
        self.times.iter().all(in_time)
            && self.ancestors.as_ref().is_none_or(of_ancestor)
            && KEYS.iter().all(|key| self.accept_key(key, container))
    }

    fn accept_key(&self, key: &str, container: &ContainerSummary) -> bool {
        let mut values = self
            .pairs
            .iter()
            .filter(|filter| filter.key == key)
            .map(|filter| filter.value.as_str())
            .peekable();
        if values.peek().is_none() {
            return true;
        }
        let spec = container.spec();
        match key {
            // All labels must match; values of other keys are alternatives.
            "label" => values.all(|value| has_label(spec, value)),
            "id" => self.matches("id", &[&spec.id]),
            "name" => self.matches_name(&spec.name),
            "status" => values.any(|value| container.status() == value),
            "exited" => values.any(|value| is_exit(container, value)),
            "health" => values.any(|value| container.health() == value),
            "expose" => self.exposed.iter().any(|port| spec.exposed_ports.contains(port)),
            "network" => values.any(|value| is_on_network(spec, value)),
            "volume" => values.any(|value| uses_volume(spec, value)),
            // There are no Swarm tasks.
            "is-task" => self.tasks.contains(&false),
            "publish" => self.publishes(container),
            // A feature of Windows: everything has the default here.
            "isolation" => values.any(|value| value.is_empty() || value == "default"),
            _ => true,
        }
    }

    fn publishes(&self, container: &ContainerSummary) -> bool {
        let ports =
            || container.state.published.iter().map(|port| format!("{}/{}", port.host, port.protocol));
        container.is_up() && ports().any(|port| self.published.contains(&port))
    }

    /// docker matches the name with and without its leading slash.
    fn matches_name(&self, name: &str) -> bool {
        self.matches("name", &[name, &format!("/{name}")])
    }

    fn matches(&self, key: &str, texts: &[&str]) -> bool {
        let mut patterns = self.patterns.iter().filter(|(of, _)| *of == key);
        patterns.any(|(_, pattern)| texts.iter().any(|text| pattern.matches(text)))
    }
}

fn invalid_filter(filter: &ListFilter) -> Failure {
    invalid(format!("invalid filter '{}={}'", filter.key, filter.value.escape_debug()))
}

fn one_of(filter: &ListFilter, words: &[&str]) -> Result<(), Failure> {
    if words.contains(&filter.value.as_str()) {
        Ok(())
    } else {
        Err(invalid_filter(filter).hint(words.join(", ")))
    }
}

fn is_exit(container: &ContainerSummary, code: &str) -> bool {
    container.status() == "exited" && code.parse() == Ok(container.exit_code())
}

fn has_label(spec: &ContainerSpec, label: &str) -> bool {
    match label.split_once('=') {
        Some((name, value)) => spec.labels.get(name).is_some_and(|actual| actual == value),
        None => spec.labels.contains_key(label),
    }
}

/// By the name or ID of any of its networks.
fn is_on_network(spec: &ContainerSpec, network: &str) -> bool {
    match &spec.namespaces.network {
        Some(NetworkMode::Networks) => spec
            .networks
            .iter()
            .any(|attachment| attachment.name == network || is_id_prefix(&attachment.network, network)),
        _ => network_name(spec) == network,
    }
}

/// docker shortens IDs to twelve digits.
fn is_id_prefix(id: &str, prefix: &str) -> bool {
    prefix.len() >= 12 && id.starts_with(prefix)
}

fn uses_volume(spec: &ContainerSpec, volume: &str) -> bool {
    spec.mounts.iter().any(|mount| mount.target == volume || mount_name(&mount.source) == volume)
}
