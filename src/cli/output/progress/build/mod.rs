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

use self::plain::PlainProgress;
use self::rawjson::RawJsonProgress;
use self::trace::{BuildTrace, warning_line};
use self::tty::{TerminalSize, TtyProgress};
use dhow_build::progress::{BuildEvent, BuildObserver, CheckWarning, StepId};
use dhow_error::{Failure, invalid};
use dhow_model::environment::Environment;

pub(crate) use self::colours::ProgressColours;

/// The least time between two frames.
const FRAME_INTERVAL: Duration = Duration::from_millis(100);

/// The value of `--progress`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ProgressMode {
    /// A live view on a terminal, plain lines elsewhere.
    #[default]
    Auto,
    Tty,
    Plain,
    RawJson,
    Quiet,
}

impl FromStr for ProgressMode {
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

enum BuildView {
    Plain(PlainProgress),
    Tty(TtyProgress),
    RawJson(RawJsonProgress),
    Nothing,
}

/// Displays builds, one after another, on standard error.
pub(crate) struct BuildDisplay {
    view: BuildView,
    trace: BuildTrace,
    colours: ProgressColours,
    began: Instant,
    last_frame: Option<Instant>,
    /// The number of the current build's first step, and the time when the build started.
    step_offset: u32,
    time_offset: u64,
    /// The name of the current build, if there are several.
    build_name: Option<String>,
}

impl BuildDisplay {
    /// Opens a display, and returns warnings about the colours. [`ProgressMode::Tty`] fails without a
    /// terminal.
    pub(crate) fn new(mode: ProgressMode, environment: &Environment) -> Result<(Self, Vec<String>), Failure> {
        let terminal = std::io::stderr().is_terminal();
        if mode == ProgressMode::Tty && !terminal {
            // The words of BuildKit, which needs a terminal for this, too.
            return Err(invalid("failed to get console: provided file is not a console")
                .hint("leave --progress out, or say --progress=plain"));
        }
        let (mut colours, warnings) = ProgressColours::from_environment(environment);
        // Warnings have colours, which must not get into files.
        if !terminal {
            colours = ProgressColours::from_environment(&Environment::default().with("NO_COLOR", "1")).0;
        }
        // A dumb terminal cannot move the cursor.
        let dumb = environment.text("TERM") == Some("dumb");
        let view = match mode {
            ProgressMode::Auto if terminal && !dumb => {
                BuildView::Tty(TtyProgress::new(colours.clone(), BUILDER.into()))
            }
            ProgressMode::Tty => BuildView::Tty(TtyProgress::new(colours.clone(), BUILDER.into())),
            ProgressMode::Auto | ProgressMode::Plain => BuildView::Plain(PlainProgress::new(HEADING.into())),
            ProgressMode::RawJson => BuildView::RawJson(RawJsonProgress::new(Timestamp::now())),
            ProgressMode::Quiet => BuildView::Nothing,
        };
        Ok((Self::with_view(view, colours), warnings))
    }

    fn with_view(view: BuildView, colours: ProgressColours) -> Self {
        Self {
            view,
            trace: BuildTrace::default(),
            colours,
            began: Instant::now(),
            last_frame: None,
            step_offset: 0,
            time_offset: 0,
            build_name: None,
        }
    }

    /// Starts another build; `name` distinguishes it from the others.
    pub(crate) fn begin_build(&mut self, name: Option<&str>) {
        self.step_offset = self.trace.steps.last_key_value().map_or(0, |(id, _)| id.0 + 1);
        self.time_offset = self.elapsed();
        self.build_name = name.map(str::to_owned);
    }

