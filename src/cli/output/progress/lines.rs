//! Progress as plain lines where there is no terminal: each state of a layer once, as docker prints them.

use std::collections::HashMap;
use std::io::{IsTerminal as _, Write as _};
use std::mem::discriminant;
use std::sync::{Mutex, PoisonError};

use dhow_model::progress::{LayerEvent, LayerProgress};

use crate::output;

/// Where progress goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProgressStream {
    /// Standard output, for commands that print nothing else.
    Stdout,
    /// Standard error, where standard output belongs to a container or a result.
    Stderr,
}

impl ProgressStream {
    pub(crate) fn is_terminal(self) -> bool {
        match self {
            Self::Stdout => output::stdout_is_terminal(),
            Self::Stderr => std::io::stderr().is_terminal(),
        }
    }
}

/// Prints a line for each new state of a layer.
pub(crate) struct ProgressLines {
    stream: ProgressStream,
    last_events: Mutex<HashMap<String, LayerEvent>>,
}

impl ProgressLines {
    pub(crate) fn new(stream: ProgressStream) -> Self {
        Self { stream, last_events: Mutex::default() }
    }

    /// Whether this differs from the layer's last state.
    fn is_new_state(&self, layer: &str, event: &LayerEvent) -> bool {
        let mut last_events = self.last_events.lock().unwrap_or_else(PoisonError::into_inner);
        let previous = last_events.insert(layer.to_owned(), event.clone());
        previous.is_none_or(|previous| discriminant(&previous) != discriminant(event))
    }
}

impl LayerProgress for ProgressLines {
    fn event(&self, layer: &str, event: LayerEvent) {
        // Byte counts are for live bars.
        if event.bytes().is_none() && self.is_new_state(layer, &event) {
            self.line(&format!("{layer}: {event}"));
        }
    }

    fn line(&self, text: &str) {
        match self.stream {
            // One write, or lines of several layers would mix. A closed pipe is reported by the command when
            // it prints its result.
            ProgressStream::Stdout => drop(output::stdout().write_all(format!("{text}\n").as_bytes())),
            ProgressStream::Stderr => output::eprint_line(text),
        }
    }
}
