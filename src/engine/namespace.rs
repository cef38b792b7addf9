//! Work on files of every owner: in the account's user namespace, in this process or in a child.

use std::os::fd::BorrowedFd;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Failure, Kind};
use crate::model::environment::Environment;
use crate::model::layer;
use crate::sandbox::identity::{self, Identity};
use crate::sys;
use crate::sys::process::{Side, exit_now, fork};
use crate::sys::socket::Socket;

/// What this account may map, from the environment's `USER` and `PATH`.
pub fn identity(environment: &Environment) -> Identity {
    Identity::probe(environment.text("USER"), environment.text("PATH").unwrap_or_default())
}

/// Moves this process, which has one thread, to where it can handle files of every owner.
pub fn enter(environment: &Environment) -> Result<Identity> {
    let identity = identity(environment);
    identity::enter(&identity)?;
    Ok(identity)
}

/// As [`enter`]; with one id only it becomes that id's root too, because a file's mode may deny it to its owner.
pub fn enter_as_root(environment: &Environment) -> Result<Identity> {
    let identity = enter(environment)?;
    become_root();
    Ok(identity)
}

/// Becomes the root of the one id there is, unless this process is root already.
fn become_root() {
    if !rustix::process::geteuid().is_root() {
        // What cannot be entered leaves what cannot be read, and reading says so.
        let _ = identity::enter_alone();
    }
}

/// How a layer that is unpacked in `identity`'s namespace keeps the owners of its files.
pub fn ownership(identity: &Identity) -> layer::Identity {
    if identity.is_mapped() { layer::Identity::Mapped } else { layer::Identity::Single }
}

/// Does `work` in a child that can handle files of every owner, and waits for it. This process stays as it is.
pub fn in_child(identity: &Identity, work: impl FnOnce() -> Result<()>) -> Result<()> {
    result_of_child(|| identity::enter(identity).and_then(|()| work()))
}

/// As [`in_child`], as root in any case (see [`enter_as_root`]), and returns what `work` does, sent as JSON.
pub fn in_root_child<T: Serialize + DeserializeOwned>(
    identity: &Identity,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    result_of_child(|| {
        identity::enter(identity)?;
        become_root();
        work()
    })
}

/// Does `work` in a child with a new user namespace of all the account's ids, as that of networks is, and returns what
/// it does, sent as JSON.
pub fn in_new_child<T: Serialize + DeserializeOwned>(
    identity: &Identity,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    result_of_child(|| identity::enter_new(identity).and_then(|()| work()))
}

/// Does `work` in a child that is in `namespace`, a user namespace with all the account's ids, and returns what it does,
/// sent as JSON.
pub fn in_child_there<T: Serialize + DeserializeOwned>(
    namespace: BorrowedFd<'_>,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    result_of_child(|| {
        sys::mount::enter_namespace(namespace)?;
        work()
    })
}

fn result_of_child<T: Serialize + DeserializeOwned>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let (ours, theirs) = Socket::pair()?;
    match fork().context("starting a process")? {
        Side::Child => {
            drop(ours);
            let answer = work().map_err(|error| Failure::of(&error));
            let _ = theirs.send(&serde_json::to_vec(&answer).unwrap_or_default(), &[]);
            exit_now(i32::from(answer.is_err()))
        }
        Side::Parent(child) => {
            drop(theirs);
            let said = ours.receive()?.bytes;
            let ended = child.wait()?;
            match serde_json::from_slice::<Result<T, Failure>>(&said) {
                Ok(Err(failure)) => Err(failure.into()),
                Ok(Ok(result)) if ended.code() == 0 => Ok(result),
                _ => Err(Failure::new(Kind::Interrupted, "interrupted").into()),
            }
        }
    }
}
