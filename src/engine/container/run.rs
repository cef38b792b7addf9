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
pub fn run(store: &Store, mut request: RunRequest, callbacks: &mut dyn CreateCallbacks) -> Result<RunResult> {
    let created = create::create_container(store, &mut request, callbacks)?;
    let environment = callbacks.environment();
    let plan =
        match StartPlan::new(store, &created.container, &created.layers, &created.identity, environment) {
            Ok(plan) => plan,
            Err(error) => {
                // It never ran; without this its name would stay taken.
                remove::remove_container(store, created.container, true, &created.identity)?;
                return Err(error);
            }
        };
    let session = cgroup::session_info(callbacks.environment());
    if request.detach {
        let (session, warning) = cgroup::for_detached(created.container.spec(), session);
        if let Some(warning) = warning.filter(|_| store.claim_notice("logout")) {
            callbacks.warn(&warning);
        }
        spawn_supervisor(store, created.container, created.identity, session, plan, None)?;
        return Ok(RunResult::Detached(request.spec.id));
    }
    // docker accepts the names of streams in any case; without -a all are meant.
    let named = &request.spec.process.attach;
    let wants = |name: &str| named.is_empty() || named.iter().any(|stream| stream.eq_ignore_ascii_case(name));
    let attachment = AttachRequest {
        streams: [wants("stdin"), wants("stdout"), wants("stderr")],
        sig_proxy: request.sig_proxy,
        detach_keys: request.detach_keys,
    };
    spawn_supervisor(store, created.container, created.identity, session, plan, Some(attachment))
        .map(RunResult::Attached)
}
