//! Load for measurements: throughput, round trips, connections and datagrams in a given time.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::fact;
use crate::net::{open, target};

/// `flood out|in TARGET MS STREAMS`, `rr TARGET COUNT`, `crr TARGET MS THREADS`, `udp-flood TARGET MS SIZE`,
/// `udp-rr TARGET COUNT`, where the target is this probe as a server.
pub fn run(verb: &str, arguments: &[String]) -> io::Result<()> {
    let number = |at: usize| {
        let text = arguments.get(at).ok_or_else(|| io::Error::other("an argument is missing"))?;
        text.parse::<u64>().map_err(io::Error::other)
    };
    match verb {
        "flood" => {
            let out = arguments.first().is_some_and(|way| way == "out");
            flood(target(&arguments[1..])?, out, Duration::from_millis(number(2)?), number(3)?)
        }
        "rr" => round_trips(target(arguments)?, number(1)?),
        "crr" => connections(target(arguments)?, Duration::from_millis(number(1)?), number(2)?),
        "udp-flood" => datagrams(target(arguments)?, Duration::from_millis(number(1)?), number(2)?),
        _ => datagram_round_trips(target(arguments)?, number(1)?),
    }
}

/// Gigabits per second of payload over `streams` connections: sent and received on this side, so what the buffers of
/// the way hold (a few megabytes) is counted once.
fn flood(to: SocketAddr, out: bool, time: Duration, streams: u64) -> io::Result<()> {
    let bytes = Arc::new(AtomicU64::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let all: Vec<_> = (0..streams)
        .map(|_| {
            let (bytes, over) = (bytes.clone(), over.clone());
            thread::spawn(move || flood_one(to, out, &bytes, &over))
        })
        .collect();
    // The first part of a connection is not its speed.
    thread::sleep(time / 8);
    let (begin, before) = (Instant::now(), bytes.load(Ordering::Relaxed));
    thread::sleep(time);
    let (elapsed, after) = (begin.elapsed(), bytes.load(Ordering::Relaxed));
    over.store(true, Ordering::Relaxed);
    for one in all {
        one.join().map_err(|_| io::Error::other("a stream panicked"))??;
    }
    fact("bytes", after - before);
    fact("gbit", format!("{:.3}", (after - before) as f64 * 8.0 / elapsed.as_secs_f64() / 1e9));
    Ok(())
}

fn flood_one(to: SocketAddr, out: bool, bytes: &AtomicU64, over: &AtomicBool) -> io::Result<()> {
    let mut stream = open(to)?;
    stream.write_all(if out { b"sink\n" } else { b"source\n" })?;
    let mut buffer = vec![0x5a; 256 << 10];
    while !over.load(Ordering::Relaxed) {
        let count = if out { stream.write(&buffer)? } else { stream.read(&mut buffer)? };
        bytes.fetch_add(count as u64, Ordering::Relaxed);
    }
    Ok(())
}

fn show_times(mut times: Vec<Duration>) {
    times.sort();
    for (name, part) in [("p50", 50), ("p99", 99)] {
        if let Some(time) = times.get(times.len() * part / 100) {
            fact(&format!("us_{name}"), format!("{:.1}", time.as_secs_f64() * 1e6));
        }
    }
}

fn round_trips(to: SocketAddr, count: u64) -> io::Result<()> {
    let mut stream = open(to)?;
    stream.write_all(b"echo\n")?;
    let mut times = Vec::new();
    let mut buffer = [0; 64];
    for _ in 0..count {
        let begin = Instant::now();
        stream.write_all(&buffer)?;
        stream.read_exact(&mut buffer)?;
        times.push(begin.elapsed());
    }
    show_times(times);
    Ok(())
}

/// Connections made, used once and ended, by `threads` at once.
fn connections(to: SocketAddr, time: Duration, threads: u64) -> io::Result<()> {
    let end = Instant::now() + time;
    let all: Vec<_> = (0..threads)
        .map(|_| {
            thread::spawn(move || -> io::Result<u64> {
                let mut made = 0;
                while Instant::now() < end {
                    let mut stream = open(to)?;
                    stream.write_all(b"whoami\n")?;
                    let mut answer = Vec::new();
                    stream.read_to_end(&mut answer)?;
                    made += 1;
                }
                Ok(made)
            })
        })
        .collect();
    let mut made = 0;
    for one in all {
        made += one.join().map_err(|_| io::Error::other("a thread panicked"))??;
    }
    fact("connections", made);
    fact("per_second", format!("{:.0}", made as f64 / time.as_secs_f64()));
    Ok(())
}

fn socket(to: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = if to.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(Duration::from_secs(3)))?;
    Ok(socket)
}

/// As many datagrams as can be sent; what arrived is asked of the server.
fn datagrams(to: SocketAddr, time: Duration, size: u64) -> io::Result<()> {
    let counted = || -> io::Result<(u64, u64)> {
        let mut stream = open(to)?;
        stream.write_all(b"counted\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let mut numbers = answer.split_whitespace().filter_map(|word| word.parse().ok());
        let malformed = || io::Error::other("no count");
        Ok((numbers.next().ok_or_else(malformed)?, numbers.next().ok_or_else(malformed)?))
    };
    counted()?;
    let socket = socket(to)?;
    let mut payload = vec![b'.'; usize::try_from(size).unwrap_or(1400)];
    payload[..5].copy_from_slice(b"sink ");
    let begin = Instant::now();
    let mut sent = 0_u64;
    while begin.elapsed() < time {
        for _ in 0..16 {
            // A full queue is not an error of the way.
            sent += u64::from(socket.send(&payload).is_ok());
        }
    }
    let elapsed = begin.elapsed().as_secs_f64();
    thread::sleep(Duration::from_millis(50));
    let (packets, bytes) = counted()?;
    fact("sent", sent);
    fact("received", packets);
    fact("gbit", format!("{:.3}", bytes as f64 * 8.0 / elapsed / 1e9));
    Ok(())
}

fn datagram_round_trips(to: SocketAddr, count: u64) -> io::Result<()> {
    let socket = socket(to)?;
    let mut times = Vec::new();
    let mut buffer = [0; 64];
    for _ in 0..count {
        let begin = Instant::now();
        socket.send(&buffer)?;
        socket.recv(&mut buffer)?;
        times.push(begin.elapsed());
    }
    show_times(times);
    Ok(())
}
