//! `top`: the processes of a container, as the host's `ps` shows them or as read from /proc.
//!
//! docker runs the host's `ps` and keeps the lines of the container's processes. Without options the columns of
//! `ps -ef` are made here, which needs no `ps`; so are the common ones of others where there is none.

mod columns;
mod host;
mod process;

use anyhow::Result;

use super::first_process;
use crate::error::{Failure, Kind};
use crate::sandbox::processes::inside;
use crate::store::{ContainerDir, Store};

/// A table of processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The columns' titles.
    pub titles: Vec<String>,
    /// A row for each process, as long as the titles.
    pub rows: Vec<Vec<String>>,
}

/// The processes of the container that a person means by `text`, in the columns that `options` ask of `ps`; `path` are
/// the directories in which that is sought. Errors of kind conflict where the container does not run.
pub fn top(store: &Store, text: &str, options: &[String], path: &str) -> Result<Table> {
    let container = store.find_container(text)?;
    let pids = processes(&container)?;
    if options.is_empty() {
        return Ok(columns::table(&columns::FULL, &pids));
    }
    host::check(options)?;
    match host::find(path) {
        Some(program) => host::ask(&program, options, &pids),
        None => Ok(columns::table(&columns::choose(options)?, &pids)),
    }
}

fn processes(container: &ContainerDir) -> Result<Vec<i32>> {
    let not_running =
        || Failure::new(Kind::Conflict, format!("Container {} is not running", container.spec().id));
    let first = first_process::find(container)?.ok_or_else(not_running)?;
    let pids = inside(first.pid(), first_process::boundary(container.spec()))?;
    // Had it ended meanwhile, another process might have got its number.
    if first.has_ended()? {
        return Err(not_running().into());
    }
    Ok(pids)
}
