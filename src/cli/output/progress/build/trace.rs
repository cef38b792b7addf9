//! The state of a build's steps, which every display draws from.

use std::collections::{BTreeMap, VecDeque};

use dhow_build::progress::{BuildEvent, CheckWarning, StepId};

/// How many lines of a step's output are kept for the report of its failure.
const KEPT_LINES: usize = 10;
/// The longest line that is kept, in bytes.
const MAX_LINE_BYTES: usize = 64 << 10;

/// A part of a step, such as a layer being pulled; BuildKit's `VertexStatus`.
#[derive(Clone, Debug)]
pub(crate) struct StepStatus {
    pub(crate) name: String,
    /// Bytes done.
    pub(crate) current: u64,
    /// Bytes in total; 0 if unknown.
    pub(crate) total: u64,
    /// The time of the first update.
    pub(crate) began: u64,
    /// The time of the last update.
    pub(crate) updated: u64,
    pub(crate) done: bool,
    /// Whether it was updated since it was last shown.
    pub(crate) unshown: bool,
    /// The bytes and the time when it was last shown.
    pub(crate) last_shown: Option<(u64, u64)>,
}

/// A step of a build; BuildKit's `Vertex`.
#[derive(Clone, Debug, Default)]
pub(crate) struct TracedStep {
    pub(crate) name: String,
    /// When it started, in milliseconds since the first build started.
    pub(crate) began: Option<u64>,
    pub(crate) ended: Option<u64>,
    pub(crate) cached: bool,
    /// Why it failed or was cancelled.
    pub(crate) error: Option<String>,
    /// In the order of their first update.
    pub(crate) statuses: Vec<StepStatus>,
    /// The last lines of output, each prefixed with its timestamp.
    pub(crate) last: VecDeque<Vec<u8>>,
    /// Whether the last line has no end yet.
    pub(crate) partial: bool,
}

impl TracedStep {
    pub(crate) fn is_over(&self) -> bool {
        self.ended.is_some()
    }

    /// Whether it was cancelled, by the user or because another step failed.
    pub(crate) fn is_cancelled(&self) -> bool {
        // The text of Go's context.Canceled, which BuildKit shows.
        self.error.as_ref().is_some_and(|error| error.ends_with("context canceled"))
    }

    /// Whether it failed, and was not just cancelled.
    pub(crate) fn has_failed(&self) -> bool {
        self.error.is_some() && !self.is_cancelled()
    }

    /// How long it has run, in seconds.
    pub(crate) fn seconds(&self, now: u64) -> f64 {
        let Some(began) = self.began else { return 0.0 };
        self.ended.unwrap_or(now).saturating_sub(began) as f64 / 1000.0
    }

    /// The timestamp of output, in seconds since the step started: `0.123`, `12.34`, `123.4`.
    pub(crate) fn stamp(&self, at: u64) -> String {
        let seconds = at.saturating_sub(self.began.unwrap_or(at)) as f64 / 1000.0;
        let digits = match seconds {
            _ if seconds < 10.0 => 3,
            _ if seconds < 100.0 => 2,
            _ => 1,
        };
        format!("{seconds:.digits$}")
    }

    /// Keeps output for the report of a failure.
    fn keep_output(&mut self, data: &[u8], at: u64) {
        for piece in data.split_inclusive(|byte| *byte == b'\n') {
            let (line, ends) = match piece.strip_suffix(b"\n") {
                Some(line) => (line, true),
                None => (piece, false),
            };
            match self.last.back_mut().filter(|_| self.partial) {
                Some(open) if open.len() < MAX_LINE_BYTES => open.extend_from_slice(line),
                // The rest of an overlong line is dropped.
                Some(_) => {}
                None => {
                    let stamp = format!("{} ", self.stamp(at));
                    self.last.push_back([stamp.as_bytes(), line].concat());
                }
            }
            self.partial = !ends;
        }
        while self.last.len() > KEPT_LINES {
            self.last.pop_front();
        }
    }

    fn update_status(&mut self, name: String, current: u64, total: u64, done: bool, at: u64) {
        if let Some(status) = self.statuses.iter_mut().find(|status| status.name == name) {
            status.current = current;
            // Later updates may leave the total out.
            status.total = if total == 0 { status.total } else { total };
            (status.updated, status.done, status.unshown) = (at, done, true);
            return;
        }
        let status = StepStatus {
            name,
            current,
            total,
            began: at,
            updated: at,
            done,
            unshown: true,
            last_shown: None,
        };
        self.statuses.push(status);
    }
}

