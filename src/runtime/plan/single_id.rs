//! Adaptations for a container with a single id, beyond the emulation of root, so that common programs work
//! unmodified.

use crate::plan::layer_files;
use dhow_model::digest::Digest;
use dhow_sandbox::plan::{MountKind, PlannedMount, SandboxPlan};
use dhow_store::Store;

/// Path of apt's configuration inside the container.
const APT_FILE: &str = "/dev/apt-one-user.conf";
/// apt switches to its own user for downloads and verifies that it did, which fails with a single id.
const APT_SETTING: &[u8] = b"APT::Sandbox::User \"root\";\n";

pub(crate) fn adapt_to_single_id(plan: &mut SandboxPlan, store: &Store, layers: &[Digest]) {
    // apt reads one file from APT_CONFIG, so a file of the user's own takes precedence.
    let Some((_, variable)) = apt_config_variable(&plan.process.env) else { return };
    if !layer_files::has_directory(store, layers, "etc/apt") {
        return;
    }
    plan.process.env.push(variable);
    let kind = MountKind::File { content: APT_SETTING.to_vec(), mode: 0o644, read_only: true, owner: (0, 0) };
    plan.mounts.push(PlannedMount { target: APT_FILE.into(), kind });
}

/// The variable that points apt to its configuration, and the file's path; `None` if the environment sets its
/// own.
pub(crate) fn apt_config_variable(env: &[String]) -> Option<(&'static str, String)> {
    let configured = env.iter().any(|entry| entry.starts_with("APT_CONFIG="));
    (!configured).then(|| (APT_FILE, format!("APT_CONFIG={APT_FILE}")))
}
