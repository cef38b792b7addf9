//! What is shown of a build while it goes on, and of its warnings and failures at the end.

mod colours;
mod plain;
mod rawjson;
mod tail;
mod trace;
mod tty;

#[cfg(test)]
mod tests;

use std::io::{IsTerminal as _, Write as _};
use std::str::FromStr;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::termios::tcgetwinsize;

use self::plain::Plain;
use self::rawjson::RawJson;
use self::trace::Trace;
use self::tty::{Size, Tty};
use crate::build::progress::{Event, StepId, Warning, Watcher};
use crate::error::{Failure, invalid};
use crate::model::environment::Environment;

pub(crate) use self::colours::Colours;

/// The least time between two frames.
const FRAME: Duration = Duration::from_millis(100);

/// What `--progress` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A live view on a terminal, lines elsewhere.
    #[default]
    Auto,
    /// A live view.
    Tty,
    /// Lines.
    Plain,
    /// JSON lines.
    RawJson,
    /// Nothing.
    Quiet,
}

impl FromStr for Mode {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        match text {
            "" | "auto" => Ok(Self::Auto),
            "tty" => Ok(Self::Tty),
            "plain" => Ok(Self::Plain),
            "rawjson" => Ok(Self::RawJson),
            "quiet" | "none" => Ok(Self::Quiet),
            _ => Err(invalid(format!("invalid progress mode {}", text.escape_debug()))
                .hint("there are: auto, plain, tty, quiet, rawjson")),
        }
    }
}

enum View {
    Plain(Plain),
    Tty(Tty),
    RawJson(RawJson),
    Nothing,
}

/// Shows builds, one after another, on standard error.
pub(crate) struct Display {
    view: View,
    trace: Trace,
    colours: Colours,
    began: Instant,
    framed: Option<Instant>,
    /// Where the steps of the present build are counted from, and its times.
    first: u32,
    offset: u64,
    /// The present build among several.
    part: Option<String>,
}

impl Display {
    /// A display of this kind; without a terminal there is no live view.
    pub(crate) fn new(mode: Mode, environment: &Environment) -> Result<(Self, Vec<String>), Failure> {
        let terminal = std::io::stderr().is_terminal();
        if mode == Mode::Tty && !terminal {
            return Err(invalid("failed to get console: provided file is not a console")
                .hint("leave --progress out, or say --progress=plain"));
        }
        let (mut colours, warnings) = Colours::of(environment);
        if !terminal {
            colours = Colours::of(&Environment::default().with("NO_COLOR", "1")).0;
        }
        let dumb = environment.text("TERM") == Some("dumb");
        let view = match mode {
            Mode::Auto if terminal && !dumb => View::Tty(Tty::new(colours.clone(), BUILDER.into())),
            Mode::Tty => View::Tty(Tty::new(colours.clone(), BUILDER.into())),
            Mode::Auto | Mode::Plain => View::Plain(Plain::new(HEADING.into())),
            Mode::RawJson => View::RawJson(RawJson::new(Timestamp::now())),
            Mode::Quiet => View::Nothing,
        };
        Ok((Self::showing(view, colours), warnings))
    }

    fn showing(view: View, colours: Colours) -> Self {
        Self {
            view,
            trace: Trace::default(),
            colours,
            began: Instant::now(),
            framed: None,
            first: 0,
            offset: 0,
            part: None,
        }
    }

    /// What follows is another build; `name` tells it from others, where there are several.
    pub(crate) fn begin(&mut self, name: Option<&str>) {
        self.first = self.trace.steps.last_key_value().map_or(0, |(id, _)| id.0 + 1);
        self.offset = self.elapsed();
        self.part = name.map(str::to_owned);
    }

