//! The resolver with name servers that the tests run on the loopback interface. Their messages come from another
//! implementation.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::*;

const V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
/// Time limit for a lookup that does not run into it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A name server that replies with what `answer` makes of each query, over UDP and, if told so, over TCP. It runs
/// until the tests end.
fn server(answer: impl Fn(&Message, bool) -> Vec<Vec<u8>> + Send + Sync + 'static) -> SocketAddr {
    // A port that is free for UDP may be taken for TCP.
    let (udp, tcp) = std::iter::repeat_with(|| {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let tcp = TcpListener::bind(udp.local_addr().unwrap());
        tcp.ok().map(|tcp| (udp, tcp))
    })
    .take(16)
    .find_map(|pair| pair)
    .unwrap();
    let address = udp.local_addr().unwrap();
    let answer = Arc::new(answer);
    let over_udp = Arc::clone(&answer);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = udp.recv_from(&mut buffer) {
            for reply in over_udp(&Message::from_vec(&buffer[..length]).unwrap(), false) {
                udp.send_to(&reply, from).unwrap();
            }
        }
    });
    std::thread::spawn(move || {
        for stream in tcp.incoming() {
            converse(stream.unwrap(), &*answer);
        }
    });
    address
}

/// Answers the query on a connection, in pieces. Without an answer, keeps it open for long.
fn converse(mut stream: TcpStream, answer: &dyn Fn(&Message, bool) -> Vec<Vec<u8>>) {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut query).unwrap();
    let replies = answer(&Message::from_vec(&query).unwrap(), true);
    if replies.is_empty() {
        std::thread::sleep(PATIENCE);
    }
    for reply in replies {
        let framed = [&u16::try_from(reply.len()).unwrap().to_be_bytes(), reply.as_slice()].concat();
        for piece in framed.chunks(framed.len() / 2 + 1) {
            stream.write_all(piece).unwrap();
        }
    }
}

fn config(servers: &[SocketAddr]) -> ResolverConfig {
    ResolverConfig {
        servers: servers.to_vec(),
        search: vec![],
        ndots: 1,
        timeout: Duration::from_secs(1),
        attempts: 2,
    }
}

fn ask(servers: &[SocketAddr], host: &str) -> Result<Vec<IpAddr>, LookupError> {
    look_up(&config(servers), host, PATIENCE)
}

fn kind_of(query: &Message) -> RecordType {
    query.queries[0].query_type()
}

fn name_of(query: &Message) -> String {
    query.queries[0].name().to_ascii()
}

/// A reply to `query` with a response code and records.
fn reply(query: &Message, code: ResponseCode, data: Vec<RData>) -> Message {
    let mut reply = query.clone().into_response();
    reply.metadata.recursion_available = true;
    reply.metadata.response_code = code;
    let name = query.queries[0].name();
    reply.add_answers(data.into_iter().map(|data| Record::from_rdata(name.clone(), 60, data)));
    reply
}

/// [`reply`] with one address of the type asked for.
fn addressed(query: &Message) -> Message {
    let data = if kind_of(query) == RecordType::A { RData::A(V4.into()) } else { RData::AAAA(V6.into()) };
    reply(query, ResponseCode::NoError, vec![data])
}

fn encoded(reply: Message) -> Vec<Vec<u8>> {
    vec![reply.to_vec().unwrap()]
}

/// A server that knows all names.
fn knowing() -> SocketAddr {
    server(|query, _| encoded(addressed(query)))
}

/// A server that never answers.
fn silent() -> SocketAddr {
    server(|_, _| vec![])
}

/// A server that reports `code`.
fn failing(code: ResponseCode) -> SocketAddr {
    server(move |query, _| encoded(reply(query, code, vec![])))
}

#[test]
fn both_kinds_of_addresses_are_found() {
    assert_eq!(ask(&[knowing()], "registry.example"), Ok(vec![V4.into(), V6.into()]));
    for only in [RecordType::A, RecordType::AAAA] {
        let one = server(move |query, _| {
            let none = reply(query, ResponseCode::NoError, vec![]);
            encoded(if kind_of(query) == only { addressed(query) } else { none })
        });
        let expected: IpAddr = if only == RecordType::A { V4.into() } else { V6.into() };
        assert_eq!(ask(&[one], "registry.example"), Ok(vec![expected]));
    }
}

#[test]
fn aliases_are_followed() {
    let aliases = server(|query, _| {
        let name = |text: &str| Name::from_ascii(text).unwrap();
        let mut reply = reply(query, ResponseCode::NoError, vec![RData::CNAME(CNAME(name("a.example.")))]);
        reply.add_answer(Record::from_rdata(name("a.example."), 9, RData::CNAME(CNAME(name("b.example.")))));
        if kind_of(query) == RecordType::A {
            reply.add_answer(Record::from_rdata(name("b.example."), 9, RData::A(V4.into())));
        }
        encoded(reply)
    });
    assert_eq!(ask(&[aliases], "registry.example"), Ok(vec![V4.into()]));
}

#[test]
fn a_name_that_does_not_exist_differs_from_one_without_addresses() {
    // The second server is not asked.
    assert_eq!(ask(&[failing(ResponseCode::NXDomain), knowing()], "a.b"), Err(LookupError::NoSuchHost));
    assert_eq!(ask(&[failing(ResponseCode::NoError), knowing()], "a.b"), Err(LookupError::NoAddress));
    let long = "l".repeat(64);
    for no_name in ["", ".", "a..b", &long] {
        assert_eq!(ask(&[knowing()], no_name), Err(LookupError::NoSuchHost), "{no_name}");
    }
}

