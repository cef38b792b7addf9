//! The relay between real sockets on the loopback interface.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::*;

const MEGA: usize = 1 << 20;
/// Time limit for any single wait.
const LIMIT: Duration = Duration::from_secs(30);

/// Connects every client to `target`.
#[derive(Debug)]
struct Onward {
    target: SocketAddr,
    all: Arc<ConnectionQuota>,
    owner: u64,
}

impl AcceptHandler for Onward {
    fn accepted(&self, socket: OwnedFd, peer: SocketAddr) -> Option<RelayPair> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let inside = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).ok();
        let (inside, permit) = inside.zip(QuotaPermit::acquire(&[&self.all]))?;
        reset_on_close(&inside);
        match rustix::net::connect(&inside, &self.target) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
            Err(_) => return None,
        }
        let (container, owner) = (peer.ip(), self.owner);
        Some(RelayPair { inside, outside: socket, connecting: true, container, owner, permit })
    }
}

struct Rig {
    relay: TcpRelay,
    /// Where clients connect.
    front: SocketAddr,
    /// Accepts their connections behind the relay.
    server: TcpListener,
    owner: u64,
}

impl Rig {
    fn new(workers: usize) -> Self {
        let relay = TcpRelay::with_workers(workers, ConnectionLimits::raise()).unwrap();
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let front = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        // std's backlog is 128, and 2,000 connections come at once.
        rustix::net::listen(&server, 4096).unwrap();
        rustix::net::listen(&front, 4096).unwrap();
        front.set_nonblocking(true).unwrap();
        let at = front.local_addr().unwrap();
        let owner = relay.pool().next_owner();
        let onward =
            Onward { target: server.local_addr().unwrap(), all: Arc::clone(&relay.pool().all), owner };
        relay.pool().listen(front.into(), owner, Arc::new(onward));
        Self { relay, front: at, server, owner }
    }

    fn connect(&self) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(self.front).unwrap();
        let (server, _) = self.server.accept().unwrap();
        for end in [&client, &server] {
            end.set_read_timeout(Some(LIMIT)).unwrap();
            end.set_write_timeout(Some(LIMIT)).unwrap();
        }
        (client, server)
    }

    fn wait_until_there_are(&self, connections: usize) {
        let until = Instant::now() + LIMIT;
        while self.relay.connections() != connections {
            assert!(Instant::now() < until, "{} connections, not {connections}", self.relay.connections());
            thread::yield_now();
        }
    }
}

/// Bytes that differ by position and seed.
fn pattern(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

fn read_all(mut from: &TcpStream) -> std::io::Result<Vec<u8>> {
    let mut all = Vec::new();
    from.read_to_end(&mut all)?;
    Ok(all)
}

#[test]
fn bytes_arrive_as_they_are_both_ways_at_once() {
    let rig = Rig::new(2);
    thread::scope(|scope| {
        for number in 0..4 {
            let (client, server) = rig.connect();
            let (there, back) = (pattern(6 * MEGA + number, 1), pattern(5 * MEGA - number, 2));
            let send = |mut to: TcpStream, bytes: Vec<u8>| {
                scope.spawn(move || {
                    to.write_all(&bytes).unwrap();
                    to.shutdown(std::net::Shutdown::Write).unwrap();
                });
            };
            let receive = |from: TcpStream, bytes: Vec<u8>| {
                scope.spawn(move || assert!(read_all(&from).unwrap() == bytes, "something else arrived"));
            };
            send(client.try_clone().unwrap(), there.clone());
            send(server.try_clone().unwrap(), back.clone());
            receive(client, back);
            receive(server, there);
        }
    });
    rig.wait_until_there_are(0);
}

#[test]
fn an_end_of_one_direction_leaves_the_other_open() {
    let rig = Rig::new(1);
    let (client, mut server) = rig.connect();
    (&client).write_all(b"question").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_all(&server).unwrap(), b"question");
    let answer = pattern(3 * MEGA, 3);
    let sent = answer.clone();
    let writer = thread::spawn(move || server.write_all(&sent).unwrap());
    assert!(read_all(&client).unwrap() == answer);
    writer.join().unwrap();
    rig.wait_until_there_are(0);
}

