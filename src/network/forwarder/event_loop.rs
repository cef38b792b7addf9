//! The forwarder's event loop: reads packets, sockets and commands, and dispatches each to its handler.

use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::ops::{ControlFlow, Range};
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};

use super::context::ForwarderContext;
use super::device::{PacketDevice, PacketOffload};
use super::echo::EchoForwarder;
use super::flow_table::SocketWatcher;
use super::udp::{OutboundDatagram, UdpForwarder};
use super::writer::PacketWriter;
use super::{ForwarderConfig, ForwarderSettings, ProtocolHandler};
use crate::packet::reassemble::Reassembler;
use crate::packet::{self, IpPacket, icmp, protocol};
use crate::relay::{EventSource, SourceRegistration};
use crate::wake::CommandReceiver;

/// Events per epoll_wait(2).
const EVENTS: usize = 64;

/// Packets read in one go.
const BATCH: usize = 64;

/// Bytes for them; room for one packet of the longest comes on top.
const ARENA_SIZE: usize = 256 << 10;

/// The longest delay from an event to the next look at time-outs.
const TICK: Duration = Duration::from_millis(500);

pub(crate) enum ForwarderCommand {
    /// Drops everything of a container.
    Forget(IpAddr),
    /// Publishes a UDP port.
    Publish {
        id: u64,
        socket: OwnedFd,
        container: SocketAddr,
        answer: Sender<io::Result<()>>,
    },
    Unpublish(u64),
    Stop,
}

/// What became readable, in the order of handling. Commands come first, so that they are in force for packets
/// that were sent after they were given.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ReadySource {
    Commands,
    Device,
    Tcp,
    /// A socket, by its descriptor number.
    Udp(RawFd),
    Echo(RawFd),
}

impl ReadySource {
    /// Tag bits of a socket's token.
    const UDP: u64 = 1 << 32;
    const ECHO: u64 = 1 << 33;

    /// Decodes a token; those of sockets are made by [`SocketWatcher`].
    fn from_token(token: u64) -> Option<Self> {
        let fd = (token as u32).cast_signed();
        match token {
            COMMANDS_TOKEN => Some(Self::Commands),
            DEVICE_TOKEN => Some(Self::Device),
            TCP_TOKEN => Some(Self::Tcp),
            _ if token & Self::UDP != 0 => Some(Self::Udp(fd)),
            _ if token & Self::ECHO != 0 => Some(Self::Echo(fd)),
            _ => None,
        }
    }
}

/// Tokens of the sources that exist once.
const COMMANDS_TOKEN: u64 = 0;
const DEVICE_TOKEN: u64 = 1;
const TCP_TOKEN: u64 = 2;

pub(crate) struct ForwarderLoop {
    registration: Arc<SourceRegistration>,
    ready: Vec<ReadySource>,
    device: Arc<dyn PacketDevice>,
    settings: Arc<ForwarderSettings>,
    writer: Arc<PacketWriter>,
    commands: CommandReceiver<ForwarderCommand>,
    reassembler: Reassembler,
    /// The buffer that packets are read into.
    arena: Vec<u8>,
    tcp: Box<dyn ProtocolHandler>,
    udp: UdpForwarder,
    echo: EchoForwarder,
    /// When time-outs are checked next.
    next: Option<Instant>,
}

/// A complete packet: one in the arena, or one that was reassembled.
enum WholePacket {
    Read(Range<usize>, PacketOffload),
    Reassembled(Vec<u8>),
}

