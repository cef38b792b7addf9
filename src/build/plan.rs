//! What a build will do, for one platform: stages with their steps, everything in them expanded and resolved.

use serde::{Deserialize, Serialize};

use crate::build::dockerfile::ast::Lines;
use crate::build::run_command::RunCommand;
use crate::build::run_mount::Mount;
use crate::model::image::RunConfig;
use crate::model::platform::Platform;

/// Files that a step reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Tree {
    /// A context: the main one has the empty name.
    Context(String),
    /// What a stage ends with, by its place in the Dockerfile.
    Stage(usize),
    /// An image, by its place in [`Plan::images`].
    Image(usize),
    /// Nothing at all.
    Scratch,
}

/// An image that a build stands on or copies from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageUse {
    /// Its name as written, expanded.
    pub name: String,
    /// For this platform.
    pub platform: Platform,
    /// The stage that stands on it, if one does: its first step is shown as that stage's.
    pub stage: Option<usize>,
    /// Where it is asked for.
    pub lines: Lines,
}

/// The stages of one platform that the target needs.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is built for.
    pub platform: Platform,
    /// Which stage is the result.
    pub target: usize,
    /// The images needed.
    pub images: Vec<ImageUse>,
    /// In the order of the Dockerfile; `None` for those that are not needed.
    pub stages: Vec<Option<StagePlan>>,
}

impl Plan {
    /// The stages that are needed, with their places.
    pub fn needed(&self) -> impl Iterator<Item = (usize, &StagePlan)> {
        self.stages.iter().enumerate().filter_map(|(index, stage)| Some((index, stage.as_ref()?)))
    }
}

/// One stage.
#[derive(Clone, Debug)]
pub struct StagePlan {
    /// Its name; `stage-N` for one without, empty where it is the only one.
    pub name: String,
    /// What it begins with.
    pub base: Tree,
    /// What it is for.
    pub platform: Platform,
    /// What it does, in order.
    pub steps: Vec<Step>,
    /// The configuration of an image made of it.
    pub config: StageConfig,
    /// What was done since the base image, in order.
    pub history: Vec<Line>,
    /// Whether its steps are done again whatever the cache has.
    pub no_cache: bool,
    /// Where `FROM` stands.
    pub lines: Lines,
    /// How `FROM` is shown, where an image is the base.
    pub from_shown: Option<String>,
}

/// What a stage says of the image that it would make.
#[derive(Clone, Debug, Default)]
pub struct StageConfig {
    /// Who made it.
    pub author: String,
    /// What to run and how.
    pub run: RunConfig,
}

/// A line of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What did it, as BuildKit writes it.
    pub created_by: String,
    /// The step that may have made a layer: stage and place in it.
    pub step: Option<(usize, usize)>,
}

/// Something that is done to files.
#[derive(Clone, Debug)]
pub struct Step {
    /// What.
    pub op: Op,
    /// What is shown for it, whole.
    pub shown: String,
    /// Where it stands.
    pub lines: Lines,
    /// Whether it comes from a trigger of the base image, which has no lines of its own.
    pub triggered: bool,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// A program runs.
    Run(RunOp),
    /// Files are copied.
    Copy(CopyOp),
    /// A directory is made, unless it is there.
    Workdir(WorkdirOp),
}

/// `WORKDIR`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkdirOp {
    /// Absolute.
    pub path: String,
    /// The stage's user, who gets what is made; empty for root.
    pub user: String,
}

/// A file that stands in the Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InlineFile {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub content: String,
}

/// Something that is copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CopySource {
    /// A path or a pattern, relative to the root of [`CopyOp::from`].
    Local(String),
    /// The address of a file or of a git repository.
    Remote(String),
}

/// `COPY` and `ADD`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyOp {
    /// `ADD`.
    pub add: bool,
    /// Where local sources lie.
    pub from: Tree,
    /// What is copied, in order.
    pub sources: Vec<CopySource>,
    /// Files of the Dockerfile itself.
    pub here_docs: Vec<InlineFile>,
    /// Where to: absolute, with a slash at the end where it is a directory.
    pub target: String,
    /// `--chown`.
    pub chown: Option<String>,
    /// `--chmod`.
    pub chmod: Option<String>,
    /// `--link`.
    pub link: bool,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude`.
    pub exclude: Vec<String>,
    /// `--checksum`.
    pub checksum: Option<String>,
    /// `--keep-git-dir`.
    pub keep_git_dir: bool,
    /// `--unpack`.
    pub unpack: Option<bool>,
}

impl CopyOp {
    /// The paths and patterns.
    pub fn local(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().filter_map(|source| match source {
            CopySource::Local(path) => Some(path.as_str()),
            CopySource::Remote(_) => None,
        })
    }

    /// The addresses.
    pub fn remote(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().filter_map(|source| match source {
            CopySource::Remote(address) => Some(address.as_str()),
            CopySource::Local(_) => None,
        })
    }

    /// The same, without which stage or context it is that has the files: their content says more.
    #[must_use]
    pub fn without_source(&self) -> Self {
        Self { from: Tree::Scratch, ..self.clone() }
    }

    /// Whether the owner is a name, which the files below give a number.
    pub fn names_owner(&self) -> bool {
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        self.chown.as_deref().is_some_and(|owner| !owner.split(':').all(digits))
    }
}

/// The network of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunNetwork {
    /// As the build was asked for.
    Default,
    /// None.
    None,
    /// The host's.
    Host,
}

/// `RUN`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunOp {
    /// The program, its arguments, and scripts that it needs.
    pub command: RunCommand,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Proxies, which the program gets too and the cache does not look at.
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

/// `--mount`, and whose files it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunMount {
    /// The mount.
    pub mount: Mount,
    /// Where its files come from.
    pub from: Tree,
}
