//! `RUN`: a program in a container that nobody sees, whose upper directory becomes a layer.
//!
//! The container is brought up as those of `run` are, by the process that carries the step out, which is its supervisor;
//! when that is killed the container dies with it, and what it leaves is swept away by the next command.

mod caches;
mod failure;
mod finish;
mod keeper;
mod life;
mod mounts;
mod owners;
mod specification;
mod ssh;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

pub use self::keeper::NetworkKeeper;
use self::life::Life;
use self::mounts::Prepared;
use super::request::BuildRequest;
use crate::build::run_command::RunCommand;
use crate::build::run_mount::Mount;
use crate::engine::{create, networking, placement, plan};
use crate::model::container::{ContainerSpec, NetworkMode};
use crate::model::digest::Digest;
use crate::model::environment::Environment;
use crate::model::image::ImageConfig;
use crate::model::platform::Platform;
use crate::sandbox::identity::Identity;
use crate::sandbox::plan::{MountKind, Plan, RootSource};
use crate::store::{FailedState, LayerDraft, LayerLease, LockedContainer, Store};

/// What a step needs of its build.
#[derive(Clone, Copy)]
pub struct StepContext<'a> {
    /// Where layers are.
    pub store: &'a Store,
    /// What the account may map.
    pub identity: &'a Identity,
    /// The environment of the command.
    pub environment: &'a Environment,
    /// What was asked for.
    pub request: &'a BuildRequest,
}

/// A step.
#[derive(Clone, Debug)]
pub struct RunStep {
    /// What it stands on, lowest first; the caller holds their leases.
    pub layers: Vec<Digest>,
    /// What it is for.
    pub platform: Platform,
    /// `NAME=value`: all that the program sees, later ones win.
    pub env: Vec<String>,
    /// Where it starts; empty for the root.
    pub workdir: String,
    /// `user[:group]`; empty for root.
    pub user: String,
    /// What is run.
    pub command: RunCommand,
    /// What is mounted.
    pub mounts: Vec<StepMount>,
    /// `RUN --network`; `None` for what the build was asked for.
    pub network: Option<String>,
    /// `RUN --security=insecure`.
    pub insecure: bool,
    /// `RUN --device`.
    pub devices: Vec<String>,
    /// The key of a failed state of this step to go on from.
    pub resume: Option<String>,
    /// The cache key, by which a state is found that the step leaves if it fails.
    pub key: String,
    /// How it is shown.
    pub about: String,
    /// What an image would have that was made of what the step stands on.
    pub config: ImageConfig,
}

impl RunStep {
    /// Whether it is to be on networks, in a build that was asked for like that.
    pub fn needs_network(&self, request: &BuildRequest) -> bool {
        let mode = self.network.as_deref().filter(|mode| *mode != "default").unwrap_or(&request.network);
        !matches!(mode, "none" | "host")
    }
}

/// A mount of a step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepMount {
    /// What was asked for.
    pub mount: Mount,
    /// Where its content is.
    pub from: MountFrom,
}

/// What lies at the root of where a mount takes its content from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum MountFrom {
    /// It has none.
    Nothing,
    /// A directory of the host.
    Directory {
        /// It.
        path: PathBuf,
        /// What of it is not to be seen, relative.
        hidden: Vec<PathBuf>,
    },
    /// Layers, lowest first; without any it is empty.
    Layers(Vec<Digest>),
}

/// What became of a step.
#[derive(Debug)]
pub enum RunOutcome {
    /// It changed something.
    Layer(LayerLease),
    /// It changed nothing, so there is no layer.
    Nothing,
    /// The program failed.
    Failed {
        /// Its exit code, as a shell has it.
        code: i32,
        /// Whether it, or one of its processes, was killed for want of memory.
        out_of_memory: bool,
        /// What it left, if that could be kept.
        kept: Option<FailedState>,
    },
}

/// Carries out a step. The process has one thread and is in no user namespace of dhow's; `output` is handed what the
/// program writes to standard output (1) and standard error (2).
pub fn run_step(
    context: &StepContext<'_>,
    step: &RunStep,
    output: &mut dyn FnMut(u8, &[u8]),
) -> Result<RunOutcome> {
    create::check_platform(&step.platform)?;
    let spec = specification::make(context, step)?;
    for warning in placement::check(&spec, placement::surroundings(context.environment))? {
        output(2, format!("WARNING: {warning}\n").as_bytes());
    }
    let draft = context.store.begin_unknown_layer()?;
    let held = context.store.begin_step(&spec)?;
    let outcome = bring_up_and_finish(context, step, &held, draft, output);
    context.store.end_step(held);
    outcome
}

fn bring_up_and_finish(
    context: &StepContext<'_>,
    step: &RunStep,
    held: &LockedContainer,
    draft: LayerDraft,
    output: &mut dyn FnMut(u8, &[u8]),
) -> Result<RunOutcome> {
    if let Some(key) = &step.resume {
        failure::go_on_from(context, key, held)?;
    }
    let prepared = mounts::prepare(context, step, &draft)?;
    let networks = networks(context, held.spec())?;
    let ended = live(context, step, held, prepared, networks.clone(), output);
    if let Some(networks) = &networks {
        // What stays is taken back by who needs it.
        let _ = context.store.leave_networks(held.spec(), &networks.endpoints());
    }
    finish::finish(context, step, held, draft, ended?)
}

/// Its places on networks, if it is to be on any.
fn networks(context: &StepContext<'_>, spec: &ContainerSpec) -> Result<Option<networking::Wanted>> {
    if spec.namespaces.network != Some(NetworkMode::Networks) {
        return Ok(None);
    }
    networking::prepare_step(context.store, spec, context.environment).map(Some)
}

/// Runs the program to its end.
fn live(
    context: &StepContext<'_>,
    step: &RunStep,
    held: &LockedContainer,
    prepared: Prepared,
    networks: Option<networking::Wanted>,
    output: &mut dyn FnMut(u8, &[u8]),
) -> Result<life::Ending> {
    let StepContext { store, identity, environment, .. } = *context;
    let helper = networking::begin(store, identity, held.spec(), networks.as_ref())?;
    let mut plan = plan::make(store, held, &step.layers, identity, networks.as_ref())?;
    adapt(&mut plan, &prepared);
    let network = networks
        .map(|wanted| networking::Network::open(store, identity, held.spec(), wanted, helper))
        .transpose()?;
    let cgroup = placement::make_wanted(held.spec(), &placement::surroundings(environment))?;
    let life = Life::begin(&plan, identity, held, cgroup, network)?;
    caches::note(store, &prepared.caches)?;
    life.attend(output).context("waiting for the program")
}

/// Makes the plan of a container that of a step: nothing that it leaves is of the container itself.
fn adapt(plan: &mut Plan, prepared: &Prepared) {
    plan.root.stubs = true;
    plan.confinement.remember_owners = plan.confinement.emulate_root;
    if let RootSource::Overlay(overlay) = &mut plan.root.source {
        // A build that is cut short begins the step anew.
        overlay.volatile = true;
        overlay.kept = true;
    }
    plan.mounts.retain(|mount| match mount.kind {
        MountKind::Marker => false,
        MountKind::Symlink(_) => mount.target.starts_with("/dev/"),
        _ => !prepared.mounts.iter().any(|own| plan::replaces(&own.target, &mount.target)),
    });
    plan.mounts.extend(prepared.mounts.iter().cloned());
    plan.process.env.extend(prepared.env.iter().cloned());
}
