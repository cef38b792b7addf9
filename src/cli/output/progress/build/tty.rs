//! The live view on a terminal, modelled on BuildKit's: a heading, a line for each step with its time at the
//! right, the statuses of a step below it, and the last lines that running steps write.
//!
//! A frame is one write that hides the cursor, draws, and shows the cursor again at the end of what is drawn.
//! Whatever kills the program between two frames leaves the terminal as it was.

use std::collections::BTreeMap;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::colours::ProgressColours;
use super::tail::{OutputTail, TAIL_LINES};
use super::trace::{BuildTrace, StepStatus, TracedStep, progress_bytes};
use dhow_build::progress::{BuildEvent, StepId};

/// Columns left free at the right of the output of steps.
const OUTPUT_PADDING: usize = 10;
/// The least width of a step's name; narrower terminals show no steps.
const MIN_NAME_WIDTH: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TerminalSize {
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// A line of the display, with the output of its step below it.
struct DisplayJob {
    name: String,
    amounts: String,
    seconds: f64,
    over: bool,
    colour: Option<String>,
    output: Vec<String>,
}

pub(crate) struct TtyProgress {
    colours: ProgressColours,
    /// The right end of the heading.
    builder: String,
    tails: BTreeMap<StepId, OutputTail>,
    /// The widths of the lines of the last frame.
    drawn_widths: Vec<usize>,
}

impl TtyProgress {
    pub(crate) fn new(colours: ProgressColours, builder: String) -> Self {
        Self { colours, builder, tails: BTreeMap::new(), drawn_widths: Vec::new() }
    }

    /// Collects the output of steps.
    pub(crate) fn event(&mut self, event: &BuildEvent) {
        if let BuildEvent::Log { id, data, .. } = event {
            self.tails.entry(*id).or_default().write(data);
        }
    }

    /// The bytes that replace the last frame. `last` shows every step, even if the terminal has too few rows.
    pub(crate) fn frame(&mut self, trace: &BuildTrace, size: TerminalSize, last: bool) -> Vec<u8> {
        let mut lines = vec![self.heading(trace, size.width, last)];
        let mut jobs = self.jobs(trace);
        self.assign_output_rows(&mut jobs, trace, size);
        let mut visible: Vec<&DisplayJob> = jobs.iter().map(|(_, job)| job).collect();
        if !last {
            let output: usize = visible.iter().map(|job| job.output.len()).sum();
            // One row for the heading and one for the cursor.
            visible = fit_rows(visible, size.height.saturating_sub(2 + output));
        }
        for job in visible {
            self.draw(job, size.width, &mut lines);
        }
        let up = self.rows_above(size.width);
        // Hide the cursor, go to the top of the last frame, clear from there to the end of the screen.
        let mut text = String::from("\x1b[?25l\r");
        if up > 0 {
            text += &format!("\x1b[{up}A");
        }
        text += "\x1b[J";
        self.drawn_widths = lines.iter().map(|(plain, _)| plain.width()).collect();
        for (_, line) in lines {
            text += &line;
            text.push('\n');
        }
        text += "\x1b[?25h";
        text.into_bytes()
    }

    /// Rows between the cursor and the top of the last frame. A terminal made narrower since then has wrapped
    /// its lines.
    fn rows_above(&self, width: usize) -> usize {
        self.drawn_widths.iter().map(|used| used.div_ceil(width.max(1)).max(1)).sum()
    }

    fn heading(&self, trace: &BuildTrace, width: usize, last: bool) -> (String, String) {
        let over = trace.steps.values().filter(|step| step.is_over()).count();
        let total = trace.steps.len();
        let finished = if last && over > 0 && over == total { "FINISHED" } else { "" };
        let left = format!("[+] Building {:.1}s ({over}/{total}) {finished}", trace.now as f64 / 1000.0);
        let line = truncate(&justify(left.trim_end(), &self.builder, width.saturating_sub(1)), width);
        // The heading has no colour, so both are the same.
        (line.clone(), line)
    }

    /// A line for each step that has started, and for each of its statuses.
    fn jobs(&self, trace: &BuildTrace) -> Vec<(StepId, DisplayJob)> {
        let mut jobs = Vec::new();
        for id in &trace.start_order {
            let Some(step) = trace.steps.get(id) else { continue };
            jobs.push((*id, self.step_job(step, trace.now)));
            jobs.extend(step.statuses.iter().map(|status| (*id, self.status_job(status, step, trace.now))));
        }
        jobs
    }

    fn step_job(&self, step: &TracedStep, now: u64) -> DisplayJob {
        let (label, colour) = match step {
            step if step.is_cancelled() => ("CANCELED ", &self.colours.cancel),
            step if step.has_failed() => ("ERROR ", &self.colours.error),
            step if step.cached => ("CACHED ", &self.colours.run),
            _ => ("", &self.colours.run),
        };
        DisplayJob {
            name: format!("{label}{}", step.name),
            amounts: String::new(),
            seconds: step.seconds(now),
            over: step.is_over(),
            colour: step.is_over().then(|| colour.clone()),
            output: Vec::new(),
        }
    }

    fn status_job(&self, status: &StepStatus, step: &TracedStep, now: u64) -> DisplayJob {
        let end = if status.done { status.updated } else { step.ended.unwrap_or(now) };
        let over = status.done || step.is_over();
        DisplayJob {
            name: format!("=> {}", status.name),
            amounts: progress_bytes(status),
            seconds: end.saturating_sub(status.began) as f64 / 1000.0,
            over,
            colour: over.then(|| self.colours.run.clone()),
            output: Vec::new(),
        }
    }

    /// Gives running steps room for their output while there is some, in the order in which they started.
    fn assign_output_rows(&self, jobs: &mut [(StepId, DisplayJob)], trace: &BuildTrace, size: TerminalSize) {
        let running = jobs.iter().filter(|(_, job)| !job.over).count();
        let mut free_rows = size.height.saturating_sub(2 + running);
        let mut served_steps = Vec::new();
        for (id, job) in jobs.iter_mut().filter(|(_, job)| !job.over) {
            let is_running = trace.steps.get(id).is_some_and(|step| !step.is_over());
            let Some(tail) = self.tails.get(id).filter(|_| is_running && !served_steps.contains(id)) else {
                continue;
            };
            // The statuses of a step share its output.
            served_steps.push(*id);
            if free_rows <= TAIL_LINES + 3 {
                break;
            }
            job.output = tail.rows(size.width.saturating_sub(OUTPUT_PADDING).max(1));
            free_rows -= TAIL_LINES + 3;
        }
    }

    fn draw(&self, job: &DisplayJob, width: usize, lines: &mut Vec<(String, String)>) {
        let seconds = if job.seconds < 0.05 { 0.0 } else { job.seconds };
        let timer = format!(" {seconds:.1}s");
        let prefix = " => ";
        let mut name_width = width.saturating_sub(prefix.len() + timer.len() + 2);
        if name_width < MIN_NAME_WIDTH {
            return;
        }
        let mut status = String::new();
        if !job.amounts.is_empty() && name_width > job.amounts.len() + MIN_NAME_WIDTH {
            status = format!(" {}", job.amounts);
            name_width -= status.len();
        }
        let name = format!("{prefix}{}{status}", truncate(&job.name, name_width));
        let line = justify(&name, &timer, width.saturating_sub(1));
        let coloured = coloured(&line, job.colour.as_deref());
        lines.push((line, coloured));
        for row in &job.output {
            let line = truncate(&format!(" => => # {row}"), width.saturating_sub(1));
            let faint = self::coloured(&line, Some(&self.colours.faint));
            lines.push((line, faint));
        }
    }
}

/// As many lines as there are rows for: those of running steps, then the latest of the finished ones.
fn fit_rows(jobs: Vec<&DisplayJob>, rows: usize) -> Vec<&DisplayJob> {
    if jobs.len() <= rows {
        return jobs;
    }
    let hidden_count = jobs.len() - rows;
    let running = jobs.iter().filter(|job| !job.over).count();
    // Finished steps get the rows that running ones leave; the latest of them are kept.
    let mut drop_over = (jobs.len() - running).min(hidden_count);
    let mut drop_running = hidden_count - drop_over;
    let keep = |job: &&DisplayJob| {
        let count = if job.over { &mut drop_over } else { &mut drop_running };
        let dropped = *count > 0;
        *count = count.saturating_sub(1);
        !dropped
    };
    jobs.into_iter().filter(keep).collect()
}

fn coloured(line: &str, colour: Option<&str>) -> String {
    match colour {
        Some(colour) if !colour.is_empty() => format!("{colour}{line}\x1b[0m"),
        _ => line.to_owned(),
    }
}

/// `left` and `right` at the two ends of `width` columns.
fn justify(left: &str, right: &str, width: usize) -> String {
    let used = left.width() + right.width();
    format!("{left}{}{right}", " ".repeat(width.saturating_sub(used)))
}

/// Cuts `text` to `width` columns.
fn truncate(text: &str, width: usize) -> String {
    let mut used = 0;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used <= width
    };
    text.chars().take_while(fits).collect()
}
