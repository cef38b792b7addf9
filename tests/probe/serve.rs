//! The server half of the network sections: one line from a client says what its connection is for.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::hash::{self, Pattern, Sha256};
use crate::{fact, shown, sys};

/// A piece of a transfer in bytes.
const PIECE: usize = 64 << 10;

/// The stack of a connection's thread in bytes.
const STACK: usize = 64 << 10;

/// Datagrams and their bytes that were sent to be counted.
static COUNTED: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];

/// Serves TCP and UDP on `ports` of all addresses, or on whole addresses, until it is killed.
pub fn serve(ports: &[String]) {
    sys::raise_descriptors();
    let places: Vec<SocketAddr> = ports
        .iter()
        .map(|text| match text.parse() {
            Ok(port) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
            Err(_) => text.parse().unwrap_or_else(|_| panic!("no port and no address: {text}")),
        })
        .collect();
    let threads: Vec<_> = places
        .into_iter()
        .flat_map(|place| {
            let listener = listen(place).unwrap_or_else(|error| panic!("tcp {place}: {error}"));
            let socket = bind(place).unwrap_or_else(|error| panic!("udp {place}: {error}"));
            [thread::spawn(move || accept(&listener)), thread::spawn(move || answer(&socket))]
        })
        .collect();
    fact("serving", ports.join(" "));
    for thread in threads {
        let _ = thread.join();
    }
}

/// A machine without IPv6 has no address `::`.
fn listen(place: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(place).or_else(|_| TcpListener::bind(("0.0.0.0", place.port())))?;
    sys::deepen(&listener)?;
    Ok(listener)
}

fn bind(place: SocketAddr) -> io::Result<UdpSocket> {
    UdpSocket::bind(place).or_else(|_| UdpSocket::bind(("0.0.0.0", place.port())))
}

fn accept(listener: &TcpListener) {
    loop {
        // A connection that was reset before it was accepted is no reason to end.
        let Ok((stream, peer)) = listener.accept() else { continue };
        let work = move || match converse(stream, peer) {
            Ok(()) => {}
            Err(error) => fact("broken", format!("{peer} {}", shown::<u8>(Err(error)))),
        };
        if thread::Builder::new().stack_size(STACK).spawn(work).is_err() {
            fact("broken", "no thread");
        }
    }
}

/// The address as a client knows it: what came by IPv4 to a socket of IPv6 is shown as IPv4.
fn plain(address: SocketAddr) -> String {
    format!("{} {}", address.ip().to_canonical(), address.port())
}

fn converse(mut stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
    let line = read_line(&mut stream)?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let number = |at: usize| words.get(at).and_then(|word| word.parse().ok()).unwrap_or(0_u64);
    stream.set_nodelay(true)?;
    match words.first().copied().unwrap_or_default() {
        "whoami" => writeln!(stream, "{}", plain(peer)),
        "here" => writeln!(stream, "{}", plain(stream.local_addr()?)),
        "echo" => echo(&mut stream),
        "transfer" => transfer(stream, number(1), number(2), number(3) << 1),
        "count" => count(&mut stream),
        "bye" => bye(&mut stream),
        "reset" => sys::reset(stream),
        "close" => Ok(()),
        "slow" => slow(&mut stream, number(1), Duration::from_millis(number(2))),
        "hold" => hold(&mut stream),
        "sink" => drain(&mut stream).map(drop),
        "source" => pour(&mut stream),
        "counted" => {
            let [packets, bytes] = [&COUNTED[0], &COUNTED[1]].map(|number| number.swap(0, Ordering::Relaxed));
            writeln!(stream, "{packets} {bytes}")
        }
        // A browser or `wget`: what it asked for and who it is.
        "GET" => writeln!(stream, "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n{} {}", plain(peer), number(1)),
        _ => writeln!(stream, "what?"),
    }
}

fn read_line(stream: &mut TcpStream) -> io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < 200 {
        if stream.read(&mut byte)? == 0 || byte[0] == b'\n' {
            break;
        }
        line.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

fn echo(stream: &mut TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count])?;
    }
}

/// Both ways at once: takes `up` bytes, gives `down`, then says the hashes of both.
fn transfer(mut stream: TcpStream, up: u64, down: u64, seed: u64) -> io::Result<()> {
    let mut writer = stream.try_clone()?;
    let sending = thread::spawn(move || send(&mut writer, down, seed + 1));
    let received = receive(&mut stream, up)?;
    let sent = sending.join().map_err(|_| io::Error::other("the sender panicked"))??;
    writeln!(stream, "{received} {sent}")
}

