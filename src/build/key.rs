//! What a step's result is remembered by: a digest of all that it depends on, never of a time.

use sha2::{Digest as _, Sha256};

use crate::build::plan::{CopyOp, RunOp, Tree, WorkdirOp};
use crate::model::digest::Digest;
use crate::model::platform::Platform;

/// Changes with what a step makes of the same inputs, so that results of another version are not taken for its own.
const VERSION: &str = "dhow step 1";

/// The files that a step stands on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// The layers, lowest first.
    pub layers: Vec<Digest>,
    /// The last program since the uppermost layer that changed no file: it may have changed something elsewhere, so the
    /// same program behind it is another step.
    pub silent: Option<Digest>,
}

impl Chain {
    /// The files after a step: `layer` is what it changed, `program` whether it was a program.
    pub fn push(&mut self, key: &Digest, layer: Option<&Digest>, program: bool) {
        match layer {
            Some(layer) => {
                self.layers.push(layer.clone());
                self.silent = None;
            }
            None if program => self.silent = Some(key.clone()),
            None => {}
        }
    }

    fn write(&self, key: &mut Key) {
        for layer in &self.layers {
            key.field("layer", layer.as_str().as_bytes());
        }
        if let Some(silent) = &self.silent {
            key.field("silent", silent.as_str().as_bytes());
        }
    }
}

/// What every step depends on.
#[derive(Clone, Copy, Debug)]
pub struct Common<'a> {
    /// What it stands on.
    pub chain: &'a Chain,
    /// `SOURCE_DATE_EPOCH`.
    pub epoch: Option<i64>,
    /// Whether files keep the owners they have in images, or all are the account's.
    pub identity: crate::model::layer::Identity,
}

/// The key of a program. `inputs` says for each mount which files it has, and `surroundings` what the request adds.
pub fn run(
    common: Common<'_>,
    op: &RunOp,
    platform: &Platform,
    inputs: &[String],
    surroundings: &str,
) -> Digest {
    let mut key = Key::new("run", common);
    // Proxies are how files are reached, not which.
    let mut seen = RunOp { hidden_env: Vec::new(), ..op.clone() };
    for mount in &mut seen.mounts {
        // Which files they are is among the inputs; which stage or context has them is of no matter.
        mount.from = Tree::Scratch;
        mount.mount.from = None;
    }
    key.json("op", &seen);
    key.field("platform", platform.to_string().as_bytes());
    for input in inputs {
        key.field("input", input.as_bytes());
    }
    key.field("surroundings", surroundings.as_bytes());
    common.chain.write(&mut key);
    key.finish()
}

/// The key of a copy. `input` says which files are copied: the digest of their content or of where they come from.
pub fn copy(common: Common<'_>, op: &CopyOp, input: &str) -> Digest {
    let mut key = Key::new("copy", common);
    key.json("op", &op.without_source());
    key.field("input", input.as_bytes());
    if op.link && !op.names_owner() {
        return key.finish();
    }
    common.chain.write(&mut key);
    key.finish()
}

/// The key of a working directory.
pub fn workdir(common: Common<'_>, op: &WorkdirOp) -> Digest {
    let mut key = Key::new("workdir", common);
    key.json("op", op);
    common.chain.write(&mut key);
    key.finish()
}

/// Names the files that layers make together.
pub fn files(layers: &[Digest]) -> String {
    let mut hash = Sha256::new();
    for layer in layers {
        hash.update(layer.as_str().as_bytes());
        hash.update(b"\n");
    }
    format!("layers {}", Digest::from_sha256(hash.finalize().as_slice()))
}

struct Key(Sha256);

impl Key {
    fn new(kind: &str, common: Common<'_>) -> Self {
        let mut key = Self(Sha256::new());
        key.field("version", VERSION.as_bytes());
        key.field("kind", kind.as_bytes());
        key.json("identity", &common.identity);
        if let Some(epoch) = common.epoch {
            key.field("epoch", epoch.to_string().as_bytes());
        }
        key
    }

    /// Length before content, so that no two lists of fields read alike.
    fn field(&mut self, name: &str, value: &[u8]) {
        for part in [name.as_bytes(), value] {
            self.0.update((part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
    }

    /// Maps are sorted and structures have an order, so the same value is the same text.
    fn json<T: serde::Serialize>(&mut self, name: &str, value: &T) {
        self.field(name, &serde_json::to_vec(value).unwrap_or_default());
    }

    fn finish(self) -> Digest {
        Digest::from_sha256(self.0.finalize().as_slice())
    }
}