#[test]
fn a_truncated_answer_is_fetched_whole() {
    let many = |query: &Message, tcp: bool| {
        let addresses = (0..=255).map(|last| RData::A(Ipv4Addr::new(192, 0, 2, last).into()));
        let none = kind_of(query) != RecordType::A;
        let addresses = if none { vec![] } else { addresses.collect() };
        let whole = reply(query, ResponseCode::NoError, addresses);
        encoded(if tcp || none { whole } else { whole.truncate() })
    };
    assert_eq!(ask(&[server(many)], "a.b").unwrap().len(), 256);
    // One that accepts connections and answers nothing takes no longer than one that is silent.
    let tarpit = server(|query, tcp| if tcp { vec![] } else { encoded(addressed(query).truncate()) });
    let begun = Instant::now();
    assert_eq!(ask(&[tarpit, knowing()], "a.b"), Ok(vec![V4.into(), V6.into()]));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn a_server_that_fails_is_followed_by_the_next_at_once() {
    // Nobody listens there any more.
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let lame = server(|query, _| {
        let mut reply = reply(query, ResponseCode::NoError, vec![]);
        reply.metadata.recursion_available = false;
        encoded(reply)
    });
    let (broken, refusing) = (failing(ResponseCode::ServFail), failing(ResponseCode::Refused));
    let begun = Instant::now();
    for first in [closed, lame, broken, refusing] {
        assert_eq!(ask(&[first, knowing()], "a.b"), Ok(vec![V4.into(), V6.into()]));
    }
    for (failing, why) in [
        (closed, LookupError::Silent),
        (lame, LookupError::Failed(code::REFUSED)),
        (broken, LookupError::Failed(code::FAILURE)),
    ] {
        assert_eq!(ask(&[failing], "a.b"), Err(why));
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[test]
fn a_failure_about_one_kind_does_not_spoil_the_other() {
    for code in [ResponseCode::ServFail, ResponseCode::NXDomain] {
        let partial = server(move |query, _| {
            let failure = reply(query, code, vec![]);
            encoded(if kind_of(query) == RecordType::A { addressed(query) } else { failure })
        });
        assert_eq!(ask(&[partial], "a.b"), Ok(vec![V4.into()]));
    }
}

#[test]
fn silence_ends_in_time() {
    let begun = Instant::now();
    assert_eq!(ask(&[silent(), knowing()], "a.b"), Ok(vec![V4.into(), V6.into()]));
    assert!(begun.elapsed() < Duration::from_secs(3), "the next one is asked soon");
    let begun = Instant::now();
    assert_eq!(ask(&[silent()], "a.b"), Err(LookupError::Silent));
    let taken = begun.elapsed();
    assert!((Duration::from_secs(2)..Duration::from_secs(5)).contains(&taken), "two attempts: {taken:?}");
    let begun = Instant::now();
    let limit = Duration::from_millis(300);
    assert_eq!(look_up(&config(&[silent(), silent()]), "a.b", limit), Err(LookupError::Silent));
    let taken = begun.elapsed();
    assert!((limit..Duration::from_secs(2)).contains(&taken), "the limit holds: {taken:?}");
}

#[test]
fn an_answer_about_ipv6_that_never_comes_is_waited_for_briefly() {
    let mute = server(|query, _| match kind_of(query) {
        RecordType::A => encoded(addressed(query)),
        _ => vec![],
    });
    let begun = Instant::now();
    let patient = ResolverConfig { timeout: PATIENCE, ..config(&[mute]) };
    assert_eq!(look_up(&patient, "a.b", PATIENCE), Ok(vec![V4.into()]));
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
}

#[test]
fn what_is_not_the_answer_is_not_believed() {
    let forger = server(|query, _| {
        let forged = |change: &dyn Fn(&mut Message)| {
            let mut reply = reply(query, ResponseCode::NXDomain, vec![]);
            change(&mut reply);
            reply.to_vec().unwrap()
        };
        let mut all = vec![
            forged(&|reply| reply.metadata.id = reply.metadata.id.wrapping_add(1)),
            forged(&|reply| _ = reply.queries[0].set_name(Name::from_ascii("other.example.").unwrap())),
            forged(&|reply| _ = reply.queries[0].set_query_type(RecordType::MX)),
            forged(&|reply| reply.queries.clear()),
            query.to_vec().unwrap(),
            vec![],
            b"nonsense".to_vec(),
        ];
        all.extend(encoded(addressed(query)));
        all
    });
    assert_eq!(ask(&[forger], "a.b"), Ok(vec![V4.into(), V6.into()]));
}

#[test]
fn the_search_list_is_tried_in_order() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let note = Arc::clone(&asked);
    let choosy = server(move |query, _| {
        if kind_of(query) == RecordType::A {
            note.lock().unwrap().push(name_of(query));
        }
        let unknown = reply(query, ResponseCode::NXDomain, vec![]);
        encoded(if name_of(query).ends_with("b.example.") { addressed(query) } else { unknown })
    });
    let search = vec!["a.example".into(), "b.example".into()];
    let config = ResolverConfig { search, ..config(&[choosy]) };
    let names = |host: &str| {
        let found = look_up(&config, host, PATIENCE);
        (found.is_ok(), std::mem::take(&mut *asked.lock().unwrap()).join(" "))
    };
    assert_eq!(names("r"), (true, "r.a.example. r.b.example.".into()));
    assert_eq!(names("r.x"), (true, "r.x. r.x.a.example. r.x.b.example.".into()));
    assert_eq!(names("r.x."), (false, "r.x.".into()));
    assert_eq!(names("r.b.example"), (true, "r.b.example.".into()));
}

#[test]
fn reasons_in_words() {
    let words = |error: LookupError| error.to_string();
    assert_eq!(words(LookupError::Failed(code::FAILURE)), "the name servers report SERVFAIL");
    assert_eq!(words(LookupError::Failed(11)), "the name servers report a failure");
}
