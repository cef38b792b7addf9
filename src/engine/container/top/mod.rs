//! `top`: the processes of a container, as the host's `ps` shows them or as read from /proc.
//!
//! docker runs the host's `ps` and keeps the lines of the container's processes. Without options dhow makes the
//! columns of `ps -ef` itself; where `ps` is not installed, also the common other columns.

mod columns;
mod host_ps;
mod process_info;

use anyhow::Result;

use dhow_runtime::first_process::{self, not_running};
use dhow_sandbox::processes::pids_inside;
use dhow_store::{ContainerDir, Store};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessTable {
    pub titles: Vec<String>,
    /// One per process, with a cell for each title.
    pub rows: Vec<Vec<String>>,
}

/// The processes of the container `text`, in the columns that the ps(1) `options` ask for. `path` is a list
/// of directories to find `ps` in. Errors of kind `Conflict` if the container does not run.
pub fn top(store: &Store, text: &str, options: &[String], path: &str) -> Result<ProcessTable> {
    let container = store.find_container(text)?;
    let pids = processes(&container)?;
    if options.is_empty() {
        return Ok(columns::build_table(&columns::FULL, &pids));
    }
    host_ps::check_options(options)?;
    match host_ps::find(path) {
        Some(program) => host_ps::run_ps(&program, options, &pids),
        None => Ok(columns::build_table(&columns::choose_columns(options)?, &pids)),
    }
}

fn processes(container: &ContainerDir) -> Result<Vec<i32>> {
    let first = first_process::find(container)?.ok_or_else(|| not_running(container))?;
    let pids = pids_inside(first.pid(), first_process::boundary(container.spec()))?;
    // If the container exited meanwhile, a PID may belong to another process by now.
    if first.has_ended()? {
        return Err(not_running(container).into());
    }
    Ok(pids)
}
