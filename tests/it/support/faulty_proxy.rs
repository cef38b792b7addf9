//! A proxy in front of a registry that misbehaves: cuts off answers and requests, refuses for a while, changes content.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::Registry;
use super::server_life::{ServerLife, ServerOwner};

/// A request as the proxy sees it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// `GET /v2/…`.
    pub(crate) line: String,
    /// The whole head.
    pub(crate) head: String,
    /// How many requests with the same line came before.
    pub(crate) repeated: usize,
}

impl Request {
    /// Whether it asks for a blob: a layer or a configuration.
    pub(crate) fn is_blob(&self) -> bool {
        self.line.starts_with("GET ") && self.line.contains("/blobs/")
    }
}

/// What the proxy does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// Pass on the request and the answer.
    Pass,
    /// Pass on this many bytes of the answer's body, then hang up.
    Cut(usize),
    /// Pass on the answer with the byte at this offset of the body changed.
    Flip(usize),
    /// Answer with this status (`429 Too Many Requests`) and these header lines.
    Refuse(&'static str, &'static str),
    /// Answer with this body of this media type.
    Say(&'static str, Vec<u8>),
    /// Pass on this many bytes of the request's body, then hang up.
    CutRequest(usize),
    /// Hang up without an answer.
    HangUp,
}

type Decide = Arc<dyn Fn(&Request) -> Action + Send + Sync>;

/// The proxy.
pub(crate) struct FaultyProxy {
    _owner: ServerOwner,
    port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl FaultyProxy {
    /// A proxy in front of `registry` that asks `decide` about each request.
    pub(crate) fn before(
        registry: &Registry,
        decide: impl Fn(&Request) -> Action + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("its number").port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (log, upstream, decide): (_, _, Decide) = (requests.clone(), registry.host(), Arc::new(decide));
        let (owner, life) = ServerLife::new();
        thread::spawn(move || {
            life.each_client(&listener, |client| {
                let (log, upstream, decide) = (log.clone(), upstream.clone(), decide.clone());
                // A client that hangs up ends its thread; what it asked for is in the log.
                thread::spawn(move || serve(client, &upstream, &log, &decide));
            });
        });
        Self { _owner: owner, port, requests }
    }

    /// The name of a repository through the proxy.
    pub(crate) fn name(&self, repository: &str) -> String {
        format!("127.0.0.1:{}/{repository}", self.port)
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

/// Answers one request; `None` if one side hung up.
fn serve(mut client: TcpStream, upstream: &str, log: &Mutex<Vec<Request>>, decide: &Decide) -> Option<()> {
    let head = read_head(&mut client)?;
    let line = head.lines().next()?.trim_end_matches(" HTTP/1.1").to_owned();
    let request = {
        let mut log = log.lock().unwrap();
        let repeated = log.iter().filter(|earlier| earlier.line == line).count();
        log.push(Request { line, head, repeated });
        log.last()?.clone()
    };
    match decide(&request) {
        Action::Pass => pass(&mut client, upstream, &request.head, usize::MAX, None),
        Action::Cut(bytes) => pass(&mut client, upstream, &request.head, bytes, None),
        Action::Flip(at) => pass(&mut client, upstream, &request.head, usize::MAX, Some(at)),
        Action::Refuse(status, headers) => answer(&mut client, status, headers, b""),
        Action::Say(media_type, body) => {
            answer(&mut client, "200 OK", &format!("Content-Type: {media_type}\r\n"), &body)
        }
        Action::CutRequest(bytes) => {
            let mut server = TcpStream::connect(upstream).ok()?;
            pass_request(&mut client, &mut server, &request.head, bytes)
        }
        Action::HangUp => None,
    }?;
    client.shutdown(Shutdown::Both).ok()
}

fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

fn answer(client: &mut TcpStream, status: &str, headers: &str, body: &[u8]) -> Option<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n");
    client.write_all(head.as_bytes()).ok()?;
    client.write_all(body).ok()
}

fn pass(client: &mut TcpStream, upstream: &str, head: &str, limit: usize, flip: Option<usize>) -> Option<()> {
    let mut server = TcpStream::connect(upstream).ok()?;
    pass_request(client, &mut server, head, usize::MAX)?;
    pass_answer(client, &mut server, limit, flip)
}

/// Passes on the head and at most `limit` bytes of the body.
fn pass_request(client: &mut TcpStream, server: &mut TcpStream, head: &str, limit: usize) -> Option<()> {
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<u64>().ok())?
    });
    let kept = head.trim_end().lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let head = kept.collect::<Vec<_>>().join("\r\n");
    server.write_all(format!("{head}\r\nConnection: close\r\n\r\n").as_bytes()).ok()?;
    let wanted = length.unwrap_or(0).min(limit as u64);
    let passed = std::io::copy(&mut (&*client).take(wanted), server).ok()?;
    (passed == wanted).then_some(())
}

fn pass_answer(
    client: &mut TcpStream,
    server: &mut TcpStream,
    limit: usize,
    flip: Option<usize>,
) -> Option<()> {
    client.write_all(read_head(server)?.as_bytes()).ok()?;
    let mut sent = 0;
    let mut buffer = [0; 1 << 14];
    loop {
        let count = server.read(&mut buffer).ok()?.min(limit - sent);
        if let Some(at) = flip.filter(|at| (sent..sent + count).contains(at)) {
            buffer[at - sent] ^= 0x55;
        }
        client.write_all(&buffer[..count]).ok()?;
        sent += count;
        if count == 0 {
            return Some(());
        }
    }
}
