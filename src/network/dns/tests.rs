//! The name service with resolvers that the tests run on the loopback interface.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::*;
use crate::egress::EgressMember;
use crate::policy::{EgressFlow, FlowPolicy as _, FlowProtocol, FlowVerdict};
use dhow_model::dns_message::{self, code};

/// A container called `name` on `memberships`; its ID starts with the bytes of the name.
pub(super) fn asker(name: &str, memberships: Vec<DnsMembership>) -> DnsClient {
    let mut id: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    id.extend(std::iter::repeat_n('0', 64 - id.len()));
    DnsClient { id, name: name.into(), memberships, ..DnsClient::default() }
}

/// A membership in the network `network`, with addresses in CIDR form.
pub(super) fn member(network: &str, v4: &str, v6: Option<&str>) -> DnsMembership {
    let endpoint = NetworkEndpoint {
        network: network.into(),
        interface: "eth0".into(),
        v4: Some(v4.parse().unwrap()),
        v6: v6.map(|v6| v6.parse().unwrap()),
        mac: Default::default(),
        aliases: vec![],
        links: vec![],
        link_local: vec![],
        default_route: true,
    };
    let network = NetworkSpec { id: network.into(), name: network.into(), ..NetworkSpec::default() };
    DnsMembership { endpoint, network: Arc::new(network), egress: None }
}

/// Time limit for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A name service with a resolv.conf of its own.
struct World {
    dns: DnsService,
    dir: tempfile::TempDir,
    port: u16,
}

impl World {
    /// The resolvers are `servers`, at `port`.
    fn new(servers: &[&str], port: u16) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let resolv_conf = dir.path().join("resolv.conf");
        let world = Self { dns: DnsService::start(DnsConfig { resolv_conf, port }).unwrap(), dir, port };
        world.resolvers(servers);
        world
    }

    fn resolvers(&self, servers: &[&str]) {
        let text: String = servers.iter().map(|server| format!("nameserver {server}\n")).collect();
        let mut file = tempfile::NamedTempFile::new_in(&self.dir).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.persist(self.dir.path().join("resolv.conf")).unwrap();
    }

    fn add(&self, asker: DnsClient) -> (DnsClientHandle, Client) {
        let sockets = DnsSockets::at((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, sockets.port().unwrap()));
        (self.dns.add(asker, sockets).unwrap(), Client::new(server))
    }
}

/// A program in a container.
struct Client {
    server: SocketAddr,
    socket: UdpSocket,
}

impl Client {
    fn new(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { server, socket }
    }

    fn send(&self, id: u16, name: &str, kind: RecordType) {
        self.socket.send_to(&query(id, name, kind), self.server).unwrap();
    }

    fn receive(&self) -> Message {
        let mut buffer = [0; 4096];
        let (length, _) = self.socket.recv_from(&mut buffer).unwrap();
        Message::from_vec(&buffer[..length]).unwrap()
    }

