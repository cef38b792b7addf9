//! `events`: show past events and those to come.

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use crate::output;
use crate::output::template::Template;
use dhow_engine::system::events::{EventQuery, events};
use dhow_model::event::{EngineEvent, EventKind};
use dhow_model::filter::ListFilter;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<SystemEventsArgs>(
    &["system events", "events"],
    "[OPTIONS]",
    "Show what happens to containers, images and volumes",
);

/// Arguments of `events`.
#[derive(Args)]
struct SystemEventsArgs {
    /// Only those that match: container, event, image, label, network, scope, type, volume
    #[arg(short, long, value_name = "FILTER")]
    filter: Vec<ListFilter>,
    /// Print with a Go template, or `json`
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Begin with what happened at this time, or so long ago (10m)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// End with what happened at this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

impl CommandArgs for SystemEventsArgs {
    fn run(self, _context: &CommandContext) -> CommandResult {
        let output_format = match self.format.as_deref() {
            None | Some("") => EventFormat::Line,
            // Fields have other names in JSON than in templates, and docker prints those of JSON for both.
            Some("json" | "{{json .}}") => EventFormat::Json,
            Some(template) => EventFormat::Template(Template::parse(template)?),
        };
        let non_empty = |time: &Option<String>| time.clone().filter(|time| !time.is_empty());
        let query = EventQuery::new(
            non_empty(&self.since).as_deref(),
            non_empty(&self.until).as_deref(),
            self.filter,
        )?;
        let store = Store::open(environment::data_root()?)?;
        events(&store, &query, |event| output::print_line(&output_format.show(event)?))?;
        Ok(0)
    }
}

enum EventFormat {
    Line,
    Json,
    Template(Template),
}

impl EventFormat {
    fn show(&self, event: &EngineEvent) -> anyhow::Result<String> {
        Ok(match self {
            Self::Line => event_line(event, TimeZone::system()),
            Self::Json => json_line(event).to_string(),
            Self::Template(template) => template.render(&template_data(event))?,
        })
    }
}

/// docker's line; times have nine digits after the decimal point.
fn event_line(event: &EngineEvent, zone: TimeZone) -> String {
    let mut text = String::new();
    if let Ok(time) = Timestamp::from_nanosecond(event.time.into()) {
        let offset = if zone.to_offset(time).is_zero() { "Z" } else { "%:z" };
        text = time.to_zoned(zone).strftime(&format!("%Y-%m-%dT%H:%M:%S.%9f{offset} ")).to_string();
    }
    text += &format!("{} {} {}", event.kind.as_str(), event.action, event.id);
    let attributes: Vec<String> =
        event.attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if !attributes.is_empty() {
        text += &format!(" ({})", attributes.join(", "));
    }
    text
}

/// The fields by the names that templates use.
fn template_data(event: &EngineEvent) -> Value {
    let (status, id, from) = legacy_fields(event);
    json!({
        "Status": status, "ID": id, "From": from, "Type": event.kind.as_str(), "Action": event.action,
        "Actor": {"ID": event.id, "Attributes": event.attributes}, "Scope": "local",
        "Time": seconds(event), "TimeNano": event.time,
    })
}

/// The fields by the names that JSON has.
fn json_line(event: &EngineEvent) -> Value {
    let mut value = json!({
        "Type": event.kind.as_str(), "Action": event.action,
        "Actor": {"ID": event.id, "Attributes": event.attributes}, "scope": "local",
        "time": seconds(event), "timeNano": event.time,
    });
    let (status, id, from) = legacy_fields(event);
    if let Value::Object(map) = &mut value {
        for (name, text) in [("status", status), ("id", id), ("from", from)] {
            // Left out when empty, as by `omitempty` in Go.
            if !text.is_empty() {
                map.insert(name.into(), text.into());
            }
        }
    }
    value
}

/// Fields of older clients: status, ID and image, for containers and images only.
fn legacy_fields(event: &EngineEvent) -> (&str, &str, &str) {
    let image = event.attributes.get("image").map_or("", String::as_str);
    match event.kind {
        EventKind::Container => (&event.action, &event.id, image),
        EventKind::Image => (&event.action, &event.id, ""),
        EventKind::Volume | EventKind::Network => ("", "", ""),
    }
}

fn seconds(event: &EngineEvent) -> i64 {
    event.time.div_euclid(1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> EngineEvent {
        let event =
            EngineEvent::new(EventKind::Container, "die", "0123").with("name", "web").with("image", "alpine");
        EngineEvent { time: 1_704_164_645_000_000_120, ..event }
    }

    #[test]
    fn lines_of_docker() {
        assert_eq!(
            event_line(&event(), TimeZone::UTC),
            "2024-01-02T03:04:05.000000120Z container die 0123 (image=alpine, name=web)"
        );
        let east = TimeZone::fixed(jiff::tz::offset(2));
        assert!(event_line(&event(), east).starts_with("2024-01-02T05:04:05.000000120+02:00 container"));
    }

    #[test]
    fn templates_and_json_have_dockers_fields() {
        let template = Template::parse("{{.Type}} {{.Action}} {{.Actor.Attributes.name}} {{.Time}}").unwrap();
        assert_eq!(EventFormat::Template(template).show(&event()).unwrap(), "container die web 1704164645");
        let shown: Value = serde_json::from_str(&EventFormat::Json.show(&event()).unwrap()).unwrap();
        assert_eq!(shown["status"], "die");
        assert_eq!(shown["from"], "alpine");
        assert_eq!(shown["Actor"]["Attributes"]["image"], "alpine");
        assert_eq!(shown["timeNano"], 1_704_164_645_000_000_120_i64);
    }
}
