//! The progress events of a build. The observer decides what to show, and how.

use serde::{Deserialize, Serialize};

/// Identifies a step in events: numbered from 0 in the order in which steps became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StepId(pub u32);

/// A progress event (BuildKit: `Vertex`, `VertexStatus`, `VertexLog`). Times are milliseconds since the start
/// of the build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BuildEvent {
    /// A step is known and may run: `[build 2/4] RUN make`, `[internal] load build context`.
    Step {
        id: StepId,
        /// The complete label.
        name: String,
        /// The steps it depends on.
        inputs: Vec<StepId>,
    },
    Started {
        id: StepId,
        at: u64,
    },
    Log {
        id: StepId,
        /// 1 is stdout, 2 is stderr.
        stream: u8,
        /// Not cut at lines or characters.
        data: Vec<u8>,
        at: u64,
    },
    /// Progress of a part of a step, such as a layer being pulled: `sha256:… 3 MB / 10 MB`.
    Status {
        id: StepId,
        /// The name of the part.
        name: String,
        /// Bytes so far.
        current: u64,
        /// Bytes in total; 0 if unknown.
        total: u64,
        done: bool,
        at: u64,
    },
    Ended {
        id: StepId,
        cached: bool,
        /// `None` on success; also set if it was cancelled.
        error: Option<String>,
        at: u64,
    },
    /// A violation of a build check.
    Warning(CheckWarning),
    /// The Dockerfile lines around a failure, drawn as BuildKit does, ending in a newline.
    Excerpt(String),
}

/// A violation of a build check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckWarning {
    /// `StageNameCasing` and the like.
    pub rule: String,
    /// What the rule is about.
    pub description: String,
    /// Its documentation.
    pub url: String,
    /// What is wrong in this file.
    pub message: String,
    /// First and last line, counted from 1.
    pub lines: (u32, u32),
}

/// Receives the events of a build, on the thread that runs the solver: it must not block for long.
pub trait BuildObserver {
    fn event(&mut self, event: BuildEvent);
    /// Called at least every 100 ms while something runs, for timers and spinners.
    fn tick(&mut self) {}
}
