//! `RUN`: runs a command in an unlisted container and makes its upper directory a layer.
//!
//! The container is set up like those of `run`. The job that runs the step is its supervisor; if that is
//! killed the container dies with it, and the next command sweeps what is left.
//!
//! 1. [`spec`] describes the container, with BuildKit's defaults.
//! 2. [`mounts`] prepares bind, cache, secret and ssh mounts; [`cache_mounts`] takes the locks of the caches.
//! 3. [`process`] starts the command, forwards its output and waits for it.
//! 4. [`commit`] makes the upper directory a layer, or keeps it as a [`failed_state`] for `--resume`.

mod cache_mounts;
mod chown_monitor;
mod commit;
mod failed_state;
mod helper_keepalive;
mod mounts;
mod process;
mod spec;
mod ssh_agent;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

pub(crate) use self::helper_keepalive::NetworkHelperKeepalive;
use self::mounts::PreparedMounts;
use self::process::StepProcess;
use crate::request::BuildRequest;
use dhow_build::run_command::RunArgv;
use dhow_build::run_mount::RunMountSpec;
use dhow_model::container::{ContainerSpec, NetworkMode};
use dhow_model::digest::Digest;
use dhow_model::environment::Environment;
use dhow_model::image::ImageConfig;
use dhow_model::platform::Platform;
use dhow_runtime::{cgroup, create, network, plan, process_limits};
use dhow_sandbox::identity::HostIdentity;
use dhow_sandbox::plan::{MountKind, RootSource, SandboxPlan};
use dhow_store::{FailedState, LayerDraft, LayerLease, LockedContainer, Store};

/// What all RUN steps of a build share.
#[derive(Clone, Copy)]
pub(crate) struct StepContext<'a> {
    pub store: &'a Store,
    /// The account's ids.
    pub identity: &'a HostIdentity,
    pub environment: &'a Environment,
    pub request: &'a BuildRequest,
}

#[derive(Clone, Debug)]
pub(crate) struct RunStep {
    /// Diff IDs, lowest first. The caller leases them.
    pub layers: Vec<Digest>,
    pub platform: Platform,
    /// `NAME=value`, the whole environment; the last of a name wins.
    pub env: Vec<String>,
    /// Empty for the root directory.
    pub workdir: String,
    /// `user[:group]`; empty for root.
    pub user: String,
    pub command: RunArgv,
    pub mounts: Vec<StepMount>,
    /// `RUN --network`; `None` for that of the build.
    pub network: Option<String>,
    /// `RUN --security=insecure`.
    pub insecure: bool,
    /// `RUN --device`.
    pub devices: Vec<String>,
    /// The key of a failed state of this step to resume from.
    pub resume: Option<String>,
    /// The cache key, under which a failed state is kept.
    pub key: String,
    /// As displayed.
    pub title: String,
    /// The configuration of an image of the stage before this step.
    pub config: ImageConfig,
}

