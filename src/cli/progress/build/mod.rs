//! The display of a build: progress while it runs, then the output of failed steps and the warnings.
//!
//! # Parts
//! - [`trace`] keeps the state of every step, whatever displays it.
//! - [`plain`], [`tty`] and [`rawjson`] turn events and trace into bytes, and write nothing themselves.
//! - [`BuildDisplay`] receives the builder's events, and writes the bytes to standard error.
//!
//! # Time and numbers
//! Times are milliseconds since the first build started. Several builds in a row (`bake`) share one display: each
//! numbers its steps and times from 0, and [`BuildDisplay`] shifts them behind those of the builds before.

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

/// The value of `--progress`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A live view on a terminal, plain lines elsewhere.
    #[default]
    Auto,
    Tty,
    Plain,
    RawJson,
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

/// Displays builds, one after another, on standard error.
pub(crate) struct Display {
    view: View,
    trace: Trace,
    colours: Colours,
    began: Instant,
    framed: Option<Instant>,
    /// The number of the current build's first step, and the time when the build started.
    first: u32,
    offset: u64,
    /// The name of the current build, if there are several.
    part: Option<String>,
}

impl Display {
    /// Opens a display, and returns warnings about the colours. [`ProgressMode::Tty`] fails without a
    /// terminal.
    pub(crate) fn new(mode: Mode, environment: &Environment) -> Result<(Self, Vec<String>), Failure> {
        let terminal = std::io::stderr().is_terminal();
        if mode == Mode::Tty && !terminal {
            return Err(invalid("failed to get console: provided file is not a console")
                .hint("leave --progress out, or say --progress=plain"));
        }
        let (mut colours, warnings) = Colours::of(environment);
        // Warnings have colours, which must not get into files.
        if !terminal {
            colours = Colours::of(&Environment::default().with("NO_COLOR", "1")).0;
        }
        // A dumb terminal cannot move the cursor.
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

    /// Starts another build; `name` distinguishes it from the others.
    pub(crate) fn begin(&mut self, name: Option<&str>) {
        self.first = self.trace.steps.last_key_value().map_or(0, |(id, _)| id.0 + 1);
        self.offset = self.elapsed();
        self.part = name.map(str::to_owned);
    }

    /// Milliseconds since the first build started.
    fn elapsed(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Draws the final state, then the output of failed steps, then the warnings, with explanations if
    /// `expanded`.
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

    /// The lines of the Dockerfile around the failure.
    pub(crate) fn excerpt(&self) -> Option<&str> {
        self.trace.excerpt.as_deref()
    }

    /// The event with its step numbers and times shifted behind those of earlier builds.
    fn among_all(&self, mut event: Event) -> Event {
        let shift = |id: &mut StepId| id.0 = id.0.saturating_add(self.first);
        let later = |at: &mut u64| *at = at.saturating_add(self.offset);
        match &mut event {
            Event::Step { id, name, inputs } => {
                shift(id);
                inputs.iter_mut().for_each(shift);
                // `[2/3] RUN make` becomes `[name 2/3] RUN make`, as in buildx.
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
        // Events may come much faster than frames can be seen.
        if self.trace.steps.is_empty() || self.framed.is_some_and(|last| last.elapsed() < FRAME) {
            return;
        }
        self.framed = Some(Instant::now());
        write(&tty.frame(&self.trace, size(), false));
    }
}

/// The heading of plain progress.
const HEADING: &str = "building with \"default\" instance using dhow driver";
/// The right end of the live view's heading.
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
        // The timers of running steps go on without events.
        self.trace.advance(self.elapsed());
        if let View::Plain(plain) = &mut self.view {
            write(&plain.refresh(&mut self.trace));
        }
        self.draw();
    }
}

/// Writes to standard error at once. Failures are ignored, as there is nowhere to report them.
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

/// The last output of each failed step.
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

/// The list of warnings, empty if there are none.
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