impl ForwarderLoop {
    pub(super) fn new(
        registration: SourceRegistration,
        config: ForwarderConfig,
        commands: CommandReceiver<ForwarderCommand>,
    ) -> io::Result<Self> {
        let ForwarderConfig { device, settings, policy, tcp } = config;
        let settings = Arc::new(settings);
        let writer = Arc::new(PacketWriter::new(device.clone(), settings.mtu));
        let registration = Arc::new(registration);
        let context = ForwarderContext { writer: writer.clone(), policy, settings: settings.clone() };
        let udp = UdpForwarder::new(SocketWatcher::new(&registration, ReadySource::UDP), context.clone());
        let echo = EchoForwarder::new(SocketWatcher::new(&registration, ReadySource::ECHO), context);
        registration.add(device.fd(), DEVICE_TOKEN)?;
        registration.add(commands.waker(), COMMANDS_TOKEN)?;
        if let Some(fd) = tcp.fd() {
            registration.add(fd, TCP_TOKEN)?;
        }
        Ok(Self {
            registration,
            ready: Vec::new(),
            device,
            settings,
            writer,
            commands,
            reassembler: Reassembler::default(),
            arena: vec![0; ARENA_SIZE + packet::MAX],
            tcp,
            udp,
            echo,
            next: None,
        })
    }

    /// Runs until it is told to stop.
    pub(super) fn run(mut self) {
        let mut space = [MaybeUninit::uninit(); EVENTS];
        loop {
            let wait = self.next.map(|next| next.saturating_duration_since(Instant::now()));
            let wait = wait.and_then(|wait| Timespec::try_from(wait).ok());
            match epoll::wait(self.registration.epoll(), &mut space, wait.as_ref()) {
                Ok((events, _)) => {
                    events.iter().for_each(|event| self.notice(SourceRegistration::source_token(event)))
                }
                Err(rustix::io::Errno::INTR) => continue,
                // The epoll instance itself is broken.
                Err(_) => return,
            }
            if self.process_ready().is_break() {
                return;
            }
        }
    }

    /// Handles what became readable, and what is due.
    fn process_ready(&mut self) -> ControlFlow<()> {
        let mut ready = std::mem::take(&mut self.ready);
        ready.sort_unstable();
        for source in &ready {
            self.handle(*source, Instant::now())?;
        }
        let now = Instant::now();
        if self.next.is_some_and(|next| next <= now) {
            self.next = self.expire(now);
        }
        if !ready.is_empty() {
            let tick = TICK.min(self.settings.limits.unreplied / 4);
            self.next = self.next.into_iter().chain([now + tick]).min();
        }
        ready.clear();
        self.ready = ready;
        ControlFlow::Continue(())
    }

    fn handle(&mut self, source: ReadySource, now: Instant) -> ControlFlow<()> {
        match source {
            ReadySource::Device => self.packets(now),
            ReadySource::Commands => return self.run_commands(),
            ReadySource::Tcp => self.tcp.ready(&*self.writer),
            ReadySource::Udp(fd) => self.udp.ready(fd, now),
            ReadySource::Echo(fd) => self.echo.ready(fd, now),
        }
        ControlFlow::Continue(())
    }

    fn run_commands(&mut self) -> ControlFlow<()> {
        self.commands.waker().reset();
        while let Ok(command) = self.commands.try_recv() {
            match command {
                ForwarderCommand::Forget(container) => {
                    self.udp.forget(container);
                    self.echo.forget(container);
                    self.tcp.forget(container);
                    self.reassembler.forget(container);
                }
                ForwarderCommand::Publish { id, socket, container, answer } => {
                    // The caller may have gone.
                    let _ = answer.send(self.udp.publish(id, socket, container));
                }
                ForwarderCommand::Unpublish(id) => self.udp.published.remove(id),
                ForwarderCommand::Stop => return ControlFlow::Break(()),
            }
        }
        ControlFlow::Continue(())
    }

