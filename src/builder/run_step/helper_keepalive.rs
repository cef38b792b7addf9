//! Keeps the network helper running between steps, or each step would start one of its own.

use anyhow::{Context as _, Result};

use super::StepContext;
use dhow_runtime::network;
use dhow_sys::process::{self, ChildProcess, ForkSide};

/// A child process that holds a lease of the network helper. Killed on drop.
pub(crate) struct NetworkHelperKeepalive(ChildProcess);

impl NetworkHelperKeepalive {
    /// Takes the lease, starting the helper if necessary. Call it before the first step that needs a network.
    /// The process must have a single thread.
    pub(crate) fn acquire(context: &StepContext<'_>) -> Result<Self> {
        match process::fork().context("starting a process")? {
            ForkSide::Child => {
                let _ = rustix::process::setpgid(None, None);
                // Inherited sockets and pipes must be closed, or their other ends would never see EOF.
                let isolated = process::die_with_parent().and_then(|()| process::close_others(3, &[]));
                let lease = isolated.map_err(anyhow::Error::from).and_then(|()| {
                    network::hold_helper(context.store, context.identity, context.environment)
                });
                // The step that cannot reach the helper reports the error itself.
                if lease.is_ok() {
                    loop {
                        let _ = rustix::event::poll(&mut [], None);
                    }
                }
                process::exit_now(1)
            }
            ForkSide::Parent(child) => Ok(Self(child)),
        }
    }
}

impl Drop for NetworkHelperKeepalive {
    fn drop(&mut self) {
        let _ = self.0.signal(libc::SIGKILL);
        let _ = self.0.wait();
    }
}
