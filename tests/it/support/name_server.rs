//! A DNS server with records set by tests, over UDP and TCP, which records questions.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, PTR, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::netns::Netns;
use super::server_life::{ServerLife, ServerOwner};

/// A question that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) name: String,
    pub(crate) kind: RecordType,
    pub(crate) tcp: bool,
    pub(crate) from: SocketAddr,
}

#[derive(Default)]
struct Zone {
    records: HashMap<String, Vec<RData>>,
    asked: Vec<Question>,
    silent: bool,
}

/// What the threads of a server share.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Zone>>);

/// The server.
pub(crate) struct NameServer {
    _owner: ServerOwner,
    shared: Shared,
}

impl NameServer {
    /// Starts it in the namespace `place` on port 53 of `addresses`.
    pub(crate) fn start(place: &Netns, addresses: &[&str]) -> Self {
        let shared = Shared::default();
        let (owner, life) = ServerLife::new();
        for address in addresses {
            let address = SocketAddr::new(address.parse().expect("an address"), 53);
            let udp = place.call(move || UdpSocket::bind(address)).expect("port 53");
            let tcp = place.call(move || TcpListener::bind(address)).expect("port 53");
            let (by_udp, udp_life) = (shared.clone(), life.clone());
            thread::spawn(move || by_udp.serve_udp(&udp, &udp_life));
            let (by_tcp, tcp_life) = (shared.clone(), life.clone());
            thread::spawn(move || by_tcp.serve_tcp(&tcp, &tcp_life));
        }
        Self { _owner: owner, shared }
    }

    /// Sets the addresses of `name`.
    pub(crate) fn set(&self, name: &str, addresses: &[&str]) {
        let records = addresses.iter().map(|address| match address.parse().expect("an address") {
            IpAddr::V4(v4) => RData::A(A(v4)),
            IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
        });
        self.set_records(name, records.collect());
    }

    /// Makes `name` an alias (CNAME) of `target`.
    pub(crate) fn alias(&self, name: &str, target: &str) {
        self.set_records(name, vec![RData::CNAME(CNAME(Name::from_ascii(target).expect("a name")))]);
    }

    /// Makes `name` (of `in-addr.arpa`) point to `target`.
    pub(crate) fn reverse(&self, name: &str, target: &str) {
        self.set_records(name, vec![RData::PTR(PTR(Name::from_ascii(target).expect("a name")))]);
    }

    /// Gives `name` TXT records of `bytes` bytes in total, too long for one datagram.
    pub(crate) fn long_text(&self, name: &str, bytes: usize) {
        let piece = |n: usize| RData::TXT(TXT::new(vec![format!("{n:04}{}", "x".repeat(96))]));
        self.set_records(name, (0..bytes.div_ceil(100)).map(piece).collect());
    }

    fn set_records(&self, name: &str, records: Vec<RData>) {
        self.shared.0.lock().unwrap().records.insert(name.trim_end_matches('.').to_lowercase(), records);
    }

    /// Sets whether it ignores all questions.
    pub(crate) fn be_silent(&self, silent: bool) {
        self.shared.0.lock().unwrap().silent = silent;
    }

    /// The questions since the last call.
    pub(crate) fn asked(&self) -> Vec<Question> {
        std::mem::take(&mut self.shared.0.lock().unwrap().asked)
    }
}

impl Shared {
    fn serve_udp(&self, socket: &UdpSocket, life: &ServerLife) {
        let mut buffer = [0; 4096];
        while life.wait_for(socket) {
            let Ok((count, from)) = socket.recv_from(&mut buffer) else { continue };
            if let Some((answer, room)) = self.answer(&buffer[..count], from, false) {
                let bytes = answer.to_vec().expect("an answer");
                let fits = bytes.len() <= usize::from(room);
                let bytes = if fits { bytes } else { answer.truncate().to_vec().expect("an answer") };
                // Whoever asked may be gone.
                let _ = socket.send_to(&bytes, from);
            }
        }
    }

    fn serve_tcp(&self, listener: &TcpListener, life: &ServerLife) {
        life.each_client(listener, |stream| {
            let shared = self.clone();
            thread::spawn(move || shared.converse(stream));
        });
    }

    /// Serves a connection: messages, each after its length, until the client closes it.
    fn converse(&self, mut stream: TcpStream) -> Option<()> {
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        let from = stream.peer_addr().ok()?;
        loop {
            let mut length = [0; 2];
            stream.read_exact(&mut length).ok()?;
            let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut message).ok()?;
            let (answer, _) = self.answer(&message, from, true)?;
            let bytes = answer.to_vec().expect("an answer");
            let length = u16::try_from(bytes.len()).expect("an answer that fits").to_be_bytes();
            stream.write_all(&[&length[..], &bytes].concat()).ok()?;
        }
    }

    /// The answer, and the maximum size of a datagram.
    fn answer(&self, bytes: &[u8], from: SocketAddr, tcp: bool) -> Option<(Message, u16)> {
        let question = Message::from_vec(bytes).ok()?;
        let query = question.queries.first()?.clone();
        let asked = query.name().to_ascii().trim_end_matches('.').to_lowercase();
        let mut zone = self.0.lock().unwrap();
        zone.asked.push(Question { name: asked.clone(), kind: query.query_type(), tcp, from });
        if zone.silent {
            return None;
        }
        let room = question.edns.as_ref().map_or(512, |edns| edns.max_payload().max(512));
        let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
        answer.metadata.message_type = MessageType::Response;
        answer.metadata.recursion_desired = question.metadata.recursion_desired;
        answer.metadata.recursion_available = true;
        answer.add_query(query.clone());
        let mut owner = asked;
        loop {
            let Some(records) = zone.records.get(&owner) else {
                answer.metadata.response_code = ResponseCode::NXDomain;
                break;
            };
            let name = Name::from_ascii(format!("{owner}.")).expect("a name");
            let all = query.query_type() == RecordType::ANY;
            for data in records {
                if all || data.record_type() == query.query_type() || data.record_type() == RecordType::CNAME
                {
                    answer.add_answer(Record::from_rdata(name.clone(), 60, data.clone()));
                }
            }
            match records.first() {
                Some(RData::CNAME(target)) => {
                    owner = target.0.to_ascii().trim_end_matches('.').to_lowercase();
                }
                _ => break,
            }
        }
        Some((answer, room))
    }
}
