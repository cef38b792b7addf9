//! What is left of containers that have ended. The kernel takes tens of milliseconds to remove an interface, and nobody
//! who starts or ends another container is to wait for that, so it is done by a thread that lives as long as there is
//! something to do.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::BRIDGE;
use super::ports::{Port, Ports, lock};
use crate::model::network::Mac;
use crate::network::netlink::{Batch, Socket};

/// The stack of the thread in bytes.
const STACK: usize = 64 << 10;

/// How long at most to wait for an interface to be gone.
const PATIENCE: Duration = Duration::from_secs(2);

/// Removes ports.
#[derive(Debug)]
pub(super) struct Sweeper {
    /// Of the gateway's namespace; the thread's alone.
    route: Socket,
    ports: Arc<Mutex<Ports>>,
    gone: Mutex<Gone>,
    done: Condvar,
}

#[derive(Debug, Default)]
struct Gone {
    waiting: Vec<(Mac, Port)>,
    /// What is being removed.
    going: Vec<Mac>,
    busy: bool,
}

impl Sweeper {
    pub(super) fn new(route: Socket, ports: Arc<Mutex<Ports>>) -> Arc<Self> {
        Arc::new(Self { route, ports, gone: Mutex::default(), done: Condvar::new() })
    }

    /// Has the port removed that `mac` was behind.
    pub(super) fn give(self: &Arc<Self>, mac: Mac, port: Port) {
        let mut gone = lock(&self.gone);
        gone.waiting.push((mac, port));
        if std::mem::replace(&mut gone.busy, true) {
            return;
        }
        drop(gone);
        let this = Arc::clone(self);
        let thread = std::thread::Builder::new().name("sweeper".into()).stack_size(STACK);
        if thread.spawn(move || this.sweep()).is_err() {
            self.sweep();
        }
    }

    /// Waits until nothing is left of what was removed with this hardware address: the bridge would send to the old port
    /// what is for the new one.
    pub(super) fn wait(&self, mac: Mac) {
        let there = |gone: &mut Gone| {
            gone.going.contains(&mac) || gone.waiting.iter().any(|(waiting, _)| *waiting == mac)
        };
        drop(
            self.done
                .wait_timeout_while(lock(&self.gone), PATIENCE, there)
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    fn sweep(&self) {
        loop {
            let mut gone = lock(&self.gone);
            gone.going.clear();
            self.done.notify_all();
            if gone.waiting.is_empty() {
                gone.busy = false;
                return;
            }
            let ports = std::mem::take(&mut gone.waiting);
            gone.going.extend(ports.iter().map(|(mac, _)| *mac));
            drop(gone);
            ports.iter().for_each(|(_, port)| self.remove(port));
        }
    }

    fn remove(&self, port: &Port) {
        let mut batch = Batch::default();
        batch.delete(port.index, &port.name());
        // It may have gone with the container's namespace.
        let _ = batch.send(&self.route);
        let mut batch = Batch::default();
        let ports = lock(&self.ports);
        for address in port.addresses.iter().filter(|address| !ports.has(**address)) {
            batch.delete_neighbour(BRIDGE, *address);
        }
        if !batch.is_empty() {
            let _ = batch.send(&self.route);
        }
    }
}
