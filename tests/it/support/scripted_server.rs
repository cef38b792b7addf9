//! An HTTP server that answers as a test tells it to, and records requests.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::server_life::{ServerLife, ServerOwner};

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// `GET`, `POST`, `CONNECT`, …
    pub(crate) method: String,
    /// The path with the query.
    pub(crate) target: String,
    /// The lines of the head after the first.
    pub(crate) headers: Vec<(String, String)>,
    /// The body, empty unless the head gives its length.
    pub(crate) bytes: Vec<u8>,
    /// The same as text.
    pub(crate) body: String,
}

impl Request {
    /// The value of a header; its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// What to answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    length: Option<usize>,
    stall: bool,
}

impl Reply {
    /// A status with a body.
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), ..Self::default() }
    }

    /// One more header.
    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Announces another length than the body has; with a longer one the connection ends early.
    pub(crate) fn claim(mut self, length: usize) -> Self {
        self.length = Some(length);
        self
    }

    /// Keeps the connection open after the body until the client hangs up.
    pub(crate) fn stall(mut self) -> Self {
        self.stall = true;
        self
    }
}

/// The server.
pub(crate) struct ScriptedServer {
    _owner: ServerOwner,
    port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl ScriptedServer {
    /// Answers with the result of `script`, which gets the request and the number of earlier ones.
    pub(crate) fn new(script: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("its number").port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (log, script) = (requests.clone(), Arc::new(script));
        let (owner, life) = ServerLife::new();
        thread::spawn(move || {
            life.each_client(&listener, |client| {
                let (log, script) = (log.clone(), script.clone());
                // A client that hangs up ends its thread.
                thread::spawn(move || serve(client, &log, &*script));
            });
        });
        Self { _owner: owner, port, requests }
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("the log").clone()
    }
}

fn serve(
    mut client: TcpStream,
    log: &Mutex<Vec<Request>>,
    script: &(impl Fn(&Request, usize) -> Reply + ?Sized),
) -> Option<()> {
    loop {
        let request = read(&mut client)?;
        let before = {
            let mut log = log.lock().expect("the log");
            log.push(request.clone());
            log.len() - 1
        };
        let reply = script(&request, before);
        // What follows a CONNECT belongs to the same connection.
        let keep = request.method == "CONNECT";
        answer(&mut client, &reply, keep)?;
        if !keep {
            if reply.stall {
                let _ = client.read(&mut [0]);
            }
            return client.shutdown(Shutdown::Both).ok();
        }
    }
}

fn read(client: &mut TcpStream) -> Option<Request> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ').map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut request = Request { method, target, headers, bytes: Vec::new(), body: String::new() };
    let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    client.read_exact(&mut body).ok()?;
    request.body = String::from_utf8_lossy(&body).into_owned();
    request.bytes = body;
    Some(request)
}

fn answer(client: &mut TcpStream, reply: &Reply, keep: bool) -> Option<()> {
    let mut head = format!("HTTP/1.1 {} Said\r\n", reply.status);
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    let length = reply.length.unwrap_or(reply.body.len());
    let closing = if keep { "" } else { "Connection: close\r\n" };
    head += &format!("Content-Length: {length}\r\n{closing}\r\n");
    client.write_all(head.as_bytes()).ok()?;
    client.write_all(&reply.body).ok()
}
