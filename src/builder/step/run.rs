//! `RUN`: a step's inputs become the mounts and the specification that [`crate::run_step`] executes.

use anyhow::Result;

use super::{InputFiles, StepDone, StepJob, StepOutcome};
use crate::job::runner::{JobId, JobRunner};
use crate::job::{JobReporter, JobUserns};
use crate::request::BuildRequest;
use crate::run_step::{
    MountFrom, NetworkHelperKeepalive, RunOutcome, RunStep, StepContext, StepMount, run_step,
};
use crate::solve_error;
use dhow_build::go_format;
use dhow_build::plan::{InputTree, RunMount, RunNetwork, RunOp, StagePlan};
use dhow_build::run_mount::RunMountKind;
use dhow_model::digest::Digest;
use dhow_model::image::{ImageConfig, ImageRootFs};

/// Options of the request that affect every RUN step, for their keys. Empty if all have their defaults, so
/// that the key is that of a build without them.
pub(crate) fn request_key_input(request: &BuildRequest) -> String {
    let network = match request.network.as_str() {
        "" | "default" => "",
        other => other,
    };
    let ulimits: Vec<String> =
        request.ulimits.iter().map(|limit| format!("{}={}:{}", limit.name, limit.soft, limit.hard)).collect();
    if network.is_empty() && request.add_hosts.is_empty() && request.shm_size.is_none() && ulimits.is_empty()
    {
        return String::new();
    }
    format!("{network}|{}|{:?}|{}", request.add_hosts.join(","), request.shm_size, ulimits.join(","))
}

impl StepJob<'_> {
    pub(super) fn start_run(
        self,
        op: &RunOp,
        runner: &mut JobRunner<'_>,
        helper: &mut Option<NetworkHelperKeepalive>,
    ) -> Result<JobId> {
        let context = self.context;
        let step = self.make_run_step(op)?;
        // Each step's supervisor would otherwise start, and stop, a network helper of its own.
        if helper.is_none() && step.needs_network(context.request) {
            *helper = Some(NetworkHelperKeepalive::acquire(&context)?);
        }
        runner.start_job(self.id, JobUserns::Inherited, |reporter: &JobReporter| {
            let outcome = run_step(&context, &step, &mut |stream, data| reporter.log(stream, data))?;
            self.run_outcome(op, outcome)
        })
    }

    fn make_run_step(&self, op: &RunOp) -> Result<RunStep> {
        let StepContext { store, request, .. } = self.context;
        let mounts = op.mounts.iter().zip(&self.files).map(|(mount, files)| {
            Ok(StepMount { mount: mount.mount.clone(), from: mount_from(mount, files)? })
        });
        let mounts = mounts.collect::<Result<Vec<_>>>()?;
        let resume = match request.resume && store.failed_state(self.key.as_str())?.is_some() {
            true => Some(self.key.as_str().to_owned()),
            false => None,
        };
        Ok(RunStep {
            layers: self.chain.layers.clone(),
            platform: self.stage.platform.clone(),
            // Proxies reach the command but are not part of the key.
            env: op.env.iter().chain(&op.hidden_env).cloned().collect(),
            workdir: op.workdir.clone(),
            user: op.user.clone(),
            command: op.command.clone(),
            mounts,
            network: match op.network {
                RunNetwork::Default => None,
                RunNetwork::None => Some("none".into()),
                RunNetwork::Host => Some("host".into()),
            },
            insecure: op.insecure,
            devices: op.devices.clone(),
            resume,
            key: self.key.as_str().to_owned(),
            title: self.step.shown.clone(),
            config: config_before_run(self.stage, op, &self.chain.layers),
        })
    }

    fn run_outcome(&self, op: &RunOp, outcome: RunOutcome) -> Result<StepDone> {
        match outcome {
            RunOutcome::Layer(lease) => self.record_result(self.key.clone(), Some(lease)),
            RunOutcome::Nothing => self.record_result(self.key.clone(), None),
            RunOutcome::Failed { code, out_of_memory, kept } => {
                let words = go_format::quoted(&op.command.args.join(" "));
                let memory = if out_of_memory { ": cannot allocate memory" } else { "" };
                let message =
                    format!("process {words} did not complete successfully: exit code: {code}{memory}");
                let hint = kept.map_or_else(String::new, |kept| solve_error::resume_hint(&kept.name));
                Ok((StepOutcome::Failed { message, hint }, None))
            }
        }
    }
}

fn mount_from(mount: &RunMount, files: &InputFiles<'_>) -> Result<MountFrom> {
    let spec = &mount.mount;
    if !matches!(spec.kind, RunMountKind::Bind | RunMountKind::Cache) {
        return Ok(MountFrom::Nothing);
    }
    match files {
        InputFiles::Host(context) => {
            let hidden = context.source.ignored_paths(&spec.source)?;
            Ok(MountFrom::Directory { path: context.dir.clone(), hidden })
        }
        // A cache without `from` starts empty.
        InputFiles::Layers(_) if spec.kind == RunMountKind::Cache && mount.from == InputTree::Scratch => {
            Ok(MountFrom::Nothing)
        }
        InputFiles::Layers(layers) => Ok(MountFrom::Layers(layers.clone())),
    }
}

/// The configuration that a stage has just before the RUN `op`: for the image kept if it fails.
fn config_before_run(stage: &StagePlan, op: &RunOp, layers: &[Digest]) -> ImageConfig {
    let mut run = stage.config.run.clone();
    run.env.clone_from(&op.env);
    run.user.clone_from(&op.user);
    run.working_dir.clone_from(&op.workdir);
    run.entrypoint = None;
    run.cmd = Some(op.command.args.clone());
    run.healthcheck = None;
    ImageConfig {
        architecture: stage.platform.architecture.clone(),
        variant: stage.platform.variant.clone(),
        os: stage.platform.os.clone(),
        config: run,
        rootfs: ImageRootFs { kind: "layers".into(), diff_ids: layers.to_vec() },
        ..ImageConfig::default()
    }
}
