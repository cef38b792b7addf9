//! `run`: creates a container and starts it.

use anyhow::Result;

use dhow_model::run_request::RunRequest;
use dhow_runtime::attach::AttachRequest;
use dhow_runtime::create::{self, CreateCallbacks};
use dhow_runtime::spawn::spawn_supervisor;
use dhow_runtime::{cgroup, network, plan, remove};
use dhow_store::Store;

#[derive(Debug, PartialEq, Eq)]
pub enum RunResult {
    /// It was attached to; the exit code of the command.
    Attached(i32),
    /// It runs in the background; the container's ID.
    Detached(String),
}

/// Runs a container until it exits or the user detaches; with `-d`, until its program has started.
///
/// The process must be single-threaded.
pub fn run(store: &Store, mut request: RunRequest, front: &mut dyn CreateCallbacks) -> Result<RunResult> {
    let made = create::make_container(store, &mut request, front)?;
    let planned =
        network::prepare_networks(store, &made.container, front.environment()).and_then(|networks| {
            // The helper starts while the plan is made.
            let helper =
                network::reach_helper(store, &made.identity, made.container.spec(), networks.as_ref())?;
            let plan =
                plan::make_plan(store, &made.container, &made.layers, &made.identity, networks.as_ref())?;
            Ok((plan, (networks, helper)))
        });
    let (plan, networks) = match planned {
        Ok(planned) => planned,
        Err(error) => {
            // It never ran; without this its name would stay taken.
            remove::remove_container(store, made.container, true, &made.identity)?;
            return Err(error);
        }
    };
    let surroundings = cgroup::session_info(front.environment());
    if request.detach {
        let (surroundings, said) = cgroup::for_detached(made.container.spec(), surroundings);
        if let Some(said) = said.filter(|_| store.claim_notice("logout")) {
            front.warn(&said);
        }
        spawn_supervisor(store, made.container, plan, made.identity, surroundings, networks, None)?;
        return Ok(RunResult::Detached(request.spec.id));
    }
    let named = &request.spec.process.attach;
    let wants = |name: &str| named.is_empty() || named.iter().any(|stream| stream.eq_ignore_ascii_case(name));
    let attachment = AttachRequest {
        wanted: [wants("stdin"), wants("stdout"), wants("stderr")],
        sig_proxy: request.sig_proxy,
        detach_keys: request.detach_keys,
    };
    spawn_supervisor(store, made.container, plan, made.identity, surroundings, networks, Some(attachment))
        .map(RunResult::Attached)
}
