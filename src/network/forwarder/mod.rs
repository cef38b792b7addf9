//! The forwarder: handles everything that leaves a gateway other than through the relay. Packets are read from the
//! gateway's device and answered there.
//!
//! ```text
//!  device ─ packets ─┬─ UDP        ─ UdpForwarder  ─ a host socket per container port (udp.rs)
//!                    ├─ ICMP echo  ─ EchoForwarder ─ a ping socket per container and ident (echo.rs)
//!                    └─ TCP        ─ a ProtocolHandler: the SYN interceptor (tcp.rs) or the user-space stack
//! ```
//!
//! It runs as an event source of one of the relay's workers, or on a thread of its own.
//!
//! Containers decide what arrives here. So everything that is kept for them has a limit ([`FlowLimits`]) and a time-out,
//! and a container that reaches its limit evicts its own oldest entries.

pub(crate) mod device;
pub(crate) mod echo;
mod event_loop;
mod flow_table;
mod icmp_errors;
mod pending;
mod publish;
mod settings;
pub(crate) mod tcp;
mod udp;
mod writer;

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use rustix::event::{EventfdFlags, eventfd};

use device::{PacketDevice, PacketOffload};
use event_loop::{ForwarderCommand, ForwarderLoop};
pub(crate) use settings::{FlowLimits, ForwarderSettings};

use super::packet::IpPacket;
use super::policy::FlowPolicy;
use super::relay::{SourceHandle, SourceRegistration, TcpRelay};

/// Stack size of the forwarder's own thread, in bytes.
const STACK_SIZE: usize = 256 << 10;

/// Takes packets towards the containers.
pub(crate) trait PacketSink: Send + Sync {
    /// Sends a whole IP packet with complete checksums. Like any network, it may drop it.
    fn packet(&self, packet: &[u8]);
}

impl PacketSink for Arc<dyn PacketDevice> {
    fn packet(&self, packet: &[u8]) {
        // The queue is full, or the device is going away: the sender will retry or give up.
        let _ = self.send(&PacketOffload::default(), &[IoSlice::new(packet)]);
    }
}

/// Handles the packets of one protocol. All calls come from one thread.
pub(crate) trait ProtocolHandler: Send {
    /// A container's packet: reassembled, with a correct checksum.
    fn packet(&mut self, packet: &IpPacket<'_>, out: &dyn PacketSink);

    /// A descriptor, such as an epoll instance, that is readable when [`Self::ready`] has work to do.
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn ready(&mut self, _out: &dyn PacketSink) {}

    /// Drops what has timed out by `now`. Returns when to call again.
    fn expire(&mut self, _now: Instant, _out: &dyn PacketSink) -> Option<Instant> {
        None
    }

    /// The container with this address is gone.
    fn forget(&mut self, container: IpAddr);
}

/// The running forwarder of a network. Dropping it ends all of its flows.
#[derive(Debug)]
pub(crate) struct PacketForwarder {
    commands: ForwarderCommandSender,
    host: ForwarderHost,
    next: AtomicU64,
}

/// Where the forwarder's loop runs.
#[derive(Debug)]
enum ForwarderHost {
    Worker(#[expect(dead_code, reason = "it is the gate's end")] SourceHandle),
    Thread(Option<JoinHandle<()>>),
}

/// Sends commands to the forwarder's loop.
#[derive(Clone, Debug)]
struct ForwarderCommandSender {
    sender: Sender<ForwarderCommand>,
    wake: Arc<OwnedFd>,
}

impl ForwarderCommandSender {
    fn send(&self, order: ForwarderCommand) {
        // A loop that has ended has nothing to do, and a counter at its maximum wakes it already.
        let _ = self.sender.send(order);
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }
}

impl PacketForwarder {
    /// Starts the forwarder on a worker of `relay`. Its sockets belong to the workers' network namespace.
    pub(crate) fn start_on_worker(
        device: Arc<dyn PacketDevice>,
        settings: ForwarderSettings,
        policy: Arc<dyn FlowPolicy>,
        tcp: Box<dyn ProtocolHandler>,
        relay: &TcpRelay,
    ) -> io::Result<Self> {
        Self::with(|orders, wake| {
            let make = |nest| ForwarderLoop::new(nest, device, settings, policy, tcp, orders, wake);
            Ok(ForwarderHost::Worker(relay.crew().register_source(make)?))
        })
    }

    /// Starts the forwarder on a thread of its own, for a `tcp` that has much to do. Its sockets belong to
    /// the caller's network namespace.
    pub(crate) fn start_on_thread(
        device: Arc<dyn PacketDevice>,
        settings: ForwarderSettings,
        policy: Arc<dyn FlowPolicy>,
        tcp: Box<dyn ProtocolHandler>,
    ) -> io::Result<Self> {
        Self::with(|orders, wake| {
            let inner = ForwarderLoop::new(
                SourceRegistration::standalone()?,
                device,
                settings,
                policy,
                tcp,
                orders,
                wake,
            )?;
            let thread = std::thread::Builder::new().name("gate".to_owned()).stack_size(STACK_SIZE);
            Ok(ForwarderHost::Thread(Some(thread.spawn(move || inner.run())?)))
        })
    }

    fn with(
        seat: impl FnOnce(Receiver<ForwarderCommand>, Arc<OwnedFd>) -> io::Result<ForwarderHost>,
    ) -> io::Result<Self> {
        let (sender, receiver) = channel();
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let seat = seat(receiver, wake.clone())?;
        Ok(Self { commands: ForwarderCommandSender { sender, wake }, host: seat, next: AtomicU64::new(0) })
    }

    /// Drops everything that belongs to a container.
    pub(crate) fn forget(&self, container: IpAddr) {
        self.commands.send(ForwarderCommand::Forget(container));
    }

    /// Publishes a UDP port: what arrives at `socket`, which is bound in the host's network namespace, goes
    /// to `container` with the sender's address.
    pub(crate) fn publish_udp(&self, socket: OwnedFd, container: SocketAddr) -> io::Result<PublishedUdp> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (answer, result) = channel();
        self.commands.send(ForwarderCommand::Publish { id, socket, container, answer });
        result.recv().map_err(|_| io::Error::other("the gate of the network has ended"))??;
        Ok(PublishedUdp { orders: self.commands.clone(), id })
    }
}

impl Drop for PacketForwarder {
    fn drop(&mut self) {
        if let ForwarderHost::Thread(thread) = &mut self.host
            && let Some(thread) = thread.take()
        {
            self.commands.send(ForwarderCommand::Stop);
            let _ = thread.join();
        }
    }
}

/// A UDP port that is published until this is dropped.
#[derive(Debug)]
pub(crate) struct PublishedUdp {
    orders: ForwarderCommandSender,
    id: u64,
}

impl Drop for PublishedUdp {
    fn drop(&mut self) {
        self.orders.send(ForwarderCommand::Unpublish(self.id));
    }
}

/// Hop limits below this are preserved: somebody chose them, traceroute for one.
const TRACEROUTE_HOPS: u8 = 32;

/// The hop limit to send a packet with; `None` for the default.
fn forwarded_hop_limit(hops: u8) -> Option<u8> {
    (hops < TRACEROUTE_HOPS).then_some(hops.max(1))
}

#[cfg(test)]
mod tests;