    /// The answer to a query, in short.
    fn ask(&self, name: &str, kind: RecordType) -> String {
        self.send(7, name, kind);
        let reply = self.receive();
        assert_eq!(reply.metadata.id, 7);
        short(&reply)
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.server).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

fn short(reply: &Message) -> String {
    let code = u16::from(reply.metadata.response_code);
    let data: Vec<String> = reply.answers.iter().map(|record| record.data.to_string()).collect();
    let truncated = if reply.metadata.truncation { " truncated" } else { "" };
    format!("{code} {}{truncated}", data.join(" "))
}

fn query(id: u16, name: &str, kind: RecordType) -> Vec<u8> {
    let mut message = Message::query();
    message.metadata.id = id;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message.to_vec().unwrap()
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

fn read_frame(stream: &mut TcpStream) -> Message {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut bytes).unwrap();
    Message::from_vec(&bytes).unwrap()
}

/// The reply to a query, with one address.
fn address(bytes: &[u8], address: [u8; 4]) -> Vec<u8> {
    let query = Message::from_vec(bytes).unwrap();
    let name = query.queries[0].name().clone();
    let mut reply = query.into_response();
    reply.add_answer(Record::from_rdata(name, 60, RData::A(Ipv4Addr::from(address).into())));
    reply.to_vec().unwrap()
}

/// A resolver at `ip` that replies with what `answer` makes of each query, over UDP and TCP. It runs until
/// the tests end.
fn resolver(
    ip: &str,
    port: u16,
    answer: impl Fn(&[u8], bool) -> Vec<Vec<u8>> + Send + Sync + 'static,
) -> u16 {
    let sockets = DnsSockets::at(SocketAddr::new(ip.parse().unwrap(), port)).unwrap();
    let port = sockets.port().unwrap();
    for socket in [&sockets.udp, &sockets.tcp] {
        rustix::io::ioctl_fionbio(socket, false).unwrap();
    }
    let answer = Arc::new(answer);
    let (udp, tcp) = (UdpSocket::from(sockets.udp), TcpListener::from(sockets.tcp));
    let over_udp = Arc::clone(&answer);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = udp.recv_from(&mut buffer) {
            for reply in over_udp(&buffer[..length], false) {
                udp.send_to(&reply, from).unwrap();
            }
        }
    });
    std::thread::spawn(move || {
        for stream in tcp.incoming() {
            let mut stream = stream.unwrap();
            let query = read_frame(&mut stream).to_vec().unwrap();
            for reply in answer(&query, true) {
                stream.write_all(&framed(&reply)).unwrap();
            }
        }
    });
    port
}

/// A resolver that knows one address, and a name service that uses it.
fn simple() -> World {
    let port = resolver("127.0.0.1", 0, |query, _| vec![address(query, [192, 0, 2, 80])]);
    World::new(&["127.0.0.1"], port)
}

fn plain(name: &str) -> DnsClient {
    asker(name, vec![member("net", "198.51.100.2/24", None)])
}

#[test]
fn names_of_containers_and_of_the_world() {
    let world = simple();
    let (web, client) = world.add(plain("web"));
    assert_eq!(client.ask("WEB.", RecordType::A), "0 198.51.100.2");
    assert_eq!(client.ask("web.net.", RecordType::AAAA), "0 ");
    assert_eq!(client.ask("2.100.51.198.in-addr.arpa.", RecordType::PTR), "0 web.net.");
    assert_eq!(client.ask("example.org.", RecordType::A), "0 192.0.2.80");
    let (db, _) = world.add(asker("db", vec![member("net", "198.51.100.3/24", None)]));
    assert_eq!(client.ask("db.", RecordType::A), "0 198.51.100.3");
    db.update(asker("store", vec![member("net", "198.51.100.4/24", None)]));
    assert_eq!(client.ask("store.", RecordType::A), "0 198.51.100.4");
    assert_eq!(client.ask("db.", RecordType::A), "0 192.0.2.80");
    drop(db);
    assert_eq!(client.ask("store.", RecordType::A), "0 192.0.2.80");
    let mut stream = client.connect();
    drop(web);
    assert!(matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_)), "connections end with the container");
}

#[test]
fn a_resolver_that_refuses_fails_or_is_silent_is_followed_by_the_next() {
    let port = resolver("127.0.0.3", 0, |query, _| vec![address(query, [192, 0, 2, 3])]);
    resolver("127.0.0.2", port, |query, _| {
        let question = dns_message::parse_query(query).unwrap();
        match question.name.as_str() {
            "silent.example" => vec![],
            "failed.example" => vec![dns_message::reply_with(query, None, code::FAILURE)],
            "unknown.example" => vec![dns_message::reply_with(query, Some(&question), 3)],
            _ => vec![dns_message::reply_with(query, Some(&question), code::REFUSED)],
        }
    });
    // Nobody listens at the first address.
    let world = World::new(&["127.0.0.4", "127.0.0.2", "127.0.0.3"], port);
    let (_web, client) = world.add(plain("web"));
    for name in ["refused.example.", "failed.example.", "silent.example."] {
        assert_eq!(client.ask(name, RecordType::A), "0 192.0.2.3", "{name}");
    }
    assert_eq!(client.ask("unknown.example.", RecordType::A), "3 ");
    world.resolvers(&["127.0.0.2"]);
    assert_eq!(client.ask("refused.example.", RecordType::A), "5 ", "what all say is passed on");
    world.resolvers(&["127.0.0.4"]);
    assert_eq!(client.ask("example.", RecordType::A), "2 ");
    let mut stream = client.connect();
    stream.write_all(&framed(&query(1, "example.", RecordType::A))).unwrap();
    assert_eq!(short(&read_frame(&mut stream)), "2 ");
    world.resolvers(&["127.0.0.3"]);
    assert_eq!(client.ask("example.", RecordType::A), "0 192.0.2.3", "another file holds at once");
}

