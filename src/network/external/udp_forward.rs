//! Published UDP ports without a forwarder: a thread per port, and per client a socket in the gateway, whose
//! address is what the container sees.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType};

use crate::netns::NetnsThread;
use crate::socket::open_socket;
use crate::wake::Waker;
use dhow_sys::datagram::{self, OutgoingDatagram, ReceiveBatch, ReportOptions};

/// Concurrent clients of a port; a new one replaces the one that was silent longest.
const MAX_CLIENTS: usize = 256;
/// How long a client may stay silent.
const IDLE_TIMEOUT: Duration = Duration::from_secs(180);
/// How often silent clients are looked for.
const TICK: Timespec = Timespec { tv_sec: 15, tv_nsec: 0 };
/// Maximum datagram size, and how many datagrams are received by one call.
const MAX_DATAGRAM: usize = 65_536;
const BATCH: usize = 16;
/// Stack size of the thread, in bytes.
const STACK: usize = 256 << 10;

/// A published port; dropping it ends it.
#[derive(Debug)]
pub(crate) struct UdpPortForward {
    stop: Arc<Waker>,
    thread: Option<JoinHandle<()>>,
}

impl UdpPortForward {
    /// Forwards what arrives at `socket`, which is bound in the host's network namespace, to `container`,
    /// from an address of the gateway that `netns_thread` runs in.
    pub(crate) fn start(
        socket: OwnedFd,
        container: SocketAddr,
        netns_thread: Arc<NetnsThread>,
    ) -> io::Result<Self> {
        let v6 = rustix::net::getsockname(&socket)?.address_family() == AddressFamily::INET6;
        datagram::enable_reports(
            socket.as_fd(),
            v6,
            ReportOptions { local: true, ..ReportOptions::default() },
        )?;
        let stop = Arc::new(Waker::new()?);
        let port = UdpForwardLoop { socket, container, netns_thread, clients: HashMap::new() };
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("udp port".into()).stack_size(STACK);
        let thread = thread.spawn(move || port.run(&stopped))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for UdpPortForward {
    fn drop(&mut self) {
        self.stop.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A client, and the address of the host that it talks to.
type ForwardedClientKey = (SocketAddr, Option<IpAddr>);

struct UdpForwardLoop {
    socket: OwnedFd,
    container: SocketAddr,
    netns_thread: Arc<NetnsThread>,
    clients: HashMap<ForwardedClientKey, ForwardedClient>,
}

struct ForwardedClient {
    socket: OwnedFd,
    used: Instant,
}

impl UdpForwardLoop {
    fn run(mut self, stop: &Waker) {
        let mut inbox = ReceiveBatch::new(BATCH, MAX_DATAGRAM);
        let mut buffer = vec![0; MAX_DATAGRAM];
        loop {
            let keys: Vec<ForwardedClientKey> = self.clients.keys().copied().collect();
            let mut fds = vec![PollFd::new(stop, PollFlags::IN), PollFd::new(&self.socket, PollFlags::IN)];
            let sockets = keys.iter().filter_map(|key| self.clients.get(key));
            fds.extend(sockets.map(|client| PollFd::new(&client.socket, PollFlags::IN)));
            match poll(&mut fds, Some(&TICK)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            drop(fds);
            if ready.first() == Some(&true) {
                return;
            }
            let now = Instant::now();
            for (key, _) in keys.iter().zip(ready.iter().skip(2)).filter(|(_, ready)| **ready) {
                self.forward_to_client(*key, &mut buffer, now);
            }
            if ready.get(1) == Some(&true) {
                self.forward_to_container(&mut inbox, now);
            }
            self.clients.retain(|_, client| now.duration_since(client.used) < IDLE_TIMEOUT);
        }
    }

    /// From clients to the container.
    fn forward_to_container(&mut self, inbox: &mut ReceiveBatch, now: Instant) {
        // The error belongs to a reply sent earlier; there is nobody to tell.
        if inbox.receive(self.socket.as_fd()).is_err() {
            return;
        }
        for received in inbox.iter() {
            let key = (received.from, received.local);
            if !self.clients.contains_key(&key) {
                self.make_room();
                let Ok(socket) = self.connect() else { continue };
                self.clients.insert(key, ForwardedClient { socket, used: now });
            }
            if let Some(client) = self.clients.get_mut(&key) {
                client.used = now;
                // Like any network: what cannot be delivered now is lost.
                let _ = rustix::net::send(&client.socket, received.bytes, SendFlags::DONTWAIT);
            }
        }
    }

    /// From the container to a client.
    fn forward_to_client(&mut self, key: ForwardedClientKey, buffer: &mut [u8], now: Instant) {
        let Some(client) = self.clients.get_mut(&key) else { return };
        for _ in 0..BATCH {
            // Port unreachable, or nothing left to read.
            let Ok((count, _)) = rustix::net::recv(&client.socket, &mut *buffer, RecvFlags::DONTWAIT) else {
                return;
            };
            client.used = now;
            let parts = [IoSlice::new(buffer.get(..count).unwrap_or_default())];
            let (to, from) = key;
            let message = OutgoingDatagram { to, from, parts: &parts, segment: 0, tos: 0, hops: None };
            let _ = datagram::send(self.socket.as_fd(), &[message]);
        }
    }

    fn make_room(&mut self) {
        if self.clients.len() < MAX_CLIENTS {
            return;
        }
        let oldest = self.clients.iter().min_by_key(|(_, client)| client.used).map(|(key, _)| *key);
        if let Some(oldest) = oldest {
            self.clients.remove(&oldest);
        }
    }

    /// A socket in the gateway, connected to the container.
    fn connect(&self) -> io::Result<OwnedFd> {
        let container = self.container;
        self.netns_thread.call(move || {
            let socket = open_socket(container.is_ipv6(), SocketType::DGRAM, None)?;
            rustix::net::connect(&socket, &container)?;
            Ok(socket)
        })?
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn clients_are_answered_by_the_port_that_they_asked() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = UdpSocket::bind("0.0.0.0:0").unwrap();
        let at = ("127.0.0.3", port.local_addr().unwrap().port());
        let netns_thread = Arc::new(NetnsThread::start("test", || Ok(())).unwrap());
        let forward = UdpPortForward::start(port.into(), server.local_addr().unwrap(), netns_thread).unwrap();
        let clients = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let mut buffer = [0; 100];
        for client in clients.iter().chain(&clients) {
            client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            client.connect(at).unwrap();
            client.send(b"question").unwrap();
            let (count, from) = server.recv_from(&mut buffer).unwrap();
            assert_eq!(&buffer[..count], b"question");
            server.send_to(b"answer", from).unwrap();
            assert_eq!(client.recv(&mut buffer).unwrap(), 6);
        }
        drop(forward);
        clients[0].send(b"question").unwrap();
        assert_eq!(clients[0].recv(&mut buffer).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