    fn expire(&mut self, now: Instant) -> Option<Instant> {
        let deadlines = [
            self.udp.expire(now),
            self.echo.expire(now),
            self.reassembler.expire(now),
            self.tcp.expire(now, &*self.writer),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Reads packets from the device until the arena is full.
    fn read(&mut self) -> Vec<(Range<usize>, PacketOffload)> {
        let mut read = Vec::with_capacity(BATCH);
        let mut start = 0;
        while let Some(room) = self.arena.get_mut(start..).filter(|room| room.len() >= packet::MAX) {
            match self.device.receive(room) {
                Ok((length, offload)) => {
                    let end = start + length.min(room.len());
                    read.push((start..end, offload));
                    start = end.next_multiple_of(8);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    // The device went away with its namespace. Level-triggered, it would be reported as
                    // readable for ever.
                    if read.is_empty() {
                        self.registration.remove(self.device.fd());
                    }
                    break;
                }
            }
            if read.len() == BATCH {
                break;
            }
        }
        read
    }

    /// Reads what there is, and puts fragments together.
    fn receive(&mut self, now: Instant) -> Vec<WholePacket> {
        let read = self.read();
        let mut list = Vec::with_capacity(read.len());
        for (range, offload) in read {
            let Some(bytes) = self.arena.get_mut(range.clone()) else { continue };
            let Ok(packet) = IpPacket::parse(bytes) else { continue };
            if !self.settings.is_inside(packet.source) {
                continue;
            }
            if packet.fragment.is_some() {
                // The fragments' own checksums are checked once the packet is complete.
                list.extend(self.reassembler.add(&packet, now).map(WholePacket::Reassembled));
                continue;
            }
            // Not needed for UDP: the kernel computes another one when the datagram is sent on.
            if packet.protocol != protocol::UDP
                && let Some((start, offset)) = offload.checksum
            {
                packet::complete_checksum(bytes, start.into(), offset.into());
            }
            list.push(WholePacket::Read(range, offload));
        }
        list
    }

    /// Receives packets and hands each to the handler of its protocol.
    fn packets(&mut self, now: Instant) {
        let list = self.receive(now);
        let Self { arena, settings, writer, tcp, udp, echo, .. } = self;
        let mut items = Vec::with_capacity(list.len());
        for received in &list {
            let (bytes, offload, reassembled) = match received {
                WholePacket::Read(range, offload) => {
                    (arena.get(range.clone()).unwrap_or_default(), *offload, false)
                }
                WholePacket::Reassembled(bytes) => (&bytes[..], PacketOffload::default(), true),
            };
            let Ok(packet) = IpPacket::parse(bytes) else { continue };
            let pending = packet.protocol == protocol::UDP && offload.checksum.is_some();
            if !settings.is_routable(packet.target) || !(pending || packet.is_intact()) {
                continue;
            }
            // A packet longer than the external MTU came in fragments, which the kernel may have reassembled
            // (or it will not get out at all).
            let was_fragments =
                reassembled || offload.segment == 0 && bytes.len() > settings.external_mtu.into();
            let may_fragment = was_fragments || !packet.dont_fragment;
            if settings.is_inside(packet.target) {
                // Containers of a network reach each other over the bridge, or (isolated) not at all; never
                // through the gateway.
                writer.refuse(&packet, icmp::IcmpError::Host, settings.gateway(packet.source));
                continue;
            }
            match packet.protocol {
                protocol::UDP => {
                    items.extend(OutboundDatagram::parse(packet, offload.segment, !may_fragment))
                }
                protocol::TCP => tcp.packet(&packet, &**writer),
                protocol::ICMP | protocol::ICMPV6 => {
                    if let Some(request) = packet.echo() {
                        echo.outbound(&packet, &request, !may_fragment, now);
                    }
                }
                _ => writer.refuse(&packet, icmp::IcmpError::Protocol, None),
            }
        }
        if !items.is_empty() {
            udp.outbound(&items, now);
        }
    }
}

impl EventSource for ForwarderLoop {
    fn notice(&mut self, source_token: u64) {
        self.ready.extend(ReadySource::from_token(source_token));
    }

    fn run_ready(&mut self) {
        // A source is removed by its handle; it never gets a stop command.
        let _ = self.process_ready();
    }

    fn deadline(&self) -> Option<Instant> {
        self.next
    }
}

impl Drop for ForwarderLoop {
    fn drop(&mut self) {
        // The device and the eventfd may outlive the loop: the epoll set would keep reporting them.
        self.registration.remove(self.device.fd());
        self.registration.remove(self.commands.waker());
    }
}
