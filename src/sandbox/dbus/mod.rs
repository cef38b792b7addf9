//! A minimal D-Bus client for systemd and logind: blocking, without threads or generated code.
//!
//! It speaks to two kinds of socket: a bus, which expects a Hello and routes messages, and systemd's private socket
//! (`$XDG_RUNTIME_DIR/systemd/private`), which systemctl uses as well and which exists without a bus.

mod message;

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use message::{BusMessage, BusMessageType};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;

pub(crate) use message::{ArgReader, ArgWriter, MethodCall};

/// How long to wait for a reply.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest authentication reply, in bytes.
const MAX_ANSWER: usize = 16 << 10;
/// The bus driver itself.
const BUS: MethodCall<'_> = MethodCall {
    destination: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
    member: "Hello",
    signature: "",
};

/// What is at the other end of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BusPeer {
    /// A message bus.
    Bus,
    /// systemd itself.
    Manager,
}

/// A connection. Unexpected messages are dropped.
pub(crate) struct BusConnection {
    stream: UnixStream,
    serial: u32,
    peer: BusPeer,
}

/// Why a call failed.
#[derive(Debug)]
pub(crate) enum BusError {
    /// The peer returned an error; its message.
    Remote(String),
    /// No reply arrived.
    Io(io::Error),
}

impl std::fmt::Display for BusError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Remote(text) => f.write_str(text),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BusError {}

impl From<io::Error> for BusError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl BusConnection {
    /// Connects to the socket at `path` and authenticates as this process's user.
    pub(crate) fn open(path: &Path, peer: BusPeer) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let mut connection = Self { stream, serial: 0, peer };
        // An empty identity makes the peer use the socket's credentials. That also works in a user namespace,
        // where this process would name an id that is not the peer's.
        connection.stream.write_all(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")?;
        connection.await_auth()?;
        if peer == BusPeer::Bus {
            connection
                .call(&BUS, &ArgWriter::default())
                .map_err(|error| io::Error::other(error.to_string()))?;
        }
        Ok(connection)
    }

    /// Reads up to the line that grants access. Nothing follows it before the first call.
    fn await_auth(&mut self) -> io::Result<()> {
        let mut reply = Vec::new();
        let mut buffer = [0; 512];
        loop {
            match self.stream.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => reply.extend(buffer.iter().take(count)),
            }
            if reply.len() > MAX_ANSWER {
                return Err(message::malformed());
            }
            let text = String::from_utf8_lossy(&reply);
            if !text.ends_with("\r\n") {
                continue;
            }
            match text.lines().find(|line| !line.starts_with("DATA")) {
                Some(line) if line.starts_with("OK ") => return Ok(()),
                Some(line) => return Err(io::Error::new(io::ErrorKind::PermissionDenied, line.to_owned())),
                None => {}
            }
        }
    }

    /// Calls a method and returns the arguments of its reply.
    pub(crate) fn call(
        &mut self,
        call: &MethodCall<'_>,
        arguments: &ArgWriter,
    ) -> Result<BusReply, BusError> {
        self.serial += 1;
        let serial = self.serial;
        self.stream.write_all(&message::encode(call, serial, arguments))?;
        let deadline = Instant::now() + TIMEOUT;
        while Instant::now() < deadline {
            // Signals may arrive before the reply.
            let message = self.receive()?;
            match message.kind {
                BusMessageType::Return if message.reply_to == Some(serial) => {
                    return Ok(BusReply(message.body));
                }
                BusMessageType::Error if message.reply_to == Some(serial) => return Err(refusal(message)),
                _ => {}
            }
        }
        Err(io::Error::from(io::ErrorKind::TimedOut).into())
    }

    /// Reads the property that `property` names. The reply is a variant: signature, then value.
    pub(crate) fn property(&mut self, property: &MethodCall<'_>) -> Result<BusReply, BusError> {
        let get = MethodCall {
            interface: "org.freedesktop.DBus.Properties",
            member: "Get",
            signature: "ss",
            ..MethodCall { ..*property }
        };
        let mut arguments = ArgWriter::default();
        arguments.string(property.interface).string(property.member);
        self.call(&get, &arguments)
    }

    /// Subscribes to signals that match `rule`; systemd's private socket sends all of them anyway.
    pub(crate) fn subscribe(&mut self, rule: &str) -> Result<(), BusError> {
        if self.peer == BusPeer::Manager {
            return Ok(());
        }
        let mut arguments = ArgWriter::default();
        arguments.string(rule);
        self.call(&MethodCall { member: "AddMatch", signature: "s", ..BUS }, &arguments).map(drop)
    }

    /// The signal named `member`, if the next message within `timeout` is that.
    pub(crate) fn next_signal(&mut self, member: &str, timeout: Duration) -> io::Result<Option<BusReply>> {
        let mut fds = [PollFd::new(&self.stream, PollFlags::IN)];
        let limit = Timespec::try_from(timeout).map_err(io::Error::other)?;
        if retry_on_intr(|| poll(&mut fds, Some(&limit)))? == 0 {
            return Ok(None);
        }
        let message = self.receive()?;
        let matches = message.kind == BusMessageType::Signal && message.member == member;
        Ok(matches.then_some(BusReply(message.body)))
    }

    fn receive(&mut self) -> io::Result<BusMessage> {
        let mut bytes = vec![0; message::FIXED];
        self.stream.read_exact(&mut bytes)?;
        let length = message::length(&bytes)?;
        bytes.resize(length, 0);
        if let Some(rest) = bytes.get_mut(message::FIXED..) {
            self.stream.read_exact(rest)?;
        }
        message::decode(&bytes)
    }
}