#[test]
fn a_reset_of_one_side_resets_the_other_after_what_came_before() {
    let rig = Rig::new(1);
    for client_resets in [true, false] {
        let (client, server) = rig.connect();
        let (mut ours, mut theirs) = if client_resets { (client, server) } else { (server, client) };
        ours.write_all(b"last words").unwrap();
        let mut words = [0; 10];
        theirs.read_exact(&mut words).unwrap();
        reset_on_close(&ours.into());
        assert_eq!(&words, b"last words");
        assert_eq!(theirs.read(&mut words).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
    rig.wait_until_there_are(0);
}

#[test]
fn nobody_behind_it_resets_the_client() {
    let mut rig = Rig::new(1);
    rig.server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut client = TcpStream::connect(rig.front).unwrap();
    client.set_read_timeout(Some(LIMIT)).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    rig.wait_until_there_are(0);
}

#[test]
fn who_does_not_read_stops_his_own_peer_only() {
    let rig = Rig::new(1);
    let (slow, server) = rig.connect();
    server.set_nonblocking(true).unwrap();
    let chunk = pattern(MEGA, 4);
    let mut sent = 0_usize;
    let mut quick = rig.connect();
    // Fill all buffers on the path: until nothing more moves although others were served meanwhile.
    let mut refusals = 0;
    while refusals < 50 {
        match (&server).write(chunk.get(sent % MEGA..).unwrap()) {
            Ok(count) => (sent, refusals) = (sent + count, 0),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                refusals += 1;
            }
        }
        assert!(sent < 256 * MEGA, "it takes without end");
        quick.0.write_all(b"ping").unwrap();
        let mut echo = [0; 4];
        quick.1.read_exact(&mut echo).unwrap();
        quick.1.write_all(&echo).unwrap();
        quick.0.read_exact(&mut echo).unwrap();
    }
    drop(server);
    let all = read_all(&slow).unwrap();
    assert_eq!(all.len(), sent);
    assert!(all.chunks(MEGA).all(|part| part == chunk.get(..part.len()).unwrap()));
}

#[test]
fn two_thousand_connections_at_once() {
    let rig = Rig::new(2);
    let count = rig.relay.pool().limits.connections.min(2000);
    let mut ends: Vec<_> = (0..count).map(|_| rig.connect()).collect();
    rig.wait_until_there_are(count);
    for round in 0..2_u32 {
        for ((client, _), number) in ends.iter_mut().zip(0_u32..) {
            client.write_all(&(number ^ round).to_be_bytes()).unwrap();
        }
        for ((_, server), number) in ends.iter_mut().zip(0_u32..) {
            let mut got = [0; 4];
            server.read_exact(&mut got).unwrap();
            assert_eq!(u32::from_be_bytes(got), number ^ round);
            server.write_all(&got).unwrap();
        }
        for ((client, _), number) in ends.iter_mut().zip(0_u32..) {
            let mut got = [0; 4];
            client.read_exact(&mut got).unwrap();
            assert_eq!(u32::from_be_bytes(got), number ^ round);
        }
    }
    drop(ends);
    rig.wait_until_there_are(0);
}

#[test]
fn a_container_that_goes_loses_its_connections_and_a_listener_its_port() {
    let rig = Rig::new(2);
    let (client, _server) = rig.connect();
    rig.relay.pool().reset_container(rig.owner, Ipv4Addr::new(192, 0, 2, 1).into());
    rig.relay.pool().reset_container(rig.owner + 1, Ipv4Addr::LOCALHOST.into());
    (&client).write_all(b"still there").unwrap();
    rig.relay.pool().reset_container(rig.owner, Ipv4Addr::LOCALHOST.into());
    assert_eq!((&client).read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    rig.wait_until_there_are(0);
    let (client, _server) = rig.connect();
    rig.relay.pool().close_owner(rig.owner);
    assert_eq!((&client).read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    // A process that another test is about to spawn briefly holds a copy of the listener.
    let until = Instant::now() + LIMIT;
    let refused = || TcpStream::connect(rig.front).is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused);
    while !refused() {
        assert!(Instant::now() < until, "it still listens");
    }
}

#[test]
fn without_descriptors_new_ones_are_refused_and_others_served() {
    // The limit is per process, so run this in its own.
    let test = "relay::tests::alone_without_descriptors";
    let path = std::env::current_exe().unwrap();
    let output = std::process::Command::new(path)
        .args(["--ignored", "--exact", test, "--test-threads=1"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "run by without_descriptors_new_ones_are_refused_and_others_served, in a process of its own"]
fn alone_without_descriptors() {
    let rig = Rig::new(1);
    let (mut client, mut server) = rig.connect();
    let mut late: Vec<_> = (0..8)
        .map(|_| rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap())
        .map(TcpStream::from)
        .collect();
    let files = dhow_sys::rlimit::RlimitResource::by_name("nofile").unwrap();
    let (_, hard) = files.get().unwrap();
    let taken: Vec<OwnedFd> = {
        files.set(128, hard).unwrap();
        std::iter::from_fn(|| rustix::io::dup(&client).ok()).collect()
    };
    assert!(!taken.is_empty());
    for socket in &mut late {
        // The kernel completes the connection, then the relay resets it.
        rustix::net::connect(&*socket, &rig.front).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        assert_eq!(socket.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
    // Existing connections go on, streams included, although there is no pipe for them.
    let bytes = pattern(2 * MEGA, 5);
    let (done, result) = mpsc::channel();
    let sent = bytes.clone();
    thread::spawn(move || {
        client.write_all(&sent).unwrap();
        done.send(client).unwrap();
    });
    let mut got = vec![0; bytes.len()];
    server.read_exact(&mut got).unwrap();
    assert!(got == bytes);
    let client = result.recv_timeout(LIMIT).unwrap();
    drop((taken, client, server));
    rig.wait_until_there_are(0);
    rig.connect();
}