/// Writes `count` bytes of the pattern `seed`, and returns their hash.
pub fn send(stream: &mut impl Write, mut count: u64, seed: u64) -> io::Result<String> {
    let (mut pattern, mut hash) = (Pattern::new(seed), Sha256::new());
    let mut buffer = vec![0; PIECE];
    while count > 0 {
        let piece = usize::try_from(count).unwrap_or(PIECE).min(PIECE);
        pattern.fill(&mut buffer[..piece]);
        hash.update(&buffer[..piece]);
        stream.write_all(&buffer[..piece])?;
        count -= piece as u64;
    }
    Ok(hash.hex())
}

/// Reads `count` bytes and returns their hash.
pub fn receive(stream: &mut impl Read, mut count: u64) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; PIECE];
    while count > 0 {
        let room = usize::try_from(count).unwrap_or(PIECE).min(PIECE);
        let got = stream.read(&mut buffer[..room])?;
        if got == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        hash.update(&buffer[..got]);
        count -= got as u64;
    }
    Ok(hash.hex())
}

/// Reads until the other side ends its half, then says how much that was and its hash.
fn count(stream: &mut TcpStream) -> io::Result<()> {
    let (bytes, hash) = drain_hashed(stream)?;
    writeln!(stream, "{bytes} {hash}")
}

/// Ends its own half first, then reads on; what it reads is a fact.
fn bye(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"bye\n")?;
    stream.shutdown(Shutdown::Write)?;
    let (bytes, hash) = drain_hashed(stream)?;
    fact("after-bye", format!("{bytes} {hash}"));
    Ok(())
}

fn drain_hashed(stream: &mut TcpStream) -> io::Result<(u64, String)> {
    let (mut bytes, mut hash) = (0, Sha256::new());
    let mut buffer = vec![0; PIECE];
    loop {
        let got = stream.read(&mut buffer)?;
        if got == 0 {
            return Ok((bytes, hash.hex()));
        }
        hash.update(&buffer[..got]);
        bytes += got as u64;
    }
}

/// One byte after another with a pause between them.
fn slow(stream: &mut TcpStream, bytes: u64, pause: Duration) -> io::Result<()> {
    for n in 0..bytes {
        stream.write_all(&[b'a' + (n % 26) as u8])?;
        thread::sleep(pause);
    }
    Ok(())
}

/// Says that it is there, waits for the end, and tells how that came.
fn hold(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"held\n")?;
    let end = drain(stream);
    fact("released", shown(end));
    Ok(())
}

pub fn drain(stream: &mut TcpStream) -> io::Result<u64> {
    let mut buffer = vec![0; 4 * PIECE];
    let mut bytes = 0;
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(bytes),
            got => bytes += got as u64,
        }
    }
}

/// Writes until nobody reads any more.
fn pour(stream: &mut TcpStream) -> io::Result<()> {
    let buffer = vec![0x5a; 4 * PIECE];
    while stream.write_all(&buffer).is_ok() {}
    Ok(())
}

/// Answers datagrams: with the sender's address, with a size, with a hash, or with themselves.
fn answer(socket: &UdpSocket) {
    let mut buffer = vec![0; 1 << 16];
    loop {
        // An error is what ICMP said of an earlier answer.
        let Ok((count, from)) = socket.recv_from(&mut buffer) else { continue };
        let payload = &buffer[..count];
        // Before anything that takes longer the more there is: this is what measures the way.
        if payload.starts_with(b"sink ") {
            COUNTED[0].fetch_add(1, Ordering::Relaxed);
            COUNTED[1].fetch_add(count as u64, Ordering::Relaxed);
            continue;
        }
        let text = String::from_utf8_lossy(payload);
        let mut words = text.split_whitespace();
        let reply = match words.next() {
            Some("whoami") => plain(from).into_bytes(),
            Some("size") => vec![b'z'; words.next().and_then(|word| word.parse().ok()).unwrap_or(0)],
            Some("hash") => format!("{count} {}", hash::of(payload)).into_bytes(),
            _ => payload.to_vec(),
        };
        // Whoever asked may be gone.
        let _ = socket.send_to(&reply, from);
    }
}