impl RunStep {
    /// Whether the step needs a network in a build with this request.
    pub(crate) fn needs_network(&self, request: &BuildRequest) -> bool {
        let mode = self.network.as_deref().filter(|mode| *mode != "default").unwrap_or(&request.network);
        !matches!(mode, "none" | "host")
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StepMount {
    pub mount: RunMountSpec,
    pub from: MountFrom,
}

/// The root of a mount's content.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum MountFrom {
    /// No content.
    Nothing,
    /// A directory of the host.
    Directory {
        path: PathBuf,
        /// Paths to hide, relative.
        hidden: Vec<PathBuf>,
    },
    /// Diff IDs, lowest first; no layers means an empty directory.
    Layers(Vec<Digest>),
}

#[derive(Debug)]
pub(crate) enum RunOutcome {
    /// The command changed files.
    Layer(LayerLease),
    /// The command changed no file, so there is no layer.
    Nothing,
    /// The command failed.
    Failed {
        /// The exit code, as in a shell.
        code: i32,
        /// Whether one of its processes was killed by the OOM killer.
        out_of_memory: bool,
        /// The file system it left, if that could be kept.
        kept: Option<FailedState>,
    },
}

/// Runs a step. The process must have a single thread and must not be in a user namespace of dhow. `output`
/// gets what the command writes, with 1 for standard output and 2 for standard error.
pub(crate) fn run_step(
    context: &StepContext<'_>,
    step: &RunStep,
    output: &mut dyn FnMut(u8, &[u8]),
) -> Result<RunOutcome> {
    create::check_platform(&step.platform)?;
    let spec = spec::container_spec(context, step)?;
    let warnings = cgroup::check_limits(&spec, cgroup::session_info(context.environment))?;
    for warning in warnings.into_iter().chain(process_limits::warnings(&spec.ulimits)) {
        output(2, format!("WARNING: {warning}\n").as_bytes());
    }
    let draft = context.store.begin_layer_without_digest()?;
    let container = context.store.create_step_dir(&spec)?;
    let outcome = run_and_commit(context, step, &container, draft, output);
    context.store.discard_step_dir(container);
    outcome
}

fn run_and_commit(
    context: &StepContext<'_>,
    step: &RunStep,
    container: &LockedContainer,
    draft: LayerDraft,
    output: &mut dyn FnMut(u8, &[u8]),
) -> Result<RunOutcome> {
    if let Some(key) = &step.resume {
        failed_state::restore_failed_state(context, key, container)?;
    }
    let prepared = mounts::prepare_mounts(context, step, &draft)?;
    let networks = prepare_networks(context, container.spec())?;
    let exit = run_program(context, step, container, prepared, networks.clone(), output);
    if let Some(networks) = &networks {
        // Best effort: whoever needs these addresses next reclaims what stays behind.
        let _ = context.store.leave_networks(container.spec(), &networks.endpoints());
    }
    commit::commit_step(context, step, container, draft, exit?)
}

/// The container's network attachments; `None` without networks.
fn prepare_networks(context: &StepContext<'_>, spec: &ContainerSpec) -> Result<Option<network::NetworkPlan>> {
    if spec.namespaces.network != Some(NetworkMode::Networks) {
        return Ok(None);
    }
    network::prepare_step_networks(context.store, spec, context.environment).map(Some)
}

/// Runs the command until it exits.
fn run_program(
    context: &StepContext<'_>,
    step: &RunStep,
    container: &LockedContainer,
    prepared: PreparedMounts,
    networks: Option<network::NetworkPlan>,
    output: &mut dyn FnMut(u8, &[u8]),
) -> Result<process::ProcessExit> {
    let StepContext { store, identity, environment, .. } = *context;
    let helper = network::reach_helper(store, identity, container.spec(), networks.as_ref())?;
    let mut plan = plan::make_plan(store, container, &step.layers, identity, networks.as_ref())?;
    adapt_plan(&mut plan, &prepared);
    let network = networks
        .map(|networks| network::HelperLease::acquire(store, identity, container.spec(), networks, helper))
        .transpose()?;
    let cgroup = cgroup::create_if_needed(container.spec(), &cgroup::session_info(environment))?;
    let process = StepProcess::spawn(&plan, identity, container, cgroup, network)?;
    // A recorded cache counts as filled, which it is only once the launch has mounted it.
    cache_mounts::mark_used(store, &prepared.caches)?;
    process.run_to_exit(output).context("waiting for the program")
}

/// Turns a container's plan into that of a step.
fn adapt_plan(plan: &mut SandboxPlan, prepared: &PreparedMounts) {
    // Mount points that the sandbox creates must not end up in the layer.
    plan.root.mount_stubs = true;
    // The writable layer becomes a layer of the image as soon as the program has ended.
    plan.hold_mounts = false;
    plan.confinement.remember_owners = plan.confinement.emulate_root;
    if let RootSource::Overlay(overlay) = &mut plan.root.source {
        // If the build is interrupted the step is run again, so nothing needs to be synced.
        overlay.volatile = true;
        overlay.must_persist = true;
    }
    // These create entries in the tree itself, such as /.dockerenv and /etc/mtab.
    plan.mounts.retain(|mount| !matches!(mount.kind, MountKind::Marker | MountKind::Symlink(_)));
    plan::drop_replaced(&mut plan.mounts, &prepared.mounts);
    plan.mounts.extend(prepared.mounts.iter().cloned());
    plan.process.env.extend(prepared.env.iter().cloned());
}
