//! Progress on a terminal: a line for each layer, with a bar while bytes are counted, and other lines above
//! or below.
//!
//! The cursor is never hidden and stays at the end of what is drawn, so an interruption leaves nothing to
//! restore.

pub(crate) mod build;
pub(crate) mod lines;

use std::collections::HashMap;
use std::mem::discriminant;
use std::sync::{Mutex, PoisonError};

use indicatif::{
    MultiProgress, ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressState, ProgressStyle,
};

use super::humanize;
use super::progress::lines::{ProgressLines, ProgressStream};
use dhow_model::progress::{LayerEvent, LayerProgress, SilentProgress};

/// Bars if `stream` is a terminal, plain lines if it is not, nothing without a stream.
pub(crate) fn progress_on(stream: Option<ProgressStream>) -> Box<dyn LayerProgress> {
    match stream {
        Some(stream) if stream.is_terminal() => Box::new(ProgressBars::new(stream)),
        Some(stream) => Box::new(ProgressLines::new(stream)),
        None => Box::new(SilentProgress),
    }
}

struct ProgressBars {
    lines: ProgressLines,
    stream: ProgressStream,
    drawing: Mutex<LayerBars>,
}

/// The layers of one image.
struct LayerBars {
    bars: MultiProgress,
    layers: HashMap<String, LayerBar>,
}

struct LayerBar {
    bar: ProgressBar,
    last: LayerEvent,
}

impl ProgressBars {
    fn new(stream: ProgressStream) -> Self {
        Self { lines: ProgressLines::new(stream), stream, drawing: Mutex::new(LayerBars::new(stream)) }
    }
}

impl LayerProgress for ProgressBars {
    fn event(&self, layer: &str, event: LayerEvent) {
        self.drawing.lock().unwrap_or_else(PoisonError::into_inner).update_layer(layer, event);
    }

    fn line(&self, text: &str) {
        let mut drawing = self.drawing.lock().unwrap_or_else(PoisonError::into_inner);
        if drawing.is_done() {
            // Finished bars stay as they are, and new lines go below.
            *drawing = LayerBars::new(self.stream);
            self.lines.line(text);
        } else {
            // If the terminal is gone, the command reports it when it prints its result.
            let _ = drawing.bars.println(text);
        }
    }
}

impl LayerBars {
    fn new(stream: ProgressStream) -> Self {
        let target = match stream {
            ProgressStream::Stdout => ProgressDrawTarget::stdout(),
            ProgressStream::Stderr => ProgressDrawTarget::stderr(),
        };
        Self { bars: MultiProgress::with_draw_target(target), layers: HashMap::new() }
    }

    fn is_done(&self) -> bool {
        self.layers.values().all(|layer| layer.last.is_final())
    }

    fn update_layer(&mut self, id: &str, event: LayerEvent) {
        let previous = self.layers.get(id).map(|layer| discriminant(&layer.last));
        let bars = &self.bars;
        let layer = self.layers.entry(id.to_owned()).or_insert_with(|| LayerBar {
            bar: bars.add(ProgressBar::no_length().with_finish(ProgressFinish::Abandon)),
            last: event.clone(),
        });
        if let Some((current, total)) = event.bytes() {
            layer.bar.set_length(total);
            layer.bar.set_position(current);
        }
        // Byte counts come often, and setting a style parses its template.
        if previous != Some(discriminant(&event)) || event.bytes().is_none() {
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
    style.progress_chars("=> ").with_key("amount", write_amount)
}

/// `12.3MB/45MB`, in docker's units.
fn write_amount(state: &ProgressState, out: &mut dyn std::fmt::Write) {
    let current = humanize::size(state.pos());
    // Writes into a string, which cannot fail.
    let _ = match state.len() {
        Some(total) if total > 0 => write!(out, "{current}/{}", humanize::size(total)),
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