#[test]
fn questions_and_answers_pass_unchanged_but_for_their_number() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = Arc::clone(&seen);
    let rest = |query: &[u8]| {
        // A record of an unknown type, and EDNS options.
        let record = [&[0xc0, 12, 0xff, 0x10, 0, 1, 0, 0, 0, 9, 0, 3][..], b"abc"].concat();
        let mut reply = dns_message::reply_with(query, Some(&dns_message::parse_query(query).unwrap()), 0);
        (reply[7], reply[11]) = (1, 1);
        reply.extend(record);
        reply.extend([0, 0, 41, 4, 0xd0, 0, 0, 0x80, 0, 0, 4, 0, 10, 0, 0]);
        reply
    };
    let port = resolver("127.0.0.1", 0, move |query, _| {
        note.lock().unwrap().push(query.to_vec());
        vec![rest(query)]
    });
    let world = World::new(&["127.0.0.1"], port);
    let (_web, client) = world.add(plain("web"));
    // Mixed case as clients use it against forgery, two flags, and a cookie.
    let mut asked = query(0x1234, "_SIP._tcp.eXample.org.", RecordType::SRV);
    (asked[3], asked[11]) = (0x30, 1);
    asked.extend([0, 0, 41, 4, 0xd0, 0, 0, 0x80, 0, 0, 12, 0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
    client.socket.send_to(&asked, client.server).unwrap();
    let mut buffer = [0; 4096];
    let (length, _) = client.socket.recv_from(&mut buffer).unwrap();
    let mut stream = client.connect();
    stream.write_all(&framed(&asked)).unwrap();
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    let mut whole = vec![0; usize::from(u16::from_be_bytes(head))];
    stream.read_exact(&mut whole).unwrap();
    for reply in [&buffer[..length], &whole] {
        assert_eq!(dns_message::id(reply), 0x1234);
        assert_eq!(reply, rest(&asked));
    }
    let seen = seen.lock().unwrap();
    assert!(seen.len() == 2 && seen.iter().all(|query| query[2..] == asked[2..]), "{seen:?}");
}

#[test]
fn what_is_not_the_answer_is_not_believed() {
    let port = resolver("127.0.0.1", 0, |query, _| {
        let mut forged = address(query, [203, 0, 113, 1]);
        dns_message::set_id(&mut forged, dns_message::id(query).wrapping_add(1));
        let other = self::query(dns_message::id(query), "other.example.", RecordType::A);
        vec![
            forged,
            address(&other, [203, 0, 113, 2]),
            query.to_vec(),
            vec![],
            address(query, [192, 0, 2, 1]),
        ]
    });
    let world = World::new(&["127.0.0.1"], port);
    let (_web, client) = world.add(plain("web"));
    assert_eq!(client.ask("example.org.", RecordType::A), "0 192.0.2.1");
}

#[test]
fn a_truncated_answer_is_passed_on_and_the_whole_comes_over_tcp() {
    let port = resolver("127.0.0.1", 0, |query, tcp| {
        let mut reply = Message::from_vec(&address(query, [192, 0, 2, 1])).unwrap();
        reply.metadata.truncation = !tcp;
        if tcp {
            let more: Vec<Record> = std::iter::repeat_n(reply.answers[0].clone(), 2000).collect();
            reply.add_answers(more);
        }
        vec![reply.to_vec().unwrap()]
    });
    let world = World::new(&["127.0.0.1"], port);
    let (_web, client) = world.add(plain("web"));
    assert_eq!(client.ask("example.org.", RecordType::TXT), "0 192.0.2.1 truncated");
    // Several queries on one connection, which is then half closed.
    let mut stream = client.connect();
    for id in 0..10 {
        let name = if id % 2 == 0 { "example.org." } else { "web." };
        stream.write_all(&framed(&query(id, name, RecordType::A))).unwrap();
    }
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut ids: Vec<(u16, usize)> = (0..10)
        .map(|_| {
            let reply = read_frame(&mut stream);
            (reply.metadata.id, reply.answers.len())
        })
        .collect();
    ids.sort_unstable();
    let expected: Vec<(u16, usize)> = (0..10).map(|id| (id, if id % 2 == 0 { 2001 } else { 1 })).collect();
    assert_eq!(ids, expected);
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn what_one_container_has_under_way_is_capped_and_others_are_served() {
    let port =
        resolver("127.0.0.1", 0, |query, _| match dns_message::parse_query(query).unwrap().name.as_str() {
            "silent.example" => vec![],
            _ => vec![address(query, [192, 0, 2, 1])],
        });
    let world = World::new(&["127.0.0.1"], port);
    let (greedy, client) = world.add(plain("greedy"));
    let (_other, neighbour) = world.add(asker("other", vec![member("net", "198.51.100.3/24", None)]));
    // In small portions, so that no socket buffer overflows.
    for id in 0..256 {
        client.send(id, "silent.example.", RecordType::A);
        if id % 16 == 0 {
            assert_eq!(neighbour.ask("greedy.", RecordType::A), "0 198.51.100.2");
        }
    }
    for id in 256..266 {
        client.send(id, "silent.example.", RecordType::A);
        let reply = client.receive();
        assert_eq!((reply.metadata.id, short(&reply).as_str()), (id, "5 "));
    }
    assert_eq!(client.ask("other.", RecordType::A), "0 198.51.100.3", "names are still known");
    assert_eq!(neighbour.ask("example.org.", RecordType::A), "0 192.0.2.1");
    drop(greedy);
    let (_again, client) = world.add(plain("again"));
    assert_eq!(client.ask("example.org.", RecordType::A), "0 192.0.2.1");
}

#[test]
fn internal_networks_and_search_lists_keep_questions_inside() {
    let world = simple();
    let internal = |name: &str| {
        let mut on = member(name, "198.51.100.2/24", None);
        on.network = Arc::new(NetworkSpec { internal: true, ..(*on.network).clone() });
        on
    };
    let (web, client) = world.add(asker("web", vec![internal("net")]));
    assert_eq!(client.ask("example.org.", RecordType::A), "2 ");
    assert_eq!(client.ask("web.", RecordType::A), "0 198.51.100.2");
    web.update(asker("web", vec![internal("net"), member("bridge", "192.0.2.2/24", None)]));
    assert_eq!(client.ask("example.org.", RecordType::A), "0 192.0.2.80");
    web.update(DnsClient { ndots_set: true, ..plain("web") });
    assert_eq!(client.ask("example.", RecordType::A), "0 ");
    assert_eq!(client.ask("example.", RecordType::TXT), "0 192.0.2.80");
    assert_eq!(client.ask("example.org.", RecordType::A), "0 192.0.2.80");
    assert_eq!(client.ask("web.", RecordType::A), "0 198.51.100.2");
}

#[test]
fn servers_of_its_own_are_asked_from_the_container_unless_answers_allow_connections() {
    let world = simple();
    resolver("127.0.0.2", world.port, |query, _| vec![address(query, [192, 0, 2, 2])]);
    let made = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&made);
    let sockets: SocketFactory = Arc::new(move |v6, kind| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(open_socket(v6, kind, None)?)
    });
    let own =
        |ip: &str| Some(CustomUpstream { servers: vec![ip.parse().unwrap()], sockets: Arc::clone(&sockets) });
    let (web, client) = world.add(DnsClient { upstream: own("127.0.0.2"), ..plain("web") });
    assert_eq!(client.ask("example.org.", RecordType::A), "0 192.0.2.2");
    assert_eq!(made.load(Ordering::Relaxed), 1);
    // Its loopback is not the host's.
    let rules = Some(vec![dhow_model::egress::parse("example.org").unwrap()]);
    let policy = EgressPolicy::new(&NetworkSpec { egress: rules, ..NetworkSpec::default() });
    let mut restricted = DnsClient { upstream: own("127.0.0.2"), ..plain("web") };
    restricted.memberships[0].egress = Some(policy);
    web.update(restricted);
    assert_eq!(client.ask("example.org.", RecordType::A), "2 ");
    assert_eq!(made.load(Ordering::Relaxed), 1);
}

