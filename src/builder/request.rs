//! A build request, as made by `build`, by a target of `bake`, or by a service of a compose file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dhow_model::container::UlimitSpec;
use dhow_model::digest::Digest;
use dhow_model::limits::LimitsSpec;
use dhow_model::platform::Platform;

/// The source of a context.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ContextSource {
    /// A host directory, absolute.
    Directory(PathBuf),
    /// Standard input: an archive, or a Dockerfile if it is not an archive and `BuildRequest::dockerfile` is
    /// the default.
    #[default]
    Stdin,
    /// A git repository with `#ref:subdirectory`, as written.
    Git(String),
    /// A Dockerfile or an archive at this URL.
    Url(String),
    /// `docker-image://NAME`, named contexts only.
    Image(String),
    /// `oci-layout://PATH[:TAG|@DIGEST]`, named contexts only.
    OciLayout(String),
    /// `target:NAME`: the result of another target of the same `bake`.
    Target(String),
}

/// The source of the Dockerfile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DockerfileSource {
    /// `Dockerfile`, else `dockerfile`, in the context.
    #[default]
    Default,
    /// A path as given with `-f`: for a local context relative to the working directory and made absolute,
    /// for others relative to the context.
    Path(PathBuf),
    /// Standard input (`-f -`).
    Stdin,
    /// An http URL.
    Url(String),
    /// The text itself (`dockerfile-inline` of bake and compose).
    Inline(String),
}

/// The largest secret that BuildKit accepts, in bytes.
pub(crate) const MAX_SECRET: u64 = 500 << 10;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretSource {
    pub id: String,
    pub from: SecretFrom,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretFrom {
    /// A file, read when a step needs it.
    File(PathBuf),
    /// The value of an environment variable.
    Value(Vec<u8>),
}

/// `--ssh ID[=socket|key…]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshSource {
    /// `default` if none is given.
    pub id: String,
    /// The agent's socket (`SSH_AUTH_SOCK` if nothing was given), or key files.
    pub paths: Vec<PathBuf>,
}

/// One `--output`, `--cache-from`, `--cache-to` or `--attest`: a type and its attributes. The command line
/// checks only the syntax.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OptionsEntry {
    /// `image`, `local`, `tar`, `oci`, `docker`, `registry`, `inline`, `gha`, `s3`, `provenance`, `sbom`,
    /// `cacheonly`…
    pub kind: String,
    pub attributes: BTreeMap<String, String>,
}

/// What to do with the Dockerfile (`--call`); buildx's `CallFunc`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallFunc {
    #[default]
    Build,
    /// Check the Dockerfile against the build rules.
    Check,
    /// Describe the target's arguments, secrets and so on.
    Outline,
    /// List the stages.
    Targets,
}

#[derive(Clone, Debug, Default)]
pub struct BuildRequest {
    pub context: ContextSource,
    /// `--build-context NAME=…`, names in lower case.
    pub contexts: BTreeMap<String, ContextSource>,
    pub dockerfile: DockerfileSource,
    /// `-t`, as written.
    pub tags: Vec<String>,
    /// `--target`.
    pub target: Option<String>,
    /// `--build-arg`. Arguments without a value are already looked up in the environment (and left out if
    /// unset there); includes the proxies of the client's configuration.
    pub args: BTreeMap<String, String>,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
    /// `--annotation`, as `[type:]key` to value.
    pub annotations: BTreeMap<String, String>,
    /// `--platform`; empty for the host's platform.
    pub platforms: Vec<Platform>,
    /// `--no-cache`.
    pub no_cache: bool,
    /// `--no-cache-filter`, names of stages.
    pub no_cache_filter: Vec<String>,
    /// `--pull`.
    pub pull: bool,
    /// `--output`; empty for an image in the store. `--push` and `--load` are turned into outputs.
    pub outputs: Vec<OptionsEntry>,
    /// `--cache-from`.
    pub cache_from: Vec<OptionsEntry>,
    /// `--cache-to`.
    pub cache_to: Vec<OptionsEntry>,
    /// `--attest`, `--provenance`, `--sbom`.
    pub attests: Vec<OptionsEntry>,
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
    pub ulimits: Vec<UlimitSpec>,
    /// `--memory`, `--cpu-quota` and so on, for the processes of RUN steps.
    pub limits: LimitsSpec,
    /// `--cgroup-parent` for RUN steps; empty for none.
    pub cgroup_parent: String,
    /// `--allow` (`network.host`, `security.insecure`, …).
    pub allow: Vec<String>,
    /// `--call`.
    pub call: CallFunc,
    /// `--resume`: continue from the file system that a failed RUN step of this Dockerfile left.
    pub resume: bool,
    /// `SOURCE_DATE_EPOCH` from the environment or the build arguments, in seconds.
    pub epoch: Option<i64>,
}

impl BuildRequest {
    /// Whether a build argument that is a switch of BuildKit's frontend is on.
    pub(crate) fn is_arg_set(&self, name: &str) -> bool {
        self.args.get(name).is_some_and(|value| matches!(value.as_str(), "1" | "true"))
    }
}

#[derive(Clone, Debug, Default)]
pub struct BuildResult {
    /// The image ID (digest of its configuration), if an image was exported.
    pub image: Option<Digest>,
    pub manifest: Option<Digest>,
    /// For `--metadata-file`.
    pub metadata: serde_json::Map<String, serde_json::Value>,
    /// The output of `--call`, as JSON and as text.
    pub call_output: Option<(serde_json::Value, String)>,
}
