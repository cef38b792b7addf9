//! Cache keys: a step's result is stored under a digest of everything it depends on, never of a timestamp.
//!
//! The fields of the ops are part of the key in their serialised form: renaming one invalidates every cache.

use sha2::{Digest as _, Sha256};

use crate::plan::{CopyOp, InputTree, RunOp, WorkdirOp};
use dhow_model::digest::Digest;
use dhow_model::platform::Platform;

/// Bump when a step would produce something else from the same inputs, so that older results are not reused.
const KEY_VERSION: &str = "dhow step 2";

/// The files that a step runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParentChain {
    /// Lowest first.
    pub layers: Vec<Digest>,
    /// The last `RUN` since the topmost layer that changed no file. It may have had an effect elsewhere (a
    /// cache mount, say), so the same command after it gets a different key.
    pub last_noop_run: Option<Digest>,
}

impl ParentChain {
    /// Adds a finished step: `layer` is what it changed (`None` for nothing), `program` whether it was a
    /// `RUN`.
    pub fn push(&mut self, key: &Digest, layer: Option<&Digest>, program: bool) {
        match layer {
            // A new layer is part of the key itself, so an earlier no-op run no longer needs to be
            // remembered.
            Some(layer) => {
                self.layers.push(layer.clone());
                self.last_noop_run = None;
            }
            None if program => self.last_noop_run = Some(key.clone()),
            None => {}
        }
    }

    fn write(&self, key: &mut KeyHasher) {
        for layer in &self.layers {
            key.field("layer", layer.as_str().as_bytes());
        }
        if let Some(noop_run) = &self.last_noop_run {
            key.field("silent", noop_run.as_str().as_bytes());
        }
    }
}

/// What the keys of all steps depend on.
#[derive(Clone, Copy, Debug)]
pub struct KeyInputs<'a> {
    pub parents: &'a ParentChain,
    /// `SOURCE_DATE_EPOCH`, seconds since 1970.
    pub epoch: Option<i64>,
    /// Layers that record owners differently are not interchangeable.
    pub identity: dhow_model::layer::LayerOwnership,
}

/// `inputs` has, for each mount, what identifies its files; `surroundings` is what the request adds (network,
/// hosts …).
pub fn run_key(
    common: KeyInputs<'_>,
    op: &RunOp,
    platform: &Platform,
    inputs: &[String],
    surroundings: &str,
) -> Digest {
    let mut key = KeyHasher::new("run", common);
    // Proxies decide how something is downloaded, not what.
    let mut hashed = RunOp { hidden_env: Vec::new(), ..op.clone() };
    for mount in &mut hashed.mounts {
        // The inputs identify the files; which stage or context they come from does not matter.
        mount.from = InputTree::Scratch;
        mount.mount.from = None;
    }
    key.json("op", &hashed);
    key.field("platform", platform.to_string().as_bytes());
    for input in inputs {
        key.field("input", input.as_bytes());
    }
    key.field("surroundings", surroundings.as_bytes());
    common.parents.write(&mut key);
    key.finish()
}

/// `input` identifies the files: the digest of their content, or of where they are downloaded from.
pub fn copy_key(common: KeyInputs<'_>, op: &CopyOp, input: &str) -> Digest {
    let mut key = KeyHasher::new("copy", common);
    // The same files from another stage or context give the same result.
    key.json("op", &op.without_source());
    key.field("input", input.as_bytes());
    // `--link` copies onto an empty tree: without a user name to look up, the layers below play no part.
    if op.flags.link && !op.names_owner() {
        return key.finish();
    }
    common.parents.write(&mut key);
    key.finish()
}

pub fn workdir_key(common: KeyInputs<'_>, op: &WorkdirOp) -> Digest {
    let mut key = KeyHasher::new("workdir", common);
    key.json("op", op);
    common.parents.write(&mut key);
    key.finish()
}

/// Identifies the files of a stack of layers, as an input of another step.
pub fn layers_input(layers: &[Digest]) -> String {
    let mut hash = Sha256::new();
    for layer in layers {
        hash.update(layer.as_str().as_bytes());
        hash.update(b"\n");
    }
    format!("layers {}", Digest::from_sha256(hash.finalize().as_slice()))
}

struct KeyHasher(Sha256);

impl KeyHasher {
    fn new(kind: &str, common: KeyInputs<'_>) -> Self {
        let mut key = Self(Sha256::new());
        key.field("version", KEY_VERSION.as_bytes());
        key.field("kind", kind.as_bytes());
        key.json("identity", &common.identity);
        if let Some(epoch) = common.epoch {
            key.field("epoch", epoch.to_string().as_bytes());
        }
        key
    }

    /// Writes the length before the content, so that no two lists of fields hash alike.
    fn field(&mut self, name: &str, value: &[u8]) {
        for part in [name.as_bytes(), value] {
            self.0.update((part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
    }

    /// Struct fields and sorted maps serialise in a fixed order, so equal values give equal text.
    fn json<T: serde::Serialize>(&mut self, name: &str, value: &T) {
        self.field(name, &serde_json::to_vec(value).unwrap_or_default());
    }

    fn finish(self) -> Digest {
        Digest::from_sha256(self.0.finalize().as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ast::CopyFlags;

    /// Cache keys of earlier builds must stay valid, so the serialised form must not change.
    #[test]
    fn the_serialised_form_of_a_copy_is_stable() {
        let op = CopyOp {
            add: false,
            from: InputTree::Stage(1),
            sources: Vec::new(),
            here_docs: Vec::new(),
            target: "/t".into(),
            flags: CopyFlags { chown: Some("1".into()), exclude: vec!["x".into()], ..CopyFlags::default() },
            checksum: None,
            keep_git_dir: false,
            unpack: None,
        };
        let text = serde_json::to_string(&op).unwrap();
        assert_eq!(
            text,
            r#"{"add":false,"from":{"Stage":1},"sources":[],"here_docs":[],"target":"/t","chown":"1","chmod":null,"link":false,"parents":false,"exclude":["x"],"checksum":null,"keep_git_dir":false,"unpack":null}"#
        );
        assert_eq!(serde_json::from_str::<CopyOp>(&text).unwrap(), op);
    }
}
