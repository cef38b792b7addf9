//! What a Dockerfile says: instructions with their flags and words, not yet expanded.

use std::ops::RangeInclusive;

/// Lines of the file, counted from 1.
pub type Lines = RangeInclusive<u32>;

/// A whole file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dockerfile {
    /// The directives at its head.
    pub directives: Directives,
    /// `ARG` before the first `FROM`, in order.
    pub arguments: Vec<Statement>,
    /// The stages, at least one.
    pub stages: Vec<Stage>,
    /// Lines at which an instruction ends that has an empty line inside, which a later version may refuse.
    pub empty_continuations: Vec<u32>,
}

/// Parser directives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directives {
    /// The frontend asked for, with its line.
    pub syntax: Option<(String, u32)>,
    /// The escape character, `\` or a backtick.
    pub escape: char,
    /// The text behind `check=`, with its line.
    pub check: Option<(String, u32)>,
}

/// `FROM` and what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// The image or stage that it begins with, as written.
    pub base: String,
    /// Its name in lower case, from `AS`.
    pub name: Option<String>,
    /// Its name as written.
    pub written_name: Option<String>,
    /// `--platform`, as written.
    pub platform: Option<String>,
    /// The instructions behind `FROM`.
    pub statements: Vec<Statement>,
    /// The whole `FROM` instruction, continuation lines joined by a space.
    pub text: String,
    /// Where `FROM` stands.
    pub lines: Lines,
    /// What the comment directly above says of the stage, which `--call outline` shows: `# NAME …`.
    pub comment: Option<String>,
    /// The comment lines directly above, without `#`.
    pub comments: Vec<String>,
    /// `FROM` as written.
    pub keyword: String,
    /// `AS` as written.
    pub as_keyword: Option<String>,
}

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// What it is.
    pub instruction: Instruction,
    /// The keyword as written, for the check of casing.
    pub keyword: String,
    /// The whole instruction, continuation lines joined as BuildKit shows them.
    pub text: String,
    /// Where it stands.
    pub lines: Lines,
    /// The comment lines directly above, without `#`.
    pub comments: Vec<String>,
}

/// A here-document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HereDoc {
    /// The word that ends it.
    pub name: String,
    /// The text, tabs already removed where `<<-` asked.
    pub content: String,
    /// Whether variables are expanded in it: the word was not quoted.
    pub expand: bool,
    /// Which descriptor it was attached to (`3<<EOF`); 0 by itself.
    pub descriptor: u32,
}

/// A command in its two forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A line for the stage's shell, with its here-documents.
    Shell {
        /// The line as written, continuations joined.
        line: String,
        /// In the order in which they stand in the line.
        here_docs: Vec<HereDoc>,
    },
    /// A list of words that are not expanded.
    Exec(Vec<String>),
}

/// `NAME=value`, unexpanded, and whether the old form `NAME value` was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The name.
    pub name: String,
    /// The value with its quotes.
    pub value: String,
    /// Written without `=`.
    pub legacy: bool,
}

/// `ARG NAME[=value]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// The name.
    pub name: String,
    /// The default, unexpanded.
    pub value: Option<String>,
}

/// What is copied by `COPY` and `ADD`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copy {
    /// Paths, patterns and URLs, unexpanded, in order.
    pub sources: Vec<String>,
    /// Files written in the Dockerfile itself, whose destination names are `HereDoc::name`.
    pub here_docs: Vec<HereDoc>,
    /// Where to, unexpanded.
    pub target: String,
    /// `--from`.
    pub from: Option<String>,
    /// `--chown`.
    pub chown: Option<String>,
    /// `--chmod`.
    pub chmod: Option<String>,
    /// `--link`.
    pub link: bool,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude`, each.
    pub exclude: Vec<String>,
    /// `--checksum`, of `ADD`.
    pub checksum: Option<String>,
    /// `--keep-git-dir`, of `ADD`.
    pub keep_git_dir: bool,
    /// `--unpack`, of `ADD`.
    pub unpack: Option<bool>,
}

/// `RUN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// What runs.
    pub command: Command,
    /// `--mount`, each, as `key=value` pairs; a key alone has the value `None`. Unexpanded.
    pub mounts: Vec<Vec<(String, Option<String>)>>,
    /// `--network`.
    pub network: Option<String>,
    /// `--security`.
    pub security: Option<String>,
    /// `--device`, each.
    pub devices: Vec<String>,
}

/// `HEALTHCHECK`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// The test; `None` for `HEALTHCHECK NONE`.
    pub command: Option<Command>,
    /// `--interval`, as written.
    pub interval: Option<String>,
    /// `--timeout`.
    pub timeout: Option<String>,
    /// `--start-period`.
    pub start_period: Option<String>,
    /// `--start-interval`.
    pub start_interval: Option<String>,
    /// `--retries`.
    pub retries: Option<String>,
}

/// An instruction behind `FROM`, or `ARG` before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// `RUN`
    Run(Run),
    /// `COPY`
    Copy(Copy),
    /// `ADD`
    Add(Copy),
    /// `ENV`
    Env(Vec<Assignment>),
    /// `ARG`
    Arg(Vec<Argument>),
    /// `LABEL`
    Label(Vec<Assignment>),
    /// `WORKDIR`
    Workdir(String),
    /// `USER`
    User(String),
    /// `EXPOSE`
    Expose(Vec<String>),
    /// `VOLUME`
    Volume(Vec<String>),
    /// `CMD`
    Cmd(Command),
    /// `ENTRYPOINT`
    Entrypoint(Command),
    /// `SHELL`
    Shell(Vec<String>),
    /// `STOPSIGNAL`
    StopSignal(String),
    /// `HEALTHCHECK`
    HealthCheck(HealthCheck),
    /// `ONBUILD`, the trigger as written.
    OnBuild(String),
    /// `MAINTAINER`
    Maintainer(String),
}
