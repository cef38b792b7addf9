//! Work on files of every owner, in the account's user namespace: by this process or in a child.
//!
//! Layers and containers hold files of many owners, which outside the user namespace are subordinate ids that the
//! user may neither create nor delete. A process that entered the namespace cannot leave it again, so commands
//! that have other things to do fork a child for such work.

use std::os::fd::BorrowedFd;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use dhow_error::{Failure, FailureKind};
use dhow_model::environment::Environment;
use dhow_model::layer;
use dhow_sandbox::identity::{self, HostIdentity};
use dhow_sys::process::{ForkSide, exit_now, fork};
use dhow_sys::socket::SeqpacketSocket;

/// What ids this account may map, from `USER` and `PATH` of the environment.
pub fn probe_identity(environment: &Environment) -> HostIdentity {
    HostIdentity::probe(environment.text("USER"), environment.text("PATH").unwrap_or_default())
}

/// Moves this process, which must be single-threaded, into the account's user namespace.
pub fn enter(environment: &Environment) -> Result<HostIdentity> {
    let identity = probe_identity(environment);
    identity::enter_userns(&identity)?;
    Ok(identity)
}

/// Like [`enter`]; with a single id it becomes root of that id too, because a file's mode may deny it to its
/// owner.
pub fn enter_as_root(environment: &Environment) -> Result<HostIdentity> {
    let identity = enter(environment)?;
    become_root();
    Ok(identity)
}

/// Becomes root of the single id, unless this process is root already: the modes of its own files may deny access to
/// their owner.
pub fn become_root() {
    if !rustix::process::geteuid().is_root() {
        // If this fails, reading the files will, with a better message.
        let _ = identity::enter_single_id_userns();
    }
}

/// How a layer unpacked in `identity`'s namespace represents the owners of its files.
pub fn layer_ownership(identity: &HostIdentity) -> layer::LayerOwnership {
    if identity.is_mapped() { layer::LayerOwnership::Mapped } else { layer::LayerOwnership::Single }
}

/// Runs `work` in a child inside the account's user namespace and waits for it. This process stays outside.
pub fn run_in_child(identity: &HostIdentity, work: impl FnOnce() -> Result<()>) -> Result<()> {
    fork_and_wait(|| identity::enter_userns(identity).and_then(|()| work()))
}

/// Like [`run_in_child`], but as root in any case (see [`enter_as_root`]). The result is passed back as JSON.
pub fn run_in_root_child<T: Serialize + DeserializeOwned>(
    identity: &HostIdentity,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    fork_and_wait(|| {
        identity::enter_userns(identity)?;
        become_root();
        work()
    })
}

/// Runs `work` in a child with a new user namespace that maps all of the account's ids, like the one for
/// networks. The result is passed back as JSON.
pub fn run_in_new_userns<T: Serialize + DeserializeOwned>(
    identity: &HostIdentity,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    fork_and_wait(|| identity::enter_new_userns(identity).and_then(|()| work()))
}

/// Runs `work` in a child inside `namespace`, a user namespace that maps all of the account's ids. The result
/// is passed back as JSON.
pub fn run_in_userns<T: Serialize + DeserializeOwned>(
    namespace: BorrowedFd<'_>,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    fork_and_wait(|| {
        dhow_sys::namespace::setns(namespace, 0)?;
        work()
    })
}

fn fork_and_wait<T: Serialize + DeserializeOwned>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let (ours, theirs) = SeqpacketSocket::pair()?;
    match fork().context("starting a process")? {
        ForkSide::Child => {
            drop(ours);
            // The exit code repeats the outcome: a child killed after it has sent must not pass for a
            // success.
            let answer = work().map_err(|error| Failure::from_chain(&error));
            let _ = theirs.send(&serde_json::to_vec(&answer).unwrap_or_default(), &[]);
            exit_now(i32::from(answer.is_err()))
        }
        ForkSide::Parent(child) => {
            drop(theirs);
            let reply = ours.receive()?.bytes;
            let exit = child.wait()?;
            match serde_json::from_slice::<Result<T, Failure>>(&reply) {
                Ok(Err(failure)) => Err(failure.into()),
                Ok(Ok(result)) if exit.code() == 0 => Ok(result),
                // Nothing readable came: the child was killed.
                _ => Err(Failure::new(FailureKind::Interrupted, "interrupted").into()),
            }
        }
    }
}
