//! The client half of the network sections: each connects, does one thing and says how it went.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::os::fd::FromRawFd as _;
use std::thread;
use std::time::{Duration, Instant};

use crate::serve::{drain, receive, send};
use crate::{dns, fact, hash, load, serve, shown, sys};

/// Time that anything of the network may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Time that the answer to a datagram may take, and after which it is asked for again: any of them may get lost.
const ANSWER: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_secs(1);

/// `probe net VERB ARGUMENT…`; a verb that fails says so in the fact `result`.
pub fn net(arguments: &[String]) {
    let Some((verb, rest)) = arguments.split_first() else { return fact("result", "!verb") };
    let number =
        |at: usize, default: u64| rest.get(at).and_then(|text| text.parse().ok()).unwrap_or(default);
    let begin = Instant::now();
    let result = match verb.as_str() {
        "serve" => return serve::serve(rest),
        "resolve" => rest.iter().try_for_each(|name| resolve(name)),
        "dns" => dns::ask(rest),
        "flood" | "rr" | "crr" | "udp-flood" | "udp-rr" => load::run(verb, rest),
        "connect" => target(rest).and_then(|to| connect(to, number(1, 10_000))),
        "ask" => target(rest).and_then(|to| ask(to, &rest[1..].join(" "))),
        "transfer" => target(rest).and_then(|to| transfer(to, number(1, 0), number(2, 0), number(3, 1))),
        "half" => target(rest).and_then(|to| half_close(to, number(1, 0))),
        "bye" => target(rest).and_then(|to| bye(to, number(1, 0))),
        "leave" => target(rest).and_then(|to| leave(to, number(1, 0))),
        "abort" => target(rest).and_then(abort),
        "stuff" => target(rest).and_then(|to| stuff(to, number(1, 1000))),
        "spray" => address(rest).and_then(|to| spray(to, number(1, 1))),
        "udp-spray" => address(rest).and_then(|to| udp_spray(to, number(1, 1))),
        "many" => target(rest).and_then(|to| many(to, number(1, 1), number(2, 0))),
        "udp" => target(rest).and_then(|to| udp(to, &rest[1..].join(" "), number(2, 10_000))),
        "udp-hash" => target(rest).and_then(|to| udp_hash(to, number(1, 0))),
        "udp-many" => target(rest).and_then(|to| udp_many(to, number(1, 1))),
        "mtu" => target(rest).and_then(|to| {
            let mtu = sys::path_mtu(&udp_socket(to)?, to.is_ipv6())?;
            fact("mtu", mtu);
            Ok(())
        }),
        "ping" => address(rest).and_then(ping),
        _ => Err(io::Error::other("no such verb")),
    };
    fact("ms", begin.elapsed().as_millis());
    match result {
        Ok(()) => fact("result", "ok"),
        Err(error) if error.raw_os_error().is_none() => fact("result", format!("!{error}")),
        Err(error) => fact("result", shown::<u8>(Err(error))),
    }
}

/// The first argument: an address and a port, or a name and a port.
pub fn target(arguments: &[String]) -> io::Result<SocketAddr> {
    let text = arguments.first().ok_or_else(|| io::Error::other("no target"))?;
    text.to_socket_addrs()?.next().ok_or_else(|| io::Error::other("no address"))
}

fn address(arguments: &[String]) -> io::Result<IpAddr> {
    let text = arguments.first().ok_or_else(|| io::Error::other("no address"))?;
    text.parse().map_err(io::Error::other)
}

