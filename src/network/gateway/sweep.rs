//! What is left of containers that have ended. The kernel takes tens of milliseconds to remove an interface, and nobody
//! who starts or ends another container is to wait for that, so it is done by a thread that lives as long as there is
//! something to do.

use std::sync::{Arc, Mutex};

use super::BRIDGE;
use super::ports::{Port, Ports, lock};
use crate::network::netlink::{Batch, Socket};

/// The stack of the thread in bytes.
const STACK: usize = 64 << 10;

/// Removes ports.
#[derive(Debug)]
pub(super) struct Sweeper {
    /// Of the gateway's namespace; the thread's alone.
    route: Socket,
    ports: Arc<Mutex<Ports>>,
    gone: Mutex<Gone>,
}

#[derive(Debug, Default)]
struct Gone {
    waiting: Vec<Port>,
    busy: bool,
}

impl Sweeper {
    pub(super) fn new(route: Socket, ports: Arc<Mutex<Ports>>) -> Arc<Self> {
        Arc::new(Self { route, ports, gone: Mutex::default() })
    }

    /// Has a port removed that nothing goes by any more.
    pub(super) fn give(self: &Arc<Self>, port: Port) {
        let mut gone = lock(&self.gone);
        gone.waiting.push(port);
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

    fn sweep(&self) {
        loop {
            let mut gone = lock(&self.gone);
            if gone.waiting.is_empty() {
                gone.busy = false;
                return;
            }
            let ports = std::mem::take(&mut gone.waiting);
            drop(gone);
            ports.iter().for_each(|port| self.remove(port));
        }
    }

    fn remove(&self, port: &Port) {
        let mut batch = Batch::default();
        batch.delete(port.index, &port.name());
        // It may have gone with the container's namespace.
        let _ = batch.send(&self.route);
        let mut batch = Batch::default();
        let ports = lock(&self.ports);
        for address in port.addresses.iter().filter(|address| ports.bridged && !ports.has(**address)) {
            batch.delete_neighbour(BRIDGE, *address);
        }
        if !batch.is_empty() {
            let _ = batch.send(&self.route);
        }
    }
}
