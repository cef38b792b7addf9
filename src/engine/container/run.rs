//! `run`: creates a container and starts it.

use anyhow::Result;

use dhow_model::run_request::RunRequest;
use dhow_runtime::attach::AttachRequest;
use dhow_runtime::create::{self, CreateCallbacks};
use dhow_runtime::spawn::spawn_supervisor;
use dhow_runtime::start_plan::StartPlan;
use dhow_runtime::{cgroup, remove};
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
    let environment = front.environment();
    let plan = match StartPlan::new(store, &made.container, &made.layers, &made.identity, environment) {
        Ok(plan) => plan,
        Err(error) => {
            // It never ran; without this its name would stay taken.
            remove::remove_container(store, made.container, true, &made.identity)?;
            return Err(error);
        }
    };
    let session = cgroup::session_info(front.environment());
    if request.detach {
        let (session, said) = cgroup::for_detached(made.container.spec(), session);
        if let Some(said) = said.filter(|_| store.claim_notice("logout")) {
            front.warn(&said);
        }
        spawn_supervisor(store, made.container, made.identity, session, plan, None)?;
        return Ok(RunResult::Detached(request.spec.id));
    }
    let named = &request.spec.process.attach;
    let wants = |name: &str| named.is_empty() || named.iter().any(|stream| stream.eq_ignore_ascii_case(name));
    let attachment = AttachRequest {
        wanted: [wants("stdin"), wants("stdout"), wants("stderr")],
        sig_proxy: request.sig_proxy,
        detach_keys: request.detach_keys,
    };
    spawn_supervisor(store, made.container, made.identity, session, plan, Some(attachment))
        .map(RunResult::Attached)
}
