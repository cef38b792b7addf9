//! Plain progress, as BuildKit's `--progress=plain` writes it: blocks of one step each. The output goes to
//! another step when the current one ends, or when it has had the output long enough and others have more to
//! say.

use std::collections::{BTreeMap, BTreeSet};

use super::trace::{BuildTrace, StepStatus, TracedStep, progress_bytes};
use dhow_build::progress::{BuildEvent, StepId};

/// How long a step keeps the output, in milliseconds, before division by the share of updates that others have.
const ANTI_FLICKER_MS: f64 = 5000.0;
/// A step that has been silent for this many milliseconds gets the output.
const MAX_SILENCE_MS: u64 = 10_000;
/// A status is printed again after this many milliseconds …
const STATUS_INTERVAL_MS: u64 = 5000;
/// … or when this share more of it is done.
const STATUS_MIN_SHARE: f64 = 0.05;

/// The output of a step that is not written yet.
#[derive(Default)]
struct StepBlock {
    /// The step's number in the output; 0 before its first line.
    number: u32,
    /// Lines to be written, each prefixed with its timestamp.
    lines: Vec<Vec<u8>>,
    /// Whether the last of them has no end yet.
    open: bool,
    /// How many bytes of the first line are written already.
    written: usize,
    /// Updates since the step last lost the output, and the time of the first of them.
    count: u32,
    since: u64,
}

pub(crate) struct PlainProgress {
    blocks: BTreeMap<StepId, StepBlock>,
    /// The step that has the output.
    current: Option<StepId>,
    updated: BTreeSet<StepId>,
    last_number: u32,
    heading_written: bool,
    heading: String,
    out: Vec<u8>,
}

impl PlainProgress {
    /// `heading` is the text of line `#0`, which is left out if it is empty.
    pub(crate) fn new(heading: String) -> Self {
        Self {
            blocks: BTreeMap::new(),
            current: None,
            updated: BTreeSet::new(),
            last_number: 0,
            heading_written: false,
            heading,
            out: Vec::new(),
        }
    }

    /// Handles an event, which `trace` has recorded already; returns what to write.
    pub(crate) fn event(
        &mut self,
        event: &BuildEvent,
        step_id: Option<StepId>,
        trace: &mut BuildTrace,
    ) -> Vec<u8> {
        let Some(id) = step_id else { return Vec::new() };
        let Some(step) = trace.steps.get(&id) else { return Vec::new() };
        let block = self.blocks.entry(id).or_default();
        if let BuildEvent::Log { data, at, .. } = event {
            block.append_output(data, &step.stamp(*at));
        }
        if block.count == 0 {
            block.since = trace.now;
        }
        block.count += 1;
        self.updated.insert(id);
        // A start is not written at once: the step may end right away, and others with it.
        if matches!(event, BuildEvent::Started { .. }) { Vec::new() } else { self.refresh(trace) }
    }

    /// Returns what to write now that time has passed.
    pub(crate) fn refresh(&mut self, trace: &mut BuildTrace) -> Vec<u8> {
        self.write_due(trace);
        std::mem::take(&mut self.out)
    }

    /// Writes what is left and ends the last line.
    pub(crate) fn finish(&mut self, trace: &mut BuildTrace) -> Vec<u8> {
        let pending: Vec<StepId> = self.updated.iter().copied().collect();
        pending.into_iter().for_each(|id| self.write_step(id, trace));
        if let Some(block) = self.current.take().and_then(|id| self.blocks.get_mut(&id)) {
            if block.open && !block.lines.is_empty() {
                self.out.push(b'\n');
            }
            block.open = false;
        }
        std::mem::take(&mut self.out)
    }

