//! A build plan: what a build will do for one platform, everything expanded and resolved.
//!
//! The counterpart of BuildKit's LLB. An [`Op`] is what a vertex does, an [`InputTree`] an edge to its files.
//! The ops are serialised into cache keys, so their field and variant names are part of the cache format.

use serde::{Deserialize, Serialize};

use crate::ast::{CopyFlags, LineRange};
use crate::run_command::RunArgv;
use crate::run_mount::RunMountSpec;
use dhow_model::image::RunConfig;
use dhow_model::platform::Platform;

/// A file tree that a step reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum InputTree {
    /// A build context, by name; the main one has the empty name.
    Context(String),
    /// The result of a stage, by its index in the Dockerfile.
    Stage(usize),
    /// An image, by its index in [`BuildPlan::images`].
    Image(usize),
    /// The empty tree.
    Scratch,
}

/// An image that is a base or a copy source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageInput {
    /// As written in the Dockerfile, expanded.
    pub name: String,
    pub platform: Platform,
    /// The stage based on it, if any: pulling it is shown as that stage's first step.
    pub stage: Option<usize>,
    /// Where it is named.
    pub lines: LineRange,
}

/// The plan for one platform.
#[derive(Clone, Debug)]
pub struct BuildPlan {
    pub platform: Platform,
    /// The index of the target stage.
    pub target: usize,
    pub images: Vec<ImageInput>,
    /// In Dockerfile order; `None` for stages that the target does not need.
    pub stages: Vec<Option<StagePlan>>,
}

impl BuildPlan {
    /// The stages that are needed, with their indices.
    pub fn needed(&self) -> impl Iterator<Item = (usize, &StagePlan)> {
        self.stages.iter().enumerate().filter_map(|(index, stage)| Some((index, stage.as_ref()?)))
    }
}

#[derive(Clone, Debug)]
pub struct StagePlan {
    /// `stage-N` without `AS`; empty if it is the only stage.
    pub name: String,
    pub base: InputTree,
    pub platform: Platform,
    pub steps: Vec<PlanStep>,
    /// The config of an image made from this stage.
    pub config: StageConfig,
    /// Since the base image, in order.
    pub history: Vec<HistoryLine>,
    /// Ignore cached results.
    pub no_cache: bool,
    /// The lines of `FROM`.
    pub lines: LineRange,
    /// The label of `FROM`, if the base is an image.
    pub from_shown: Option<String>,
}

/// What a stage contributes to the image config.
#[derive(Clone, Debug, Default)]
pub struct StageConfig {
    pub author: String,
    pub run: RunConfig,
}

/// A history entry of the resulting image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryLine {
    /// In BuildKit's wording.
    pub created_by: String,
    /// The step that may create its layer: stage index and step index.
    pub step: Option<(usize, usize)>,
}

/// A step that may change files.
#[derive(Clone, Debug)]
pub struct PlanStep {
    pub op: Op,
    /// The complete label: `[build 2/4] RUN make`.
    pub shown: String,
    pub lines: LineRange,
}

/// The operation of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Run a command.
    Run(RunOp),
    /// Copy files.
    Copy(CopyOp),
    /// Create a directory unless it exists.
    Workdir(WorkdirOp),
}

/// `WORKDIR`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkdirOp {
    /// Absolute.
    pub path: String,
    /// Owner of directories it creates; empty for root.
    pub user: String,
}

/// A here-document that becomes a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InlineFile {
    pub name: String,
    pub content: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CopySource {
    /// A path or pattern, relative to the root of [`CopyOp::from`].
    Local(String),
    /// The URL of a file or a git repository.
    Remote(String),
}

/// `COPY` and `ADD`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyOp {
    pub add: bool,
    /// The tree that local sources are in.
    pub from: InputTree,
    /// In order.
    pub sources: Vec<CopySource>,
    pub here_docs: Vec<InlineFile>,
    /// Destination: absolute, with a trailing slash if it is a directory.
    pub target: String,
    #[serde(flatten)]
    pub flags: CopyFlags,
    pub checksum: Option<String>,
    pub keep_git_dir: bool,
    pub unpack: Option<bool>,
}

impl CopyOp {
    /// Paths and patterns, without URLs.
    pub fn local(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().filter_map(|source| match source {
            CopySource::Local(path) => Some(path.as_str()),
            CopySource::Remote(_) => None,
        })
    }

    /// URLs only.
    pub fn remote(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().filter_map(|source| match source {
            CopySource::Remote(address) => Some(address.as_str()),
            CopySource::Local(_) => None,
        })
    }

    /// The op without its source tree, for cache keys: the key has the digest of the files instead.
    #[must_use]
    pub(crate) fn without_source(&self) -> Self {
        Self { from: InputTree::Scratch, ..self.clone() }
    }

    /// Whether `--chown` has a name, which has to be looked up in the layers below.
    pub fn names_owner(&self) -> bool {
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        self.flags.chown.as_deref().is_some_and(|owner| !owner.split(':').all(digits))
    }
}

/// The network mode of a `RUN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunNetwork {
    /// As the build was started.
    Default,
    None,
    Host,
}

/// `RUN`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunOp {
    /// argv, and scripts from here-documents.
    pub command: RunArgv,
    pub env: Vec<String>,
    /// Proxy variables: visible to the command, not part of the cache key.
    pub hidden_env: Vec<String>,
    /// `user[:group]`; empty for root.
    pub user: String,
    /// Absolute.
    pub workdir: String,
    /// `--mount`.
    pub mounts: Vec<RunMount>,
    /// `--network`.
    pub network: RunNetwork,
    /// `--security=insecure`.
    pub insecure: bool,
    /// `--device`.
    pub devices: Vec<String>,
}

/// A `--mount` and the tree that its files come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunMount {
    pub mount: RunMountSpec,
    /// [`InputTree::Scratch`] for mounts without files.
    pub from: InputTree,
}