fn refusal(message: BusMessage) -> BusError {
    let text = ArgReader::new(&message.body, 0).string();
    BusError::Remote(text.unwrap_or(message.error))
}

/// The arguments of a reply or signal.
pub(crate) struct BusReply(Vec<u8>);

impl BusReply {
    pub(crate) fn reader(&self) -> ArgReader<'_> {
        ArgReader::new(&self.0, 0)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    const PING: MethodCall<'_> =
        MethodCall { destination: "a.b", path: "/a", interface: "a.B", member: "Ping", signature: "s" };

    /// A peer that answers the first words with `greeting` and then sends `answer`.
    fn peer(dir: &Path, greeting: &'static [u8], answer: Vec<u8>) -> std::path::PathBuf {
        let path = dir.join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reply = vec![0; 29];
            stream.read_exact(&mut reply).unwrap();
            assert_eq!(reply, b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n");
            stream.write_all(greeting).unwrap();
            let mut call = [0; 64];
            if stream.read(&mut call).is_ok_and(|count| count > 0) {
                stream.write_all(&answer).unwrap();
            }
        });
        path
    }

    /// An answer of type `kind` to the first call, with a text.
    fn answer(kind: u8, text: &str) -> Vec<u8> {
        let mut fields = vec![5, 1, b'u', 0, 1, 0, 0, 0];
        if kind == 3 {
            fields.extend([4, 1, b's', 0, 3, 0, 0, 0, b'a', b'.', b'E', 0]);
        }
        let mut body = ArgWriter::default();
        body.string(text);
        let length = |bytes: usize| u32::try_from(bytes).unwrap().to_le_bytes();
        let body_length = 4 + text.len() + 1;
        let mut bytes = vec![b'l', kind, 0, 1];
        bytes.extend(length(body_length));
        bytes.extend([9, 0, 0, 0]);
        bytes.extend(length(fields.len()));
        bytes.extend(&fields);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes.extend(length(text.len()));
        bytes.extend(text.bytes());
        bytes.push(0);
        bytes
    }

    fn ask(greeting: &'static [u8], answer: Vec<u8>) -> Result<String, BusError> {
        let dir = tempfile::tempdir().unwrap();
        let mut connection = BusConnection::open(&peer(dir.path(), greeting, answer), BusPeer::Manager)?;
        let mut arguments = ArgWriter::default();
        arguments.string("x");
        Ok(connection.call(&PING, &arguments)?.reader().string()?)
    }

    #[test]
    fn calls_are_answered() {
        assert_eq!(ask(b"DATA\r\nOK 1234\r\n", answer(2, "pong")).unwrap(), "pong");
        let refused = ask(b"OK 1234\r\n", answer(3, "go away")).unwrap_err();
        assert_eq!(refused.to_string(), "go away");
    }

    #[test]
    fn a_peer_that_does_not_speak_dbus_is_an_error() {
        assert!(ask(b"REJECTED EXTERNAL\r\n", Vec::new()).is_err());
        assert!(ask(b"OK 1\r\n", vec![b'x'; 64]).is_err());
        assert!(ask(b"OK 1\r\n", vec![b'l', 2, 0, 1, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0]).is_err());
        assert!(ask(b"OK 1\r\n", answer(2, "pong").split_off(3)).is_err());
        assert!(ask(b"OK 1\r\n", Vec::new()).is_err());
        let dir = tempfile::tempdir().unwrap();
        assert!(BusConnection::open(&dir.path().join("nobody"), BusPeer::Bus).is_err());
    }
}
