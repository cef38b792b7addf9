//! `wait`: waits until a container exits.

use anyhow::Result;

use super::attach::wire::{Order, Report};
use super::control::{Answer, ask};
use super::ps;
use crate::store::Store;

/// Waits for the exit of the container `text` and returns its exit code; immediately if it does not run.
pub fn wait(store: &Store, text: &str) -> Result<i32> {
    let container = store.find_container(text)?;
    match ask(&container, &Order::Wait)? {
        Answer::Report(Report::Ended(code)) => Ok(code),
        // Not running: the exit code is the recorded one.
        Answer::Report(_) | Answer::Nobody(_) => Ok(ps::look_at(container)?.exit_code()),
    }
}