    /// Milliseconds since the first build started.
    fn elapsed(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Draws the final state, then the output of failed steps, then the warnings, with explanations if
    /// `expanded`.
    pub(crate) fn finish(&mut self, expanded: bool) {
        let bytes = match &mut self.view {
            BuildView::Plain(plain) => plain.finish(&mut self.trace),
            // Before the first step no frame was drawn that would have to be completed.
            BuildView::Tty(tty) if !self.trace.steps.is_empty() => {
                tty.frame(&self.trace, terminal_size(), true)
            }
            _ => Vec::new(),
        };
        write_stderr(&bytes);
        if matches!(self.view, BuildView::Plain(_) | BuildView::Tty(_)) {
            write_stderr(&failed_outputs(&self.trace));
            write_stderr(warning_list(&self.trace.warnings, &self.colours, expanded).as_bytes());
        }
    }

    /// The lines of the Dockerfile around the failure.
    pub(crate) fn excerpt(&self) -> Option<&str> {
        self.trace.excerpt.as_deref()
    }

    /// The event with its step numbers and times shifted behind those of earlier builds.
    fn renumbered(&self, mut event: BuildEvent) -> BuildEvent {
        let shift = |id: &mut StepId| id.0 = id.0.saturating_add(self.step_offset);
        let later = |at: &mut u64| *at = at.saturating_add(self.time_offset);
        match &mut event {
            BuildEvent::Step { id, name, inputs } => {
                shift(id);
                inputs.iter_mut().for_each(shift);
                // `[2/3] RUN make` becomes `[name 2/3] RUN make`, as in buildx.
                if let Some(build) = &self.build_name {
                    *name = match name.strip_prefix('[') {
                        Some(rest) => format!("[{build} {rest}"),
                        None => format!("[{build}] {name}"),
                    };
                }
            }
            BuildEvent::Started { id, at }
            | BuildEvent::Log { id, at, .. }
            | BuildEvent::Status { id, at, .. }
            | BuildEvent::Ended { id, at, .. } => {
                shift(id);
                later(at);
            }
            BuildEvent::Warning(_) | BuildEvent::Excerpt(_) => {}
        }
        event
    }

    fn draw(&mut self) {
        let BuildView::Tty(tty) = &mut self.view else { return };
        // Events may come much faster than frames can be seen.
        if self.trace.steps.is_empty() || self.last_frame.is_some_and(|last| last.elapsed() < FRAME_INTERVAL)
        {
            return;
        }
        self.last_frame = Some(Instant::now());
        write_stderr(&tty.frame(&self.trace, terminal_size(), false));
    }
}

/// The heading of plain progress.
const HEADING: &str = "building with \"default\" instance using dhow driver";
/// The right end of the live view's heading.
const BUILDER: &str = "dhow:default";

impl BuildObserver for BuildDisplay {
    fn event(&mut self, event: BuildEvent) {
        let event = self.renumbered(event);
        let step_id = self.trace.record(&event);
        match &mut self.view {
            BuildView::Plain(plain) => write_stderr(&plain.event(&event, step_id, &mut self.trace)),
            BuildView::RawJson(json) => write_stderr(&json.event(&event, &self.trace)),
            BuildView::Tty(tty) => tty.event(&event),
            BuildView::Nothing => {}
        }
        self.draw();
    }

    fn tick(&mut self) {
        // The timers of running steps go on without events.
        self.trace.advance(self.elapsed());
        if let BuildView::Plain(plain) = &mut self.view {
            write_stderr(&plain.refresh(&mut self.trace));
        }
        self.draw();
    }
}

/// Writes to standard error at once. Failures are ignored, as there is nowhere to report them.
fn write_stderr(bytes: &[u8]) {
    if !bytes.is_empty() {
        let _ = std::io::stderr().lock().write_all(bytes);
    }
}

/// The terminal's size, which may change between two frames.
fn terminal_size() -> TerminalSize {
    match tcgetwinsize(std::io::stderr()) {
        // Serial lines, for one, report 0 by 0.
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            TerminalSize { width: size.ws_col.into(), height: size.ws_row.into() }
        }
        _ => TerminalSize { width: 80, height: 24 },
    }
}

/// The last output of each failed step.
fn failed_outputs(trace: &BuildTrace) -> Vec<u8> {
    let mut text = Vec::new();
    for step in trace.start_order.iter().filter_map(|id| trace.steps.get(id)).filter(|step| step.has_failed())
    {
        text.extend_from_slice(format!("------\n > {}:\n", step.name).as_bytes());
        for line in &step.last {
            text.extend_from_slice(line);
            text.push(b'\n');
        }
        text.extend_from_slice(b"------\n");
    }
    text
}

/// The list of warnings, empty if there are none.
fn warning_list(warnings: &[CheckWarning], colours: &ProgressColours, expanded: bool) -> String {
    let count = match warnings.len() {
        0 => return String::new(),
        1 => "1 warning found".to_owned(),
        count => format!("{count} warnings found"),
    };
    let hint = if expanded { "" } else { " (use dhow --debug to expand)" };
    let end = if colours.warning.is_empty() { "" } else { "\x1b[0m" };
    let mut text = format!("\n {}{count}{hint}:{end}\n", colours.warning);
    for warning in warnings {
        text += &format!(" - {}\n", warning_line(warning));
        if expanded {
            text += &format!("{}\nMore info: {}\n\n", warning.description, warning.url);
        }
    }
    text
}