#[test]
fn an_answer_opens_the_way_before_it_is_heard_and_is_written_down() {
    let world = simple();
    let (mut reader, writer) = io::pipe().unwrap();
    let log = EgressLog::start(writer.into()).unwrap();
    let rules = Some(vec![dhow_model::egress::parse("*.example.org:443").unwrap()]);
    let policy = EgressPolicy::new(&NetworkSpec { egress: rules, ..NetworkSpec::default() });
    let member = EgressMember {
        name: "web".into(),
        addresses: vec!["198.51.100.2".parse().unwrap()],
        host_gateway: false,
        log: Some(Arc::clone(&log)),
    };
    let membership = policy.join(member);
    let mut asker = DnsClient { log: Some(log), ..plain("web") };
    asker.memberships[0].egress = Some(Arc::clone(&policy));
    let (web, client) = world.add(asker);
    let target: SocketAddr = "192.0.2.80:443".parse().unwrap();
    let flow = EgressFlow { protocol: FlowProtocol::Tcp, source: "198.51.100.2:9".parse().unwrap(), target };
    assert_eq!(client.ask("example.com.", RecordType::A), "0 192.0.2.80");
    assert_eq!(policy.judge(&flow), FlowVerdict::Refuse);
    assert_eq!(client.ask("WWW.Example.ORG.", RecordType::A), "0 192.0.2.80");
    assert_eq!(policy.judge(&flow), FlowVerdict::Pass(target));
    drop((web, membership, policy, world));
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    let said: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said: Vec<String> =
        said.iter().map(|line| format!("{} {} {}", line["kind"], line["name"], line["result"])).collect();
    let expected = [
        r#""dns" "example.com" "answered""#,
        r#""tcp" "example.com" "denied""#,
        r#""dns" "www.example.org" "answered""#,
    ];
    assert_eq!(said, expected);
}

