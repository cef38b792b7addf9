//! Keeps the network helper running from step to step: each would start one of its own otherwise.

use anyhow::{Context as _, Result};

use super::StepContext;
use crate::engine::networking;
use crate::sys::process::{self, Child, Side};

/// A process that holds the helper as long as this lives.
pub struct NetworkKeeper(Child);

impl NetworkKeeper {
    /// Begins to hold it, and starts it if it does not run. To be called before the first step that needs networks; the
    /// process has one thread.
    pub fn begin(context: &StepContext<'_>) -> Result<Self> {
        match process::fork().context("starting a process")? {
            Side::Child => {
                let _ = rustix::process::setpgid(None, None);
                // Who waits for the other end of what is open here is not to wait for this process.
                let alone = process::die_with_parent().and_then(|()| process::close_others(3, &[]));
                let held = alone
                    .map_err(anyhow::Error::from)
                    .and_then(|()| networking::hold(context.store, context.identity, context.environment));
                // A step that cannot reach the helper says so itself.
                if held.is_ok() {
                    loop {
                        let _ = rustix::event::poll(&mut [], None);
                    }
                }
                process::exit_now(1)
            }
            Side::Parent(child) => Ok(Self(child)),
        }
    }
}

impl Drop for NetworkKeeper {
    fn drop(&mut self) {
        let _ = self.0.signal(libc::SIGKILL);
        let _ = self.0.wait();
    }
}