/// The steps of all builds.
#[derive(Clone, Debug, Default)]
pub(crate) struct BuildTrace {
    pub(crate) steps: BTreeMap<StepId, TracedStep>,
    /// Steps that have started, in that order.
    pub(crate) start_order: Vec<StepId>,
    /// Broken rules of the Dockerfile linter.
    pub(crate) warnings: Vec<CheckWarning>,
    /// The lines of the Dockerfile around the failure.
    pub(crate) excerpt: Option<String>,
    /// The latest time seen, in milliseconds.
    pub(crate) now: u64,
}

impl BuildTrace {
    /// Records an event. Returns the step that it changes, unless there is nothing to show.
    pub(crate) fn record(&mut self, event: &BuildEvent) -> Option<StepId> {
        match event {
            BuildEvent::Step { id, name, .. } => {
                // Shown once it starts: many steps are known long before.
                self.steps.entry(*id).or_default().name = one_line(name);
                return None;
            }
            BuildEvent::Started { id, at } => drop(self.start_step(*id, *at)),
            BuildEvent::Log { id, data, at, .. } => self.start_step(*id, *at).keep_output(data, *at),
            BuildEvent::Status { id, name, current, total, done, at } => {
                self.start_step(*id, *at).update_status(one_line(name), *current, *total, *done, *at);
            }
            BuildEvent::Ended { id, cached, error, at } => {
                let step = self.start_step(*id, *at);
                (step.ended, step.cached, step.error) = (Some(*at), *cached, error.as_deref().map(one_line));
            }
            BuildEvent::Warning(warning) => self.warnings.push(warning.clone()),
            BuildEvent::Excerpt(text) => self.excerpt = Some(text.clone()),
        }
        event_step(event)
    }

    fn start_step(&mut self, id: StepId, at: u64) -> &mut TracedStep {
        self.now = self.now.max(at);
        let step = self.steps.entry(id).or_default();
        if step.began.is_none() {
            step.began = Some(at);
            self.start_order.push(id);
        }
        step
    }

    /// Advances the clock.
    pub(crate) fn advance(&mut self, now: u64) {
        self.now = self.now.max(now);
    }
}

/// The step that an event is about.
fn event_step(event: &BuildEvent) -> Option<StepId> {
    match event {
        BuildEvent::Step { id, .. }
        | BuildEvent::Started { id, .. }
        | BuildEvent::Log { id, .. }
        | BuildEvent::Status { id, .. }
        | BuildEvent::Ended { id, .. } => Some(*id),
        BuildEvent::Warning(_) | BuildEvent::Excerpt(_) => None,
    }
}

/// Escapes control characters: names quote Dockerfiles and registries, and must not break lines or control
/// the terminal.
fn one_line(text: &str) -> String {
    let shown = |c: char| match c {
        '\t' | '\n' => " ".to_owned(),
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    };
    text.chars().map(shown).collect()
}

/// `1.50MB`, in BuildKit's format.
fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes}B");
    }
    let mut size = bytes as f64 / 1000.0;
    let mut unit = 0;
    while size >= 1000.0 && unit + 1 < UNITS.len() {
        size /= 1000.0;
        unit += 1;
    }
    // Unlike docker, BuildKit always writes two decimals.
    format!("{size:.2}{}", UNITS.get(unit).copied().unwrap_or_default())
}

/// `3.00MB / 10.00MB`, `3.00MB`, or nothing.
pub(crate) fn progress_bytes(status: &StepStatus) -> String {
    match (status.current, status.total) {
        (0, 0) => String::new(),
        (current, 0) => human_bytes(current),
        (current, total) => format!("{} / {}", human_bytes(current), human_bytes(total)),
    }
}

/// `Rule: message (line 3)`.
pub(super) fn warning_line(warning: &CheckWarning) -> String {
    format!("{}: {} (line {})", warning.rule, warning.message, warning.lines.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_buildkit() {
        for (bytes, text) in
            [(0, "0B"), (999, "999B"), (1000, "1.00kB"), (3_150_000, "3.15MB"), (u64::MAX, "18.45EB")]
        {
            assert_eq!(human_bytes(bytes), text);
        }
    }

    #[test]
    fn the_last_lines_are_kept() {
        let mut step = TracedStep { began: Some(0), ..TracedStep::default() };
        for number in 0..20 {
            step.keep_output(format!("line {number}\n").as_bytes(), 12_345);
        }
        step.keep_output(b"no ", 100_000);
        step.keep_output(b"end", 100_001);
        assert_eq!(step.last.len(), KEPT_LINES);
        assert_eq!(step.last[0], b"12.35 line 11".to_vec());
        assert_eq!(step.last[9], b"100.0 no end".to_vec());
    }

    #[test]
    fn names_cannot_steer_the_terminal() {
        assert_eq!(one_line("RUN a\tb\n\x1b[2J"), "RUN a b \\u{1b}[2J");
    }
}