#[test]
fn nonsense_and_slow_readers_harm_nobody() {
    let world = simple();
    let (_web, client) = world.add(plain("web"));
    let good = query(1, "web.", RecordType::A);
    for end in 0..good.len() {
        client.socket.send_to(&good[..end], client.server).unwrap();
        if end >= dns_message::HEADER {
            assert_eq!(short(&client.receive()), "1 ", "{end}");
        }
    }
    for bytes in [&b"\0\0"[..], b"\0\x01x", b"\xff\xff", &framed(&good)[..9]] {
        let mut stream = client.connect();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        // Closed with or without a reset.
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.is_empty());
    }
    // A client that asks and never reads is cut off.
    let mut slow = client.connect();
    slow.set_nonblocking(true).unwrap();
    let begun = Instant::now();
    let question = framed(&good).repeat(1000);
    loop {
        assert!(begun.elapsed() < PATIENCE, "it was not cut off");
        match slow.write(&question) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => break,
            _ => assert_eq!(client.ask("web.", RecordType::A), "0 198.51.100.2"),
        }
    }
    // More connections than a container may have: the last ones are closed.
    let mut streams: Vec<TcpStream> = (0..80).map(|_| client.connect()).collect();
    let closed = streams
        .iter_mut()
        .rev()
        .take(10)
        .filter(|stream| matches!((&**stream).read(&mut [0; 1]), Ok(0) | Err(_)));
    assert_eq!(closed.count(), 10);
    assert_eq!(client.ask("web.", RecordType::A), "0 198.51.100.2");
}
