//! `container ls`: lists containers by state, number and filters.

mod filters;
mod image_names;
#[cfg(test)]
mod tests;

use anyhow::Result;

use self::filters::ContainerFilters;
pub use self::image_names::ImageNames;

use crate::container_summary::ContainerSummary;
use dhow_model::filter::ListFilter;
use dhow_runtime::remove::{is_abandoned, remove_abandoned};
use dhow_runtime::state::ContainerState;
use dhow_sandbox::identity::HostIdentity;
use dhow_store::{ScannedContainer, Store};

#[derive(Clone, Debug, Default)]
pub struct ContainerQuery {
    /// Also those that do not run.
    pub all: bool,
    /// Only this many, the newest, in any state.
    pub last: Option<usize>,
    /// Values of one key are alternatives; all keys must match.
    pub filters: Vec<ListFilter>,
}

/// The containers that `query` selects, newest first. Removes `--rm` containers whose supervisor was killed
/// before it could, as far as they are looked at; that needs `identity`, and the process must be single-threaded.
pub fn list(
    store: &Store,
    query: &ContainerQuery,
    identity: impl FnOnce() -> HostIdentity,
) -> Result<Vec<ContainerSummary>> {
    let filters = ContainerFilters::new(store, &query.filters)?;
    // These select by state themselves, so stopped containers are looked at too.
    let all = query.all || query.last.is_some() || filters.ask_for_state();
    let mut scanned = match filters.candidates(store)? {
        Some(ids) => store.scan_some_containers(&ids, all, ContainerState::may_run)?,
        None => store.scan_containers(all, ContainerState::may_run)?,
    };
    let before = scanned.len();
    // What is locked runs or is being changed; only the rest can have been abandoned.
    scanned.retain(|one| one.locked || !is_abandoned(one.dir.spec(), one.state.as_ref()));
    if scanned.len() < before {
        // A container that cannot be removed must not keep the others from being listed.
        let _ = remove_abandoned(store, &identity());
    }
    let summary = |one: ScannedContainer<ContainerState>| ContainerSummary {
        dir: one.dir,
        state: one.state.unwrap_or_default(),
        running: one.locked,
    };
    let mut containers: Vec<ContainerSummary> = scanned.into_iter().map(summary).collect();
    containers.retain(|container| (all || container.is_up()) && filters.accept(container));
    containers.sort_by(|a, b| b.spec().created.cmp(&a.spec().created));
    containers.truncate(query.last.unwrap_or(usize::MAX));
    Ok(containers)
}
