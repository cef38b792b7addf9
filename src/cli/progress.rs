//! Progress on a terminal: a line for each layer, with a bar while bytes are counted, and other lines above
//! or below.
//!
//! The cursor is never hidden and stays at the end of what is drawn, so an interruption leaves nothing to
//! restore.

pub(crate) mod build;

use std::collections::HashMap;
use std::mem::discriminant;
use std::sync::{Mutex, PoisonError};

use indicatif::{
    MultiProgress, ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressState, ProgressStyle,
};

use super::human;
use super::lines::{Channel, Lines};
use crate::model::progress::{LayerEvent, Progress, Silent};

/// Bars if `channel` is a terminal, plain lines if it is not, nothing without a channel.
pub(crate) fn on(channel: Option<Channel>) -> Box<dyn Progress> {
    match channel {
        Some(channel) if channel.is_terminal() => Box::new(Bars::new(channel)),
        Some(channel) => Box::new(Lines::new(channel)),
        None => Box::new(Silent),
    }
}

struct Bars {
    lines: Lines,
    channel: Channel,
    drawing: Mutex<Drawing>,
}

/// The layers of one image.
struct Drawing {
    all: MultiProgress,
    layers: HashMap<String, Layer>,
}

struct Layer {
    bar: ProgressBar,
    last: LayerEvent,
}

impl Bars {
    fn new(channel: Channel) -> Self {
        Self { lines: Lines::new(channel), channel, drawing: Mutex::new(Drawing::new(channel)) }
    }
}

impl Progress for Bars {
    fn event(&self, layer: &str, event: LayerEvent) {
        self.drawing.lock().unwrap_or_else(PoisonError::into_inner).show(layer, event);
    }

    fn line(&self, text: &str) {
        let mut drawing = self.drawing.lock().unwrap_or_else(PoisonError::into_inner);
        if drawing.is_done() {
            // Finished bars stay as they are, and new lines go below.
            *drawing = Drawing::new(self.channel);
            self.lines.line(text);
        } else {
            // If the terminal is gone, the command reports it when it prints its result.
            let _ = drawing.all.println(text);
        }
    }
}

impl Drawing {
    fn new(channel: Channel) -> Self {
        let target = match channel {
            Channel::Stdout => ProgressDrawTarget::stdout(),
            Channel::Stderr => ProgressDrawTarget::stderr(),
        };
        Self { all: MultiProgress::with_draw_target(target), layers: HashMap::new() }
    }

    fn is_done(&self) -> bool {
        self.layers.values().all(|layer| layer.last.is_final())
    }

    fn show(&mut self, id: &str, event: LayerEvent) {
        let known = self.layers.get(id).map(|layer| discriminant(&layer.last));
        let all = &self.all;
        let layer = self.layers.entry(id.to_owned()).or_insert_with(|| Layer {
            bar: all.add(ProgressBar::no_length().with_finish(ProgressFinish::Abandon)),
            last: event.clone(),
        });
        if let Some((current, total)) = event.bytes() {
            layer.bar.set_length(total);
            layer.bar.set_position(current);
        }
        // Byte counts come often, and setting a style parses its template.
        if known != Some(discriminant(&event)) || event.bytes().is_none() {
            layer.bar.set_style(style(&event));
            // Layer names come from an archive and may contain control characters.
            layer.bar.set_prefix(id.escape_debug().to_string());
            layer.bar.set_message(event.to_string());
        }
        if event.is_final() {
            layer.bar.abandon();
        }
        layer.last = event;
    }
}

const STATE: &str = "{prefix}: {msg}";
const COUNT: &str = "{prefix}: {msg} {amount}";
const BAR: &str = "{prefix}: {msg:11} [{bar:40}] {amount}";

fn style(event: &LayerEvent) -> ProgressStyle {
    let template = match event.bytes() {
        None => STATE,
        Some((_, 0)) => COUNT,
        Some(_) => BAR,
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ").with_key("amount", amount)
}

/// `12.3MB/45MB`, in docker's units.
fn amount(state: &ProgressState, out: &mut dyn std::fmt::Write) {
    let current = human::size(state.pos());
    // Writes into a string, which cannot fail.
    let _ = match state.len() {
        Some(total) if total > 0 => write!(out, "{current}/{}", human::size(total)),
        _ => write!(out, "{current}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_valid() {
        for template in [STATE, COUNT, BAR] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
