//! `wait`: until a container ends.

use anyhow::Result;

use super::attach::wire::{Order, Report};
use super::control::{Answer, ask};
use super::ps;
use crate::store::Store;

/// Waits until the container that a person means by `text` has ended, and returns its exit code: at once if it does
/// not run.
pub fn wait(store: &Store, text: &str) -> Result<i32> {
    let container = store.find_container(text)?;
    match ask(&container, &Order::Wait)? {
        Answer::Report(Report::Ended(code)) => Ok(code),
        Answer::Report(_) | Answer::Nobody(_) => Ok(ps::look_at(container)?.exit_code()),
    }
}
