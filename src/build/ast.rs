//! The syntax tree of a Dockerfile. Words are unexpanded: quotes, escapes and variables are as written.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

/// Line numbers of the file, from 1.
pub(crate) type LineRange = RangeInclusive<u32>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dockerfile {
    pub directives: ParserDirectives,
    /// Global `ARG`s, before the first `FROM`.
    pub arguments: Vec<Statement>,
    /// At least one.
    pub stages: Vec<Stage>,
    /// The last lines of instructions that contain an empty line, which BuildKit deprecates.
    pub(crate) empty_continuations: Vec<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParserDirectives {
    /// `# syntax=`, with its line.
    pub syntax: Option<(String, u32)>,
    /// A backslash or a backtick.
    pub escape: char,
    /// `# check=`, with its line.
    pub check: Option<(String, u32)>,
}

/// `FROM` and the instructions after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// The image or stage in `FROM`.
    pub base: String,
    /// The name after `AS`, in lower case.
    pub name: Option<String>,
    /// The name as written.
    pub(crate) written_name: Option<String>,
    pub platform: Option<String>,
    pub statements: Vec<Statement>,
    /// The whole `FROM` instruction, continuation lines joined by a space.
    pub text: String,
    /// The lines of `FROM`.
    pub lines: LineRange,
    /// The description for `--call outline`, from a comment `# NAME …` directly above.
    pub comment: Option<String>,
    /// The comment lines directly above, without `#`.
    pub(crate) comments: Vec<String>,
    /// `FROM` in the case as written, for the casing checks.
    pub keyword: String,
    /// `AS` in the case as written.
    pub(crate) as_keyword: Option<String>,
}

/// An instruction with its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    pub instruction: Instruction,
    /// In the case as written, for the casing checks.
    pub keyword: String,
    /// The whole instruction, continuation lines joined as BuildKit shows them.
    pub text: String,
    pub lines: LineRange,
    /// The comment lines directly above, without `#`.
    pub(crate) comments: Vec<String>,
}

impl Statement {
    /// Whether it may refer to a variable.
    pub(crate) fn has_variables(&self) -> bool {
        let in_here_doc = match &self.instruction {
            Instruction::Copy(copy) | Instruction::Add(copy) => {
                copy.here_docs.iter().any(|doc| doc.content.contains('$'))
            }
            _ => false,
        };
        in_here_doc || self.text.contains('$')
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HereDoc {
    /// The end marker; the file name in a `COPY`.
    pub name: String,
    /// With leading tabs removed for `<<-`.
    pub content: String,
    /// Whether variables are expanded: the end marker was not quoted.
    pub expand: bool,
    /// The file descriptor (`3<<EOF`); 0 by default.
    pub descriptor: u32,
}

/// A command in shell or exec form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandLine {
    /// A line for the stage's shell.
    Shell {
        /// Continuation lines joined.
        line: String,
        /// In the order in which they start on the line.
        here_docs: Vec<HereDoc>,
    },
    /// argv, never expanded.
    Exec(Vec<String>),
}

/// `NAME=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameValue {
    pub name: String,
    /// With its quotes.
    pub value: String,
    /// In the legacy form `NAME value`.
    pub legacy: bool,
}

/// `ARG NAME[=value]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgDeclaration {
    pub name: String,
    /// The default.
    pub value: Option<String>,
}

/// `COPY` or `ADD`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopyInstruction {
    /// Paths, patterns and URLs, in order.
    pub sources: Vec<String>,
    /// Inline files; their end marker is the file name.
    pub here_docs: Vec<HereDoc>,
    /// The destination.
    pub target: String,
    pub from: Option<String>,
    pub flags: CopyFlags,
    /// `ADD` only.
    pub checksum: Option<String>,
    /// `ADD` only.
    pub keep_git_dir: bool,
    /// `ADD` only.
    pub unpack: Option<bool>,
}

/// The flags that decide how files are copied. In their serialised form they are part of cache keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyFlags {
    /// `user[:group]`.
    pub chown: Option<String>,
    pub chmod: Option<String>,
    /// Copy onto an empty tree, independent of the layers below.
    pub link: bool,
    /// Keep the directories of the source path.
    pub parents: bool,
    pub exclude: Vec<String>,
}

/// `RUN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunInstruction {
    pub command: CommandLine,
    /// `--mount`, one list of `key=value` pairs each; `None` for a key without a value.
    pub mounts: Vec<Vec<(String, Option<String>)>>,
    pub network: Option<String>,
    pub security: Option<String>,
    pub devices: Vec<String>,
}

/// `HEALTHCHECK`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheckInstruction {
    /// `None` for `HEALTHCHECK NONE`.
    pub command: Option<CommandLine>,
    /// As written, like the following.
    pub interval: Option<String>,
    pub timeout: Option<String>,
    pub start_period: Option<String>,
    pub start_interval: Option<String>,
    pub retries: Option<String>,
}

/// An instruction; only `ARG` can stand before the first `FROM`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instruction {
    Run(RunInstruction),
    Copy(CopyInstruction),
    Add(CopyInstruction),
    Env(Vec<NameValue>),
    Arg(Vec<ArgDeclaration>),
    Label(Vec<NameValue>),
    Workdir(String),
    User(String),
    Expose(Vec<String>),
    Volume(Vec<String>),
    Cmd(CommandLine),
    Entrypoint(CommandLine),
    Shell(Vec<String>),
    StopSignal(String),
    HealthCheck(HealthCheckInstruction),
    /// The trigger instruction as written.
    OnBuild(String),
    Maintainer(String),
}
