//! Progress as JSON: a line for each event, in the form of BuildKit's `client.SolveStatus`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::trace::{BuildTrace, warning_line};
use dhow_build::progress::{BuildEvent, CheckWarning, StepId};
use dhow_model::digest::Digest;

pub(crate) struct RawJsonProgress {
    /// When the first build started; the times of events are relative to it.
    epoch: Timestamp,
    /// The steps that each step waits for.
    inputs: BTreeMap<StepId, Vec<StepId>>,
    /// Part of each digest, so that steps of different builds have different ones.
    seed: String,
}

impl RawJsonProgress {
    pub(crate) fn new(epoch: Timestamp) -> Self {
        Self { epoch, inputs: BTreeMap::new(), seed: epoch.to_string() }
    }

    /// The line of an event, which `trace` has recorded already; empty if there is none.
    pub(crate) fn event(&mut self, event: &BuildEvent, trace: &BuildTrace) -> Vec<u8> {
        let status = match event {
            BuildEvent::Step { id, inputs, .. } => {
                self.inputs.insert(*id, inputs.clone());
                json!({ "vertexes": [self.vertex_json(*id, trace)] })
            }
            BuildEvent::Started { id, .. } | BuildEvent::Ended { id, .. } => {
                json!({ "vertexes": [self.vertex_json(*id, trace)] })
            }
            // encoding/json of Go writes bytes in base64, here and in warnings.
            BuildEvent::Log { id, stream, data, at } => json!({ "logs": [{
                "vertex": self.digest(*id), "stream": stream, "data": STANDARD.encode(data),
                "timestamp": self.time(*at),
            }]}),
            BuildEvent::Status { id, name, .. } => {
                json!({ "statuses": [self.status_json(*id, name, trace)] })
            }
            // Belongs to the error, which is printed as text.
            BuildEvent::Excerpt(_) => return Vec::new(),
            BuildEvent::Warning(warning) => json!({ "warnings": [self.warning_json(warning)] }),
        };
        (status.to_string() + "\n").into_bytes()
    }

    fn time(&self, at: u64) -> String {
        let offset = SignedDuration::from_millis(i64::try_from(at).unwrap_or(i64::MAX));
        self.epoch.checked_add(offset).unwrap_or(self.epoch).to_string()
    }

    fn digest(&self, id: StepId) -> String {
        // Readers join the lines of a step by its digest, so it must be the same in all of them.
        Digest::of(format!("{} {}", self.seed, id.0).as_bytes()).to_string()
    }

    fn vertex_json(&self, id: StepId, trace: &BuildTrace) -> Value {
        let mut vertex = Map::new();
        let mut set = |name: &str, value: Value| drop(vertex.insert(name.into(), value));
        set("digest", self.digest(id).into());
        let inputs = self.inputs.get(&id).map(Vec::as_slice).unwrap_or_default();
        // Empty fields are left out, as by `omitempty` in Go.
        if !inputs.is_empty() {
            set("inputs", inputs.iter().map(|input| Value::from(self.digest(*input))).collect());
        }
        let Some(step) = trace.steps.get(&id) else { return Value::Object(vertex) };
        set("name", step.name.as_str().into());
        if let Some(at) = step.began {
            set("started", self.time(at).into());
        }
        if let Some(at) = step.ended {
            set("completed", self.time(at).into());
        }
        if step.cached {
            set("cached", true.into());
        }
        if let Some(error) = &step.error {
            set("error", error.as_str().into());
        }
        Value::Object(vertex)
    }

    fn status_json(&self, id: StepId, name: &str, trace: &BuildTrace) -> Value {
        let mut fields = Map::new();
        let mut set = |name: &str, value: Value| drop(fields.insert(name.into(), value));
        set("id", name.into());
        set("vertex", self.digest(id).into());
        let status =
            trace.steps.get(&id).and_then(|step| step.statuses.iter().find(|status| status.name == name));
        let Some(status) = status else { return Value::Object(fields) };
        if status.total > 0 {
            set("total", status.total.into());
        }
        set("current", status.current.into());
        set("timestamp", self.time(status.updated).into());
        set("started", self.time(status.began).into());
        if status.done {
            set("completed", self.time(status.updated).into());
        }
        Value::Object(fields)
    }

    fn warning_json(&self, warning: &CheckWarning) -> Value {
        let range = json!([{
            "start": { "line": warning.lines.0 }, "end": { "line": warning.lines.1 },
        }]);
        // BuildKit gives the warnings of its Dockerfile linter level 1.
        json!({
            "level": 1,
            "short": STANDARD.encode(warning_line(warning)),
            "detail": [STANDARD.encode(&warning.description)],
            "url": warning.url,
            "range": range,
        })
    }
}