    /// Writes what is due: ended steps, then the current step, then another one if it is its turn.
    fn write_due(&mut self, trace: &mut BuildTrace) {
        let over = |id: &StepId| trace.steps.get(id).is_some_and(TracedStep::is_over);
        let mut ended: Vec<StepId> = self.updated.iter().copied().filter(over).collect();
        let running: Vec<StepId> = self.updated.iter().copied().filter(|id| !over(id)).collect();
        let holder = self.current;
        // The current step first, so that its block ends before others begin.
        let end = |id: &StepId| trace.steps.get(id).and_then(|step| step.ended);
        ended.sort_by_key(|id| (Some(*id) != holder, end(id)));
        let is_free = holder.is_none_or(|id| ended.contains(&id));
        ended.into_iter().for_each(|id| self.write_step(id, trace));
        if running.is_empty() {
            return self.reopen_running(holder, trace);
        }
        if let Some(current) = holder.filter(|id| running.contains(id)) {
            self.write_step(current, trace);
        }
        if let Some(next) = self.next_step(&running, holder, is_free, trace.now) {
            self.write_step(next, trace);
        }
    }

    /// Nothing is new: shows a running step, if only its name.
    fn reopen_running(&mut self, holder: Option<StepId>, trace: &mut BuildTrace) {
        let runs = |step: &TracedStep| step.began.is_some() && !step.is_over();
        if holder.and_then(|id| trace.steps.get(&id)).is_some_and(runs) && self.current == holder {
            return;
        }
        let open = trace.start_order.iter().copied().find(|id| trace.steps.get(id).is_some_and(runs));
        if let Some(id) = open {
            self.write_step(id, trace);
        }
    }

    /// The step that gets the output next, if the current one loses it.
    fn next_step(
        &self,
        running: &[StepId],
        holder: Option<StepId>,
        is_free: bool,
        now: u64,
    ) -> Option<StepId> {
        let mut waiting = running.to_vec();
        if let Some(id) = holder.filter(|id| !waiting.contains(id)) {
            waiting.push(id);
        }
        let statistics: Vec<(StepId, u64, f64)> = waiting
            .iter()
            .filter_map(|id| {
                let block = self.blocks.get(id)?;
                let time = now.saturating_sub(block.since);
                // An update in the same millisecond must not divide by zero.
                Some((*id, time, f64::from(block.count) / (time.max(1) as f64)))
            })
            .collect();
        let silent = |(id, time, _): &&(StepId, u64, f64)| *time > MAX_SILENCE_MS && Some(*id) != holder;
        let busiest = statistics
            .iter()
            .filter(|(id, ..)| running.contains(id))
            .max_by(|a, b| a.2.total_cmp(&b.2).then(b.0.cmp(&a.0)));
        if is_free {
            // A free output goes to a step that was silent too long, else to the one with the most updates.
            return statistics.iter().find(silent).or(busiest).map(|(id, ..)| *id);
        }
        if let Some((id, ..)) = statistics.iter().find(silent) {
            return Some(*id);
        }
        let total: f64 = statistics.iter().map(|(.., speed)| speed).sum();
        let (_, elapsed, speed) = statistics.iter().find(|(id, ..)| Some(*id) == holder)?;
        // The more of all updates the current step has, the longer it keeps the output.
        let patience = ANTI_FLICKER_MS / (1.0 - speed / total.max(f64::MIN_POSITIVE)).max(f64::MIN_POSITIVE);
        (patience < *elapsed as f64).then(|| busiest.map(|(id, ..)| *id)).flatten()
    }

    /// Writes everything that is pending for a step.
    fn write_step(&mut self, id: StepId, trace: &mut BuildTrace) {
        self.updated.remove(&id);
        let Some(step) = trace.steps.get_mut(&id) else { return };
        if self.current != Some(id) {
            self.leave_block();
            self.write_heading(id, &step.name);
        }
        let block = self.blocks.entry(id).or_default();
        let number = block.number;
        let mut open = false;
        for status in &mut step.statuses {
            if std::mem::take(&mut status.unshown) {
                open |= write_status(status, number, &mut self.out);
            }
        }
        block.write(&mut self.out);
        self.current = Some(id);
        // A status that is not done keeps the block open.
        if step.is_over() && !open {
            block.finish(&mut self.out);
            self.out.extend_from_slice(end_line(step, number).as_bytes());
            self.current = None;
        }
    }

