//! What a build was asked for, by `build`, by a target of `bake`, or by a service of a compose file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::model::container::Ulimit;
use crate::model::digest::Digest;
use crate::model::limits::LimitsSpec;
use crate::model::platform::Platform;

/// Where a context comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ContextSource {
    /// A directory of the host, absolute.
    Directory(PathBuf),
    /// Standard input: an archive, or a Dockerfile where `BuildRequest::file` is not given and it is no archive.
    #[default]
    Stdin,
    /// A git repository with `#ref:subdirectory`, as written.
    Git(String),
    /// A Dockerfile or an archive at this URL.
    Url(String),
    /// `docker-image://NAME`, of named contexts.
    Image(String),
    /// `oci-layout://PATH[:TAG|@DIGEST]`, of named contexts.
    OciLayout(String),
    /// `target:NAME`: what another build of the same `bake` makes.
    Target(String),
}

/// Where the Dockerfile comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DockerfileSource {
    /// `Dockerfile`, else `dockerfile`, in the context.
    #[default]
    Default,
    /// A path as given with `-f`: for a local context relative to the working directory and made absolute, for others relative to the context.
    Path(PathBuf),
    /// Standard input (`-f -`).
    Stdin,
    /// What this http URL names.
    Url(String),
    /// The text itself (`dockerfile-inline` of bake and compose).
    Inline(String),
}

/// A secret or a value that a RUN step may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretSource {
    /// Its `id`.
    pub id: String,
    /// A file, absolute, or else a variable of the environment.
    pub from: SecretFrom,
}

/// Where a secret lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretFrom {
    /// In this file, read when a step needs it.
    File(PathBuf),
    /// In this variable's value.
    Value(Vec<u8>),
}

/// `--ssh ID[=socket|key…]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshSource {
    /// `default` by itself.
    pub id: String,
    /// The agent's socket (`SSH_AUTH_SOCK` where nothing was given), or key files.
    pub paths: Vec<PathBuf>,
}

/// One `--output`, `--cache-from`, `--cache-to` or `--attest`: a type and its attributes, checked by the command line for syntax alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Typed {
    /// `image`, `local`, `tar`, `oci`, `docker`, `registry`, `inline`, `gha`, `s3`, `provenance`, `sbom`, `cacheonly`…
    pub kind: String,
    /// The rest.
    pub attributes: BTreeMap<String, String>,
}

/// What to do instead of building.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Call {
    /// Build.
    #[default]
    Build,
    /// Report the rules that the Dockerfile breaks.
    Check,
    /// Describe the target's arguments, secrets and so on.
    Outline,
    /// List the stages.
    Targets,
}

/// Everything that was asked for.
#[derive(Clone, Debug, Default)]
pub struct BuildRequest {
    /// The main context.
    pub context: ContextSource,
    /// `--build-context NAME=…`, names in lower case.
    pub contexts: BTreeMap<String, ContextSource>,
    /// The Dockerfile.
    pub dockerfile: DockerfileSource,
    /// `-t`, as written.
    pub tags: Vec<String>,
    /// `--target`.
    pub target: Option<String>,
    /// `--build-arg`, those without a value already looked up in the environment (absent if unset there), proxies of the client's configuration included.
    pub args: BTreeMap<String, String>,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
    /// `--annotation`, as `[type:]key` to value.
    pub annotations: BTreeMap<String, String>,
    /// `--platform`, each; none for the machine's own.
    pub platforms: Vec<Platform>,
    /// `--no-cache`.
    pub no_cache: bool,
    /// `--no-cache-filter`, names of stages.
    pub no_cache_filter: Vec<String>,
    /// `--pull`.
    pub pull: bool,
    /// `--output`; none for an image in the store. `--push` and `--load` are turned into these.
    pub outputs: Vec<Typed>,
    /// `--cache-from`.
    pub cache_from: Vec<Typed>,
    /// `--cache-to`.
    pub cache_to: Vec<Typed>,
    /// `--attest`, `--provenance`, `--sbom`.
    pub attests: Vec<Typed>,
    /// `--secret`.
    pub secrets: Vec<SecretSource>,
    /// `--ssh`.
    pub ssh: Vec<SshSource>,
    /// `--add-host`, as `name:address`.
    pub add_hosts: Vec<String>,
    /// `--network` (`default`, `none`, `host`, or a network's name).
    pub network: String,
    /// `--shm-size`, in bytes.
    pub shm_size: Option<u64>,
    /// `--ulimit`.
    pub ulimits: Vec<Ulimit>,
    /// `--memory`, `--cpu-quota` and so on, for the processes of RUN.
    pub limits: LimitsSpec,
    /// `--cgroup-parent`, for the same; empty for none.
    pub cgroup_parent: String,
    /// `--allow` (`network.host`, `security.insecure`, …).
    pub allow: Vec<String>,
    /// `--call`.
    pub call: Call,
    /// `--resume`: go on from the file system that a failed RUN step of this Dockerfile left.
    pub resume: bool,
    /// `SOURCE_DATE_EPOCH` from the environment or the build arguments, in seconds.
    pub epoch: Option<i64>,
}

/// What a build made.
#[derive(Clone, Debug, Default)]
pub struct Built {
    /// The image's ID (digest of its configuration), where an image came out.
    pub image: Option<Digest>,
    /// The digest of its manifest or index.
    pub manifest: Option<Digest>,
    /// What `--metadata-file` gets, as JSON.
    pub metadata: serde_json::Map<String, serde_json::Value>,
    /// What `--call` answers, as JSON and as text.
    pub answer: Option<(serde_json::Value, String)>,
}