/// A connection whose reads and writes end.
pub fn open(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// With no limit of its own where `limit` (milliseconds) is 0: the kernel's error then says how it ended.
fn connect(to: SocketAddr, limit: u64) -> io::Result<()> {
    let stream = match limit {
        0 => TcpStream::connect(to)?,
        limit => TcpStream::connect_timeout(&to, Duration::from_millis(limit))?,
    };
    fact("local", stream.local_addr()?);
    fact("peer", stream.peer_addr()?);
    Ok(())
}

/// Sends a line and shows all that comes back.
fn ask(to: SocketAddr, line: &str) -> io::Result<()> {
    let mut stream = open(to)?;
    writeln!(stream, "{line}")?;
    let mut answer = Vec::new();
    let end = stream.read_to_end(&mut answer);
    fact("answer", String::from_utf8_lossy(&answer).trim_end());
    end.map(drop)
}

/// Both ways at once on each of `streams` connections.
fn transfer(to: SocketAddr, up: u64, down: u64, streams: u64) -> io::Result<()> {
    let all: Vec<_> = (0..streams).map(|seed| thread::spawn(move || transfer_one(to, up, down, seed))).collect();
    for one in all {
        one.join().map_err(|_| io::Error::other("a stream panicked"))??;
    }
    Ok(())
}

fn transfer_one(to: SocketAddr, up: u64, down: u64, seed: u64) -> io::Result<()> {
    let mut stream = open(to)?;
    writeln!(stream, "transfer {up} {down} {seed}")?;
    let mut writer = stream.try_clone()?;
    let sending = thread::spawn(move || send(&mut writer, up, seed << 1));
    let received = receive(&mut stream, down)?;
    let sent = sending.join().map_err(|_| io::Error::other("the sender panicked"))??;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let expected = format!("{sent} {received}");
    if answer.trim_end() == expected {
        fact("transferred", expected);
        Ok(())
    } else {
        Err(io::Error::other(format!("hashes differ: here {expected}, there {}", answer.trim_end())))
    }
}

/// Sends, ends its half, and still hears the answer.
fn half_close(to: SocketAddr, bytes: u64) -> io::Result<()> {
    let mut stream = open(to)?;
    stream.write_all(b"count\n")?;
    let sent = send(&mut stream, bytes, 3)?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    fact("sent", format!("{bytes} {sent}"));
    fact("answer", answer.trim_end());
    Ok(())
}

/// Hears the end of the other half, and still sends.
fn bye(to: SocketAddr, bytes: u64) -> io::Result<()> {
    let mut stream = open(to)?;
    stream.write_all(b"bye\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    fact("answer", answer.trim_end());
    let sent = send(&mut stream, bytes, 4)?;
    fact("sent", format!("{bytes} {sent}"));
    until_sent(&stream)
}

/// Sends and ends, without waiting for an answer.
fn leave(to: SocketAddr, bytes: u64) -> io::Result<()> {
    let mut stream = TcpStream::connect(to)?;
    fact("sent", send(&mut stream, bytes, 4)?);
    until_sent(&stream)
}

/// Waits until the kernel has got everything across: what it still holds when a container ends goes with the container.
fn until_sent(stream: &TcpStream) -> io::Result<()> {
    let own = stream.local_addr()?;
    let table = if own.is_ipv4() { "/proc/self/net/tcp" } else { "/proc/self/net/tcp6" };
    let port = format!(":{:04X}", own.port());
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let table = std::fs::read_to_string(table)?;
        let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let unsent = lines.any(|fields| fields[1].ends_with(&port) && !fields[4].starts_with("00000000:"));
        if !unsent {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Ends a connection without a word.
fn abort(to: SocketAddr) -> io::Result<()> {
    let mut stream = open(to)?;
    stream.write_all(b"hold\n")?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer)?;
    sys::reset(stream)
}

/// Writes to a server that does not read, for `limit` milliseconds without progress: how much went nowhere.
fn stuff(to: SocketAddr, limit: u64) -> io::Result<()> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_write_timeout(Some(Duration::from_millis(limit)))?;
    let piece = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        match stream.write(&piece) {
            Ok(count) => bytes += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    fact("bytes", bytes);
    Ok(())
}

/// Opens `count` connections, has each of them answer only when all are open, and again after `pause` milliseconds.
fn many(to: SocketAddr, count: u64, pause: u64) -> io::Result<()> {
    sys::raise_descriptors();
    let mut streams = Vec::new();
    for _ in 0..count {
        match open(to) {
            Ok(stream) => streams.push(stream),
            Err(error) => {
                fact("opened", streams.len());
                return Err(error);
            }
        }
    }
    fact("opened", streams.len());
    for stream in &mut streams {
        stream.write_all(b"echo\n")?;
    }
    for round in 0..2 {
        for (n, stream) in streams.iter_mut().enumerate() {
            writeln!(stream, "{round}-{n:07}")?;
        }
        for (n, stream) in streams.iter_mut().enumerate() {
            let mut answer = [0; 10];
            stream.read_exact(&mut answer)?;
            if answer != *format!("{round}-{n:07}\n").as_bytes() {
                return Err(io::Error::other(format!("connection {n} answered {answer:?}")));
            }
        }
        thread::sleep(Duration::from_millis(if round == 0 { pause } else { 0 }));
    }
    fact("answered", streams.len());
    for mut stream in streams {
        stream.shutdown(Shutdown::Write)?;
        drain(&mut stream)?;
    }
    Ok(())
}

/// Connections that are given up as soon as they are asked for.
fn spray(to: IpAddr, count: u64) -> io::Result<()> {
    for port in 0..count {
        let to = SocketAddr::new(to, u16::try_from(port % 60_000).unwrap_or(0) + 1);
        let _ = TcpStream::connect_timeout(&to, Duration::from_millis(1));
    }
    Ok(())
}

/// A datagram from many ports to many.
fn udp_spray(to: IpAddr, count: u64) -> io::Result<()> {
    for port in 0..count {
        let to = SocketAddr::new(to, u16::try_from(port % 60_000).unwrap_or(0) + 1);
        udp_socket(to)?.send(b"spray")?;
    }
    Ok(())
}

fn udp_socket(to: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = if to.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(to)?;
    Ok(socket)
}

/// Sends a datagram and takes the answer.
fn exchange(
    socket: &UdpSocket,
    datagram: &[u8],
    limit: Duration,
    buffer: &mut [u8],
) -> io::Result<usize> {
    socket.send(datagram)?;
    await_answer(socket, datagram, limit, buffer)
}

/// Takes the answer to a datagram that was sent; it is sent again, which is a fact, as long as there is none.
fn await_answer(
    socket: &UdpSocket,
    datagram: &[u8],
    limit: Duration,
    buffer: &mut [u8],
) -> io::Result<usize> {
    let begin = Instant::now();
    loop {
        let left = limit.saturating_sub(begin.elapsed()).max(Duration::from_millis(1));
        socket.set_read_timeout(Some(left.min(AGAIN)))?;
        match socket.recv(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && left > AGAIN => {
                fact("again", begin.elapsed().as_millis());
                socket.send(datagram)?;
            }
            answer => return answer,
        }
    }
}

fn udp(to: SocketAddr, text: &str, limit: u64) -> io::Result<()> {
    let socket = udp_socket(to)?;
    let mut buffer = vec![0; 1 << 16];
    let count = exchange(&socket, text.as_bytes(), Duration::from_millis(limit), &mut buffer)?;
    fact("bytes", count);
    fact("answer", String::from_utf8_lossy(&buffer[..count.min(200)]));
    Ok(())
}

/// The error of a datagram that is too long for its way.
const EMSGSIZE: i32 = 90;

/// One datagram of `bytes` bytes, whose hash comes back. Sent once more where it was too long to go in one piece.
fn udp_hash(to: SocketAddr, bytes: u64) -> io::Result<()> {
    let socket = udp_socket(to)?;
    let mut payload = vec![b'.'; usize::try_from(bytes).unwrap_or(0)];
    payload[..5].copy_from_slice(b"hash ");
    hash::Pattern::new(5).fill(&mut payload[5..]);
    let mut buffer = [0; 200];
    let count = match exchange(&socket, &payload, ANSWER, &mut buffer) {
        Err(error) if error.raw_os_error() == Some(EMSGSIZE) => {
            fact("told", shown::<u8>(Err(error)));
            exchange(&socket, &payload, ANSWER, &mut buffer)?
        }
        count => count?,
    };
    let expected = format!("{bytes} {}", hash::of(&payload));
    let answer = String::from_utf8_lossy(&buffer[..count]);
    if answer == expected { Ok(()) } else { Err(io::Error::other(format!("{answer} is not {expected}"))) }
}

/// One request for an echo, by the kind of socket that needs no privilege.
fn ping(to: IpAddr) -> io::Result<()> {
    const DGRAM: i32 = 2;
    let (family, protocol, request) = if to.is_ipv4() { (2, 1, 8) } else { (10, 58, 128) };
    // SAFETY: socket(2) takes numbers, and what it returns is nobody else's.
    let socket = unsafe { UdpSocket::from_raw_fd(sys::answer(sys::socket(family, DGRAM, protocol))?) };
    sys::report_errors(&socket, to.is_ipv6())?;
    socket.connect((to, 0))?;
    let echo = [request, 0, 0, 0, 0, 0, 0, 1, b'e', b'c', b'h', b'o'];
    let mut buffer = [0; 100];
    let count = exchange(&socket, &echo, ANSWER, &mut buffer)?;
    if buffer[..count].ends_with(b"echo") { Ok(()) } else { Err(io::Error::other("another echo")) }
}

/// Questions from `count` ports at once, each with its own answer.
fn udp_many(to: SocketAddr, count: u64) -> io::Result<()> {
    sys::raise_descriptors();
    let sockets: Vec<UdpSocket> = (0..count).map(|_| udp_socket(to)).collect::<io::Result<_>>()?;
    let mut answered = 0;
    // A few at a time: a datagram that finds no room is lost, by rights.
    for group in sockets.chunks(32) {
        for (n, socket) in group.iter().enumerate() {
            socket.send(format!("number {n}").as_bytes())?;
        }
        for (n, socket) in group.iter().enumerate() {
            let mut buffer = [0; 100];
            let got = await_answer(socket, format!("number {n}").as_bytes(), ANSWER, &mut buffer)?;
            answered += u64::from(buffer[..got] == *format!("number {n}").as_bytes());
        }
    }
    fact("answered", answered);
    Ok(())
}

/// The addresses of a name, as any program of the container would find them.
fn resolve(name: &str) -> io::Result<()> {
    for address in (name, 0).to_socket_addrs()? {
        fact("address", address.ip());
    }
    Ok(())
}
