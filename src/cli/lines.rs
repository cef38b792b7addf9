//! Progress as plain lines, where there is no terminal to draw on: each state of a layer once, as docker prints them.

use std::collections::HashMap;
use std::io::{IsTerminal as _, Write as _};
use std::mem::discriminant;
use std::sync::{Mutex, PoisonError};

use crate::model::progress::{LayerEvent, Progress};

use super::output;

/// Where the lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channel {
    /// Standard output, for commands that do nothing else.
    Stdout,
    /// Standard error, where standard output belongs to a container.
    Stderr,
}

impl Channel {
    /// Whether it is a terminal.
    pub(crate) fn is_terminal(self) -> bool {
        match self {
            Self::Stdout => output::is_terminal(),
            Self::Stderr => std::io::stderr().is_terminal(),
        }
    }
}

/// Prints lines.
pub(crate) struct Lines {
    channel: Channel,
    last: Mutex<HashMap<String, LayerEvent>>,
}

impl Lines {
    pub(crate) fn new(channel: Channel) -> Self {
        Self { channel, last: Mutex::default() }
    }

    /// Whether this state of the layer was not the last one told.
    fn is_news(&self, layer: &str, event: &LayerEvent) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.insert(layer.to_owned(), event.clone());
        before.is_none_or(|before| discriminant(&before) != discriminant(event))
    }
}

impl Progress for Lines {
    fn event(&self, layer: &str, event: LayerEvent) {
        // How far a layer has got is for those who watch.
        if event.bytes().is_none() && self.is_news(layer, &event) {
            self.line(&format!("{layer}: {event}"));
        }
    }

    fn line(&self, text: &str) {
        match self.channel {
            // The command itself says that nobody reads when it prints its result.
            // In one piece, or lines of several layers would mix.
            Channel::Stdout => drop(output::stdout().write_all(format!("{text}\n").as_bytes())),
            Channel::Stderr => output::note(text),
        }
    }
}