    /// Milliseconds since the first build began.
    fn elapsed(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Shows the last state, then the output of what failed, then the warnings; `expanded` explains these.
    pub(crate) fn finish(&mut self, expanded: bool) {
        let bytes = match &mut self.view {
            View::Plain(plain) => plain.finish(&mut self.trace),
            View::Tty(tty) if !self.trace.steps.is_empty() => tty.frame(&self.trace, size(), true),
            _ => Vec::new(),
        };
        write(&bytes);
        if matches!(self.view, View::Plain(_) | View::Tty(_)) {
            write(&failures(&self.trace));
            write(warnings(&self.trace.warnings, &self.colours, expanded).as_bytes());
        }
    }

    /// The lines of the Dockerfile around what failed.
    pub(crate) fn excerpt(&self) -> Option<&str> {
        self.trace.excerpt.as_deref()
    }

    /// The event as it is among those of all builds.
    fn among_all(&self, mut event: Event) -> Event {
        let shift = |id: &mut StepId| id.0 = id.0.saturating_add(self.first);
        let later = |at: &mut u64| *at = at.saturating_add(self.offset);
        match &mut event {
            Event::Step { id, name, inputs } => {
                shift(id);
                inputs.iter_mut().for_each(shift);
                if let Some(part) = &self.part {
                    *name = match name.strip_prefix('[') {
                        Some(rest) => format!("[{part} {rest}"),
                        None => format!("[{part}] {name}"),
                    };
                }
            }
            Event::Started { id, at }
            | Event::Log { id, at, .. }
            | Event::Status { id, at, .. }
            | Event::Ended { id, at, .. } => {
                shift(id);
                later(at);
            }
            Event::Warning(_) | Event::Excerpt(_) => {}
        }
        event
    }

    fn draw(&mut self) {
        let View::Tty(tty) = &mut self.view else { return };
        if self.trace.steps.is_empty() || self.framed.is_some_and(|last| last.elapsed() < FRAME) {
            return;
        }
        self.framed = Some(Instant::now());
        write(&tty.frame(&self.trace, size(), false));
    }
}

/// What the heading of plain lines says.
const HEADING: &str = "building with \"default\" instance using dhow driver";
/// What stands at the right of the live view's heading.
const BUILDER: &str = "dhow:default";

impl Watcher for Display {
    fn event(&mut self, event: Event) {
        let event = self.among_all(event);
        let about = self.trace.take(&event);
        match &mut self.view {
            View::Plain(plain) => write(&plain.event(&event, about, &mut self.trace)),
            View::RawJson(json) => write(&json.event(&event, &self.trace)),
            View::Tty(tty) => tty.event(&event),
            View::Nothing => {}
        }
        self.draw();
    }

    fn tick(&mut self) {
        self.trace.advance(self.elapsed());
        if let View::Plain(plain) = &mut self.view {
            write(&plain.refresh(&mut self.trace));
        }
        self.draw();
    }
}

/// Writes to standard error at once; there is nowhere to complain when that fails.
fn write(bytes: &[u8]) {
    if !bytes.is_empty() {
        let _ = std::io::stderr().lock().write_all(bytes);
    }
}

/// The terminal's size, which may change between two frames.
fn size() -> Size {
    match tcgetwinsize(std::io::stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            Size { width: size.ws_col.into(), height: size.ws_row.into() }
        }
        _ => Size { width: 80, height: 24 },
    }
}

/// The last output of each step that failed.
fn failures(trace: &Trace) -> Vec<u8> {
    let mut text = Vec::new();
    for step in trace.begun.iter().filter_map(|id| trace.steps.get(id)).filter(|step| step.has_failed()) {
        text.extend_from_slice(format!("------\n > {}:\n", step.name).as_bytes());
        for line in &step.last {
            text.extend_from_slice(line);
            text.push(b'\n');
        }
        text.extend_from_slice(b"------\n");
    }
    text
}

/// `Rule: message (line 3)`.
fn short(warning: &Warning) -> String {
    format!("{}: {} (line {})", warning.rule, warning.message, warning.lines.0)
}

/// The list of warnings.
fn warnings(warnings: &[Warning], colours: &Colours, expanded: bool) -> String {
    let count = match warnings.len() {
        0 => return String::new(),
        1 => "1 warning found".to_owned(),
        count => format!("{count} warnings found"),
    };
    let hint = if expanded { "" } else { " (use dhow --debug to expand)" };
    let end = if colours.warning.is_empty() { "" } else { "\x1b[0m" };
    let mut text = format!("\n {}{count}{hint}:{end}\n", colours.warning);
    for warning in warnings {
        text += &format!(" - {}\n", short(warning));
        if expanded {
            text += &format!("{}\nMore info: {}\n\n", warning.description, warning.url);
        }
    }
    text
}
