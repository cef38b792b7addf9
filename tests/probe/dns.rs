//! Name service, asked without a C library between: what exactly was answered.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use crate::fact;

const KINDS: [(&str, u16); 7] =
    [("A", 1), ("CNAME", 5), ("PTR", 12), ("TXT", 16), ("AAAA", 28), ("SRV", 33), ("ANY", 255)];

/// `NAME TYPE [SERVER[:PORT]] [tcp]`; the server is resolv.conf's first where none is said.
pub fn ask(arguments: &[String]) -> io::Result<()> {
    let malformed = || io::Error::other("usage: NAME TYPE [SERVER] [tcp]");
    let [name, kind, rest @ ..] = arguments else { return Err(malformed()) };
    let kind = KINDS.iter().find(|(text, _)| text == kind).ok_or_else(malformed)?.1;
    let tcp = rest.iter().any(|word| word == "tcp");
    let server = match rest.iter().find(|word| *word != "tcp") {
        Some(text) => text.clone(),
        None => configured()?,
    };
    let server: SocketAddr = server
        .parse()
        .or_else(|_| server.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)))
        .map_err(|_| malformed())?;
    let question = question(name, kind);
    let answer = if tcp { by_tcp(server, &question)? } else { by_udp(server, &question)? };
    fact("bytes", answer.len());
    show(&answer).ok_or_else(|| io::Error::other("malformed answer"))
}

fn configured() -> io::Result<String> {
    let text = fs::read_to_string("/etc/resolv.conf")?;
    let server = text.lines().find_map(|line| line.strip_prefix("nameserver "));
    server.map(|text| text.trim().to_owned()).ok_or_else(|| io::Error::other("no nameserver"))
}

fn question(name: &str, kind: u16) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        message.push(u8::try_from(label.len()).unwrap_or(63));
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    message
}

fn by_udp(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let any: SocketAddr = if server.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(Duration::from_secs(6)))?;
    socket.send(question)?;
    let mut buffer = vec![0; 1 << 16];
    // Later than any server asks another one. Once: a question may be lost, as any datagram.
    let count = match socket.recv(&mut buffer) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            socket.send(question)?;
            socket.recv(&mut buffer)?
        }
        count => count?,
    };
    buffer.truncate(count);
    Ok(buffer)
}

fn by_tcp(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(Duration::from_secs(12)))?;
    let length = u16::try_from(question.len()).unwrap_or(0).to_be_bytes();
    stream.write_all(&[&length, question].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// The facts of an answer: `code` (3 is no such name), `truncated`, `answer TYPE TTL VALUE` in their order.
fn show(message: &[u8]) -> Option<()> {
    let word = |at: usize| Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]));
    fact("code", word(2)? & 15);
    fact("truncated", word(2)? >> 9 & 1);
    let mut at = 12;
    for _ in 0..word(4)? {
        at = name_at(message, at)?.1 + 4;
    }
    for _ in 0..word(6)? {
        at = name_at(message, at)?.1;
        let (kind, length) = (word(at)?, usize::from(word(at + 8)?));
        let ttl = u32::from(word(at + 4)?) << 16 | u32::from(word(at + 6)?);
        let data = message.get(at + 10..at + 10 + length)?;
        let value = match kind {
            1 => Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).to_string(),
            28 => Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).to_string(),
            5 | 12 => name_at(message, at + 10)?.0,
            _ => format!("{length} bytes"),
        };
        let name = KINDS.iter().find(|(_, number)| *number == kind).map_or("?", |(name, _)| name);
        fact("answer", format!("{name} {ttl} {value}"));
        at += 10 + length;
    }
    Some(())
}

/// The name at `at` and where it ends, pointers (RFC 1035, 4.1.4) followed.
fn name_at(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let (mut name, mut end) = (String::new(), None);
    for _ in 0..128 {
        let length = usize::from(*message.get(at)?);
        match length {
            0 => return Some((name, end.unwrap_or(at + 1))),
            1..=63 => {
                name.push_str(&String::from_utf8_lossy(message.get(at + 1..at + 1 + length)?));
                name.push('.');
                at += length + 1;
            }
            _ => {
                end = end.or(Some(at + 2));
                at = (length & 0x3f) << 8 | usize::from(*message.get(at + 1)?);
            }
        }
    }
    None
}
