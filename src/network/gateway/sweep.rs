//! Deletes the ports of containers that have exited. The kernel takes tens of milliseconds for an interface,
//! and nobody who starts or stops a container should wait for that, so a thread does it, which lives only
//! while there is work.

use std::sync::{Arc, Mutex};

use super::BRIDGE_INDEX;
use super::ports::{BridgePort, BridgePorts};
use crate::netlink::{NetlinkSocket, RouteBatch};
use crate::sync::lock;

/// Stack size of the thread, in bytes.
const STACK: usize = 64 << 10;

/// Deletes ports in the background.
#[derive(Debug)]
pub(super) struct PortSweeper {
    /// A netlink socket in the gateway's namespace, used by the thread alone.
    route: NetlinkSocket,
    ports: Arc<Mutex<BridgePorts>>,
    queue: Mutex<SweepQueue>,
}

#[derive(Debug, Default)]
struct SweepQueue {
    waiting: Vec<BridgePort>,
    busy: bool,
}

impl PortSweeper {
    pub(super) fn new(route: NetlinkSocket, ports: Arc<Mutex<BridgePorts>>) -> Arc<Self> {
        Arc::new(Self { route, ports, queue: Mutex::default() })
    }

    /// Schedules the deletion of a port that carries no traffic any more.
    pub(super) fn schedule(self: &Arc<Self>, port: BridgePort) {
        let mut queue = lock(&self.queue);
        queue.waiting.push(port);
        if std::mem::replace(&mut queue.busy, true) {
            return;
        }
        drop(queue);
        let this = Arc::clone(self);
        let thread = std::thread::Builder::new().name("sweeper".into()).stack_size(STACK);
        if thread.spawn(move || this.sweep()).is_err() {
            // No thread to be had: do it here, and let the caller wait.
            self.sweep();
        }
    }

    fn sweep(&self) {
        loop {
            let mut queue = lock(&self.queue);
            if queue.waiting.is_empty() {
                queue.busy = false;
                return;
            }
            let ports = std::mem::take(&mut queue.waiting);
            drop(queue);
            ports.iter().for_each(|port| self.remove(port));
        }
    }

    fn remove(&self, port: &BridgePort) {
        let mut batch = RouteBatch::default();
        batch.delete(port.index, &port.name());
        // The port may have gone with the container's namespace.
        let _ = batch.send(&self.route);
        let mut batch = RouteBatch::default();
        // A new container may have the address by now; its neighbour entry must stay.
        let ports = lock(&self.ports);
        for address in port.addresses.iter().filter(|address| ports.bridged && !ports.has(**address)) {
            batch.delete_neighbour(BRIDGE_INDEX, *address);
        }
        if !batch.is_empty() {
            let _ = batch.send(&self.route);
        }
    }
}
