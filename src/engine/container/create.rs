//! `create`: creates a container without starting it.

use anyhow::Result;

use dhow_model::run_request::RunRequest;
use dhow_runtime::create::{CreateCallbacks, create_container};
use dhow_runtime::state::ContainerState;
use dhow_runtime::{plan, remove};
use dhow_store::Store;

/// Creates a container without starting it and returns its ID. The process must be single-threaded.
pub fn create(store: &Store, mut request: RunRequest, callbacks: &mut dyn CreateCallbacks) -> Result<String> {
    let created = create_container(store, &mut request, callbacks)?;
    // Planned only to refuse now what could not be started later.
    match plan::make_plan(store, &created.container, &created.layers, &created.identity, None) {
        Ok(_) => {
            // A state file marks it as "created" even with `--rm`; without one it would look abandoned.
            created.container.write_state(&ContainerState::default())?;
            Ok(request.spec.id)
        }
        Err(error) => {
            remove::remove_container(store, created.container, true, &created.identity)?;
            Err(error)
        }
    }
}
