//! What leaves a gateway other than by the relay: packets are read from its device and answered, UDP and ICMP echo by
//! sockets of the host's network, TCP by a [`Part`] of its own. One of the relay's workers does it beside its
//! connections, or a thread of the gate's own.
//!
//! Containers decide what arrives here, so everything that is kept for them has a limit ([`Limits`]) and an end, and a
//! container that reaches a limit loses its own oldest.

pub mod device;
pub mod echo;
mod flows;
mod publish;
mod run;
mod settings;
pub mod tcp;
mod trouble;
mod udp;
mod waiting;
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

use device::{Device, Offload};
use run::{Loop, Order};
pub use settings::{Limits, Settings};

use super::packet::Packet;
use super::policy::Policy;
use super::relay::{Nest, Relay, Stay};

/// The stack of the gate's thread, in bytes.
const STACK: usize = 256 << 10;

/// Takes packets towards the containers.
pub trait PacketOut: Send + Sync {
    /// Sends a whole IP packet, its checksums complete. One that does not get through is lost, as on any network.
    fn packet(&self, packet: &[u8]);
}

impl PacketOut for Arc<dyn Device> {
    fn packet(&self, packet: &[u8]) {
        // Queues that are full, and a device that is going away: the sender will try again or give up.
        let _ = self.send(&Offload::default(), &[IoSlice::new(packet)]);
    }
}

/// What answers the packets of one protocol. All calls come from one thread.
pub trait Part: Send {
    /// A packet of a container: a whole one, whose checksum is right.
    fn packet(&mut self, packet: &Packet<'_>, out: &dyn PacketOut);

    /// A descriptor, such as an epoll instance, that is readable when [`Self::ready`] has something to do.
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// [`Self::fd`] is readable.
    fn ready(&mut self, _out: &dyn PacketOut) {}

    /// Lets go of what has timed out by `now`; when to come again.
    fn expire(&mut self, _now: Instant, _out: &dyn PacketOut) -> Option<Instant> {
        None
    }

    /// The container with this address is gone.
    fn forget(&mut self, container: IpAddr);
}

/// The running gate of a network; it ends, and all of its flows, when this is dropped.
#[derive(Debug)]
pub struct Gate {
    orders: Orders,
    seat: Seat,
    next: AtomicU64,
}

/// Who does the gate's work.
#[derive(Debug)]
enum Seat {
    Worker(#[expect(dead_code, reason = "it is the gate's end")] Stay),
    Thread(Option<JoinHandle<()>>),
}

/// A way to who does the gate's work.
#[derive(Clone, Debug)]
struct Orders {
    sender: Sender<Order>,
    wake: Arc<OwnedFd>,
}

impl Orders {
    fn give(&self, order: Order) {
        // A thread that is gone has nothing left to be told, and a counter that is full wakes it already.
        let _ = self.sender.send(order);
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }
}

impl Gate {
    /// Starts the gate with one of the workers of `relay`, whose network namespace becomes that of its sockets.
    pub fn start(
        device: Arc<dyn Device>,
        settings: Settings,
        policy: Arc<dyn Policy>,
        tcp: Box<dyn Part>,
        relay: &Relay,
    ) -> io::Result<Self> {
        Self::with(|orders, wake| {
            let make = |nest| Loop::new(nest, device, settings, policy, tcp, orders, wake);
            Ok(Seat::Worker(relay.crew().host(make)?))
        })
    }

    /// Starts the gate with a thread of its own, for a `tcp` that has much to do, in the network namespace of the caller.
    pub fn start_alone(
        device: Arc<dyn Device>,
        settings: Settings,
        policy: Arc<dyn Policy>,
        tcp: Box<dyn Part>,
    ) -> io::Result<Self> {
        Self::with(|orders, wake| {
            let inner = Loop::new(Nest::alone()?, device, settings, policy, tcp, orders, wake)?;
            let thread = std::thread::Builder::new().name("gate".to_owned()).stack_size(STACK);
            Ok(Seat::Thread(Some(thread.spawn(move || inner.run())?)))
        })
    }

    fn with(seat: impl FnOnce(Receiver<Order>, Arc<OwnedFd>) -> io::Result<Seat>) -> io::Result<Self> {
        let (sender, receiver) = channel();
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let seat = seat(receiver, wake.clone())?;
        Ok(Self { orders: Orders { sender, wake }, seat, next: AtomicU64::new(0) })
    }

    /// Lets go of everything that belongs to a container.
    pub fn forget(&self, container: IpAddr) {
        self.orders.give(Order::Forget(container));
    }

    /// Publishes a UDP port: what comes to `socket`, which is bound in the host's network, goes to `container`, with the
    /// address of who sent it.
    pub fn publish(&self, socket: OwnedFd, container: SocketAddr) -> io::Result<PublishedUdp> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (answer, result) = channel();
        self.orders.give(Order::Publish { id, socket, container, answer });
        result.recv().map_err(|_| io::Error::other("the gate of the network has ended"))??;
        Ok(PublishedUdp { orders: self.orders.clone(), id })
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Seat::Thread(thread) = &mut self.seat
            && let Some(thread) = thread.take()
        {
            self.orders.give(Order::Stop);
            let _ = thread.join();
        }
    }
}

/// A UDP port that is published until this is dropped.
#[derive(Debug)]
pub struct PublishedUdp {
    orders: Orders,
    id: u64,
}

impl Drop for PublishedUdp {
    fn drop(&mut self) {
        self.orders.give(Order::Unpublish(self.id));
    }
}

/// Hop limits below this are passed on: they are meant, as by traceroute.
const MEANT: u8 = 32;

/// The hop limit of a packet, where it is to be passed on.
fn meant(hops: u8) -> Option<u8> {
    (hops < MEANT).then_some(hops.max(1))
}

#[cfg(test)]
mod tests;