    fn leave_block(&mut self) {
        let Some(block) = self.current.and_then(|id| self.blocks.get_mut(&id)) else { return };
        if block.open && !block.lines.is_empty() {
            self.out.push(b'\n');
        }
        // When the step goes on, its unfinished line is written again from the start.
        (block.written, block.count) = (0, 0);
        self.out.extend_from_slice(format!("#{} ...\n", block.number).as_bytes());
    }

    fn write_heading(&mut self, id: StepId, name: &str) {
        if std::mem::replace(&mut self.heading_written, true) {
            self.out.push(b'\n');
        } else if !self.heading.is_empty() {
            self.out.extend_from_slice(format!("#0 {}\n\n", self.heading).as_bytes());
        }
        let block = self.blocks.entry(id).or_default();
        if block.number == 0 {
            self.last_number += 1;
            block.number = self.last_number;
        }
        self.out.extend_from_slice(format!("#{} {name}\n", block.number).as_bytes());
    }
}

impl StepBlock {
    /// Cuts output into lines and prefixes each with `stamp`.
    fn append_output(&mut self, data: &[u8], stamp: &str) {
        for piece in data.split_inclusive(|byte| *byte == b'\n') {
            let (line, ends) = match piece.strip_suffix(b"\n") {
                Some(line) => (line, true),
                None => (piece, false),
            };
            match self.lines.last_mut().filter(|_| self.open) {
                Some(open) => open.extend_from_slice(line),
                None => self.lines.push([stamp.as_bytes(), b" ", line].concat()),
            }
            self.open = !ends;
        }
    }

    /// Writes the pending lines, and as much as there is of one without an end.
    fn write(&mut self, out: &mut Vec<u8>) {
        let count = self.lines.len();
        for (at, line) in self.lines.iter().enumerate() {
            let written = if at == 0 { self.written } else { 0 };
            if written == 0 {
                out.extend_from_slice(format!("#{} ", self.number).as_bytes());
            }
            out.extend_from_slice(line.get(written..).unwrap_or_default());
            if at + 1 < count || !self.open {
                out.push(b'\n');
            }
        }
        let open = self.lines.pop().filter(|_| self.open);
        self.written = open.as_ref().map_or(0, Vec::len);
        self.lines = open.into_iter().collect();
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        if self.open && !self.lines.is_empty() {
            out.push(b'\n');
        }
        self.lines.clear();
        (self.open, self.written, self.count) = (false, 0, 0);
    }
}

/// Writes a status if enough of it has changed. Returns whether it was written and is not done.
fn write_status(status: &mut StepStatus, number: u32, out: &mut Vec<u8>) -> bool {
    // Layers report many times a second, and a line for each would flood the log of a CI job.
    if let (Some((current, at)), false) = (status.last_shown, status.done) {
        let progress = match status.total {
            0 => 0.0,
            total => status.current.saturating_sub(current) as f64 / total as f64,
        };
        if progress < STATUS_MIN_SHARE && status.updated.saturating_sub(at) < STATUS_INTERVAL_MS {
            return false;
        }
    }
    status.last_shown = Some((status.current, status.updated));
    let amounts = match progress_bytes(status) {
        none if none.is_empty() => none,
        some => format!(" {some}"),
    };
    let seconds = status.updated.saturating_sub(status.began) as f64 / 1000.0;
    let time = if seconds > 0.01 { format!(" {seconds:.1}s") } else { String::new() };
    let done = if status.done { " done" } else { "" };
    out.extend_from_slice(format!("#{number} {}{amounts}{time}{done}\n", status.name).as_bytes());
    !status.done
}

fn end_line(step: &TracedStep, number: u32) -> String {
    match &step.error {
        Some(_) if step.is_cancelled() => format!("#{number} CANCELED\n"),
        Some(error) => format!("#{number} ERROR: {error}\n"),
        None if step.cached => format!("#{number} CACHED\n"),
        None => format!("#{number} DONE {:.1}s\n", step.seconds(0)),
    }
}
