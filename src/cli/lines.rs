//! Progress as plain lines where there is no terminal: each state of a layer once, as docker prints them.

use std::collections::HashMap;
use std::io::{IsTerminal as _, Write as _};
use std::mem::discriminant;
use std::sync::{Mutex, PoisonError};

use crate::model::progress::{LayerEvent, Progress};

use super::output;

/// Where progress goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channel {
    /// Standard output, for commands that print nothing else.
    Stdout,
    /// Standard error, where standard output belongs to a container or a result.
    Stderr,
}

impl Channel {
    pub(crate) fn is_terminal(self) -> bool {
        match self {
            Self::Stdout => output::is_terminal(),
            Self::Stderr => std::io::stderr().is_terminal(),
        }
    }
}

/// Prints a line for each new state of a layer.
pub(crate) struct Lines {
    channel: Channel,
    last: Mutex<HashMap<String, LayerEvent>>,
}

impl Lines {
    pub(crate) fn new(channel: Channel) -> Self {
        Self { channel, last: Mutex::default() }
    }

    /// Whether this differs from the layer's last state.
    fn is_news(&self, layer: &str, event: &LayerEvent) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.insert(layer.to_owned(), event.clone());
        before.is_none_or(|before| discriminant(&before) != discriminant(event))
    }
}

impl Progress for Lines {
    fn event(&self, layer: &str, event: LayerEvent) {
        // Byte counts are for live bars.
        if event.bytes().is_none() && self.is_news(layer, &event) {
            self.line(&format!("{layer}: {event}"));
        }
    }

    fn line(&self, text: &str) {
        match self.channel {
            // One write, or lines of several layers would mix. A closed pipe is reported by the command when
            // it prints its result.
            Channel::Stdout => drop(output::stdout().write_all(format!("{text}\n").as_bytes())),
            Channel::Stderr => output::note(text),
        }
    }
}
