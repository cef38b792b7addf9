//! The forwarder: handles everything that leaves a gateway other than through the relay. Packets are read
//! from the gateway's device and answered there.
//!
//! ```text
//!  device ─ packets ─┬─ UDP        ─ UdpForwarder  ─ a host socket per container port (udp.rs)
//!                    ├─ ICMP echo  ─ EchoForwarder ─ a ping socket per container and ident (echo.rs)
//!                    └─ TCP        ─ a ProtocolHandler: the SYN interceptor or the user-space stack
//! ```
//!
//! It runs as an event source of one of the relay's workers, or on a thread of its own.
//!
//! Containers decide what arrives here. So everything that is kept for them has a limit ([`FlowLimits`]) and
//! a time-out, and a container that reaches its limit evicts its own oldest entries.

mod context;
pub(crate) mod device;
pub(crate) mod echo;
mod event_loop;
mod flow_table;
mod gso;
mod host_socket;
mod icmp_errors;
mod pending;
mod publish;
mod settings;
pub(crate) mod syn_interceptor;
mod udp;
mod writer;

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Instant;

use device::{PacketDevice, PacketOffload};
use event_loop::{ForwarderCommand, ForwarderLoop};
pub(crate) use settings::{FlowLimits, ForwarderSettings};

use super::packet::IpPacket;
use super::policy::FlowPolicy;
use super::relay::{SourceHandle, SourceRegistration, TcpRelay};
use super::wake::{CommandSender, command_channel};

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

/// What a network's forwarder is made of.
pub(crate) struct ForwarderConfig {
    pub(crate) device: Arc<dyn PacketDevice>,
    pub(crate) settings: ForwarderSettings,
    pub(crate) policy: Arc<dyn FlowPolicy>,
    pub(crate) tcp: Box<dyn ProtocolHandler>,
}

/// The running forwarder of a network. Dropping it ends all of its flows.
#[derive(Debug)]
pub(crate) struct PacketForwarder {
    commands: CommandSender<ForwarderCommand>,
    host: ForwarderHost,
    next: AtomicU64,
}

/// Where the forwarder's loop runs.
#[derive(Debug)]
enum ForwarderHost {
    Worker { _handle: SourceHandle },
    Thread(Option<JoinHandle<()>>),
}

impl PacketForwarder {
    /// Starts the forwarder on a worker of `relay`. Its sockets belong to the workers' network namespace.
    pub(crate) fn start_on_worker(config: ForwarderConfig, relay: &TcpRelay) -> io::Result<Self> {
        let (sender, receiver) = command_channel()?;
        let make = |registration| ForwarderLoop::new(registration, config, receiver);
        let handle = relay.pool().register_source(make)?;
        Ok(Self::new(sender, ForwarderHost::Worker { _handle: handle }))
    }

    /// Starts the forwarder on a thread of its own, for a TCP handler that has much to do. Its sockets belong
    /// to the caller's network namespace.
    pub(crate) fn start_on_thread(config: ForwarderConfig) -> io::Result<Self> {
        let (sender, receiver) = command_channel()?;
        let forwarder_loop = ForwarderLoop::new(SourceRegistration::standalone()?, config, receiver)?;
        let thread = std::thread::Builder::new().name("forwarder".to_owned()).stack_size(STACK_SIZE);
        Ok(Self::new(sender, ForwarderHost::Thread(Some(thread.spawn(move || forwarder_loop.run())?))))
    }

    fn new(commands: CommandSender<ForwarderCommand>, host: ForwarderHost) -> Self {
        Self { commands, host, next: AtomicU64::new(0) }
    }

    /// Drops everything that belongs to a container.
    pub(crate) fn forget(&self, container: IpAddr) {
        // A loop that has ended has nothing to forget.
        let _ = self.commands.send(ForwarderCommand::Forget(container));
    }

    /// Publishes a UDP port: what arrives at `socket`, which is bound in the host's network namespace, goes
    /// to `container` with the sender's address.
    pub(crate) fn publish_udp(&self, socket: OwnedFd, container: SocketAddr) -> io::Result<PublishedUdp> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (answer, result) = channel();
        // If the loop has ended, `recv` fails too.
        let _ = self.commands.send(ForwarderCommand::Publish { id, socket, container, answer });
        result.recv().map_err(|_| io::Error::other("the packet forwarder of the network has ended"))??;
        Ok(PublishedUdp { commands: self.commands.clone(), id })
    }
}

impl Drop for PacketForwarder {
    fn drop(&mut self) {
        if let ForwarderHost::Thread(thread) = &mut self.host
            && let Some(thread) = thread.take()
        {
            let _ = self.commands.send(ForwarderCommand::Stop);
            let _ = thread.join();
        }
    }
}

/// A UDP port that is published until this is dropped.
#[derive(Debug)]
pub(crate) struct PublishedUdp {
    commands: CommandSender<ForwarderCommand>,
    id: u64,
}

impl Drop for PublishedUdp {
    fn drop(&mut self) {
        let _ = self.commands.send(ForwarderCommand::Unpublish(self.id));
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
