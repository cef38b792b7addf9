//! What a build tells whoever watches it. What is shown of it, and how, is decided by the watcher.

use serde::{Deserialize, Serialize};

/// Which of a build's steps an event is about: counted from 0 in the order in which they became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StepId(pub u32);

/// One event. Times are milliseconds since the build began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A step is known and may run later: `[build 2/4] RUN make`, `[internal] load build context`.
    Step {
        /// Its number.
        id: StepId,
        /// What is shown for it, whole.
        name: String,
        /// What it waits for.
        inputs: Vec<StepId>,
    },
    /// It runs.
    Started {
        /// Which.
        id: StepId,
        /// When.
        at: u64,
    },
    /// It wrote something.
    Log {
        /// Which.
        id: StepId,
        /// 1 for standard output, 2 for standard error.
        stream: u8,
        /// The bytes, in any portions.
        data: Vec<u8>,
        /// When.
        at: u64,
    },
    /// How far a part of it is, such as a layer being fetched: `sha256:… 3 MB / 10 MB`.
    Status {
        /// Which.
        id: StepId,
        /// The part's name.
        name: String,
        /// Bytes done.
        current: u64,
        /// Bytes in all; 0 where that is not known.
        total: u64,
        /// Whether it is finished.
        done: bool,
        /// When.
        at: u64,
    },
    /// It ended.
    Ended {
        /// Which.
        id: StepId,
        /// It was taken from the cache.
        cached: bool,
        /// Why it failed, or was cancelled.
        error: Option<String>,
        /// When.
        at: u64,
    },
    /// A rule of `--check` that the Dockerfile breaks.
    Warning(Warning),
    /// The lines of the Dockerfile around what failed, as BuildKit draws them, with a newline at the end.
    Excerpt(String),
}

/// A rule that a Dockerfile breaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// Such as `StageNameCasing`.
    pub rule: String,
    /// What the rule is about.
    pub description: String,
    /// Where to read about it.
    pub url: String,
    /// What is wrong here.
    pub message: String,
    /// First and last line, counted from 1.
    pub lines: (u32, u32),
}

/// Somebody who watches a build. Called from the thread that directs it, never blocking it for long.
pub trait Watcher {
    /// Something happened.
    fn event(&mut self, event: Event);
    /// Called at least every 100 ms while something runs, so that times and spinners move.
    fn tick(&mut self) {}
}
