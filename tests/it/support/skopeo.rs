//! What skopeo, another reader of registries and archives, finds in them.

use std::process::Command;

use serde_json::Value;

use super::image::digest;
use super::process::must_run;

/// The exact bytes of the manifest called `name` in its registry.
pub(crate) fn raw(name: &str) -> Vec<u8> {
    let mut command = Command::new("skopeo");
    command.args(["inspect", "--raw", "--tls-verify=false"]).arg(format!("docker://{name}"));
    must_run(&mut command).stdout
}

/// The manifest called `name` in its registry.
pub(crate) fn manifest(name: &str) -> Value {
    serde_json::from_slice(&raw(name)).expect("a manifest")
}

/// The ID of the image in an archive: the digest of its configuration.
pub(crate) fn id_by_skopeo(source: &str) -> String {
    let output = must_run(Command::new("skopeo").args(["inspect", "--config", "--raw", source]));
    digest(&output.stdout)
}
