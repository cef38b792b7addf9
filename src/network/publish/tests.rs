//! Published ports, with a gateway's namespace where the test may create one.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use super::*;
use crate::netns::NetnsThread;
use dhow_error::FailureKind;
use dhow_model::network::PortSpec;

const LIMIT: Duration = Duration::from_secs(30);

fn spec(protocol: PortProtocol, ip: Option<&str>, host: Option<(u16, u16)>) -> PortSpec {
    PortSpec { container: 80, protocol, ip: ip.map(|ip| ip.parse().unwrap()), host }
}

#[test]
fn clients_are_led_from_their_own_address_where_replies_come_back() {
    let v4 = TargetSubnet {
        container: [10, 89, 0, 2].into(),
        gateway: [10, 89, 0, 1].into(),
        subnet: "10.89.0.0/24".parse().unwrap(),
    };
    let v6 = TargetSubnet {
        container: "2001:db8::2".parse().unwrap(),
        gateway: "2001:db8::1".parse().unwrap(),
        subnet: "2001:db8::/64".parse().unwrap(),
    };
    let both = PublishTarget { v4: Some(v4), v6: Some(v6) };
    let only = PublishTarget { v4: Some(v4), v6: None };
    let from = |target: &PublishTarget, peer: &str| {
        let (from, to) = target.client_route(peer.parse().unwrap()).unwrap();
        (from.to_string(), to.to_string())
    };
    let expected = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    assert_eq!(from(&both, "192.0.2.7:4000"), expected("192.0.2.7:4000", "10.89.0.2"));
    assert_eq!(from(&both, "[2001:db8:1::7]:4000"), expected("[2001:db8:1::7]:4000", "2001:db8::2"));
    assert_eq!(from(&only, "[2001:db8:1::7]:4000"), expected("10.89.0.1:0", "10.89.0.2"));
    for hidden in ["127.0.0.1:4000", "10.89.0.9:4000", "169.254.1.1:4000"] {
        assert_eq!(from(&both, hidden), expected("10.89.0.1:0", "10.89.0.2"), "{hidden}");
    }
    for hidden in ["[::1]:4000", "[fe80::1]:4000", "[2001:db8::9]:4000"] {
        assert_eq!(from(&both, hidden), expected("[2001:db8::1]:0", "2001:db8::2"), "{hidden}");
    }
    assert_eq!(PublishTarget::default().client_route("192.0.2.7:4000".parse().unwrap()), None);
}

#[test]
fn a_port_that_is_taken_is_an_error_that_names_it() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let failure =
        reserve_ports(&[spec(PortProtocol::Tcp, Some("127.0.0.1"), Some((port, port)))]).unwrap_err();
    let (protocol, at) = (failure.protocol, failure.at);
    let failure = failure.failure(port_holder(protocol, at).as_deref());
    assert_eq!(failure.kind(), FailureKind::InUse);
    assert_eq!(failure.to_string(), format!("Bind for 127.0.0.1:{port} failed: port is already allocated"));
    assert!(failure.hint_text().unwrap().contains(&format!("(pid {})", std::process::id())));
    let twice = [1, 2].map(|inner| PortSpec {
        container: inner,
        ..spec(PortProtocol::Udp, Some("127.0.0.1"), Some((port, port)))
    });
    let failure = reserve_ports(&twice).unwrap_err().failure(None);
    assert_eq!(failure.hint_text(), Some("it is asked for twice"));
    // What another program has on another address is not asked for twice.
    let elsewhere =
        ["127.0.0.2", "127.0.0.1"].map(|ip| spec(PortProtocol::Tcp, Some(ip), Some((port, port))));
    let failure = reserve_ports(&elsewhere).unwrap_err().failure(None);
    assert!(failure.to_string().contains("127.0.0.1:"), "{failure}");
    assert!(failure.hint_text().unwrap().starts_with("see who holds it"), "{failure:?}");
    let everywhere = [None, Some("127.0.0.1")].map(|ip| spec(PortProtocol::Udp, ip, Some((port, port))));
    let failure = reserve_ports(&everywhere).unwrap_err().failure(None);
    assert_eq!(failure.hint_text(), Some("it is asked for twice"));
    // Within a range, the next port is used.
    if let Ok(reserved) =
        reserve_ports(&[spec(PortProtocol::Tcp, Some("127.0.0.1"), Some((port, port + 20)))])
    {
        assert!(reserved.published()[0].host > port);
    }
    let failure = reserve_ports(&[spec(PortProtocol::Udp, Some("192.0.2.1"), None)]).unwrap_err();
    assert!(failure.to_string().ends_with("cannot assign requested address"), "{failure}");
}

#[test]
fn a_reserved_port_is_nobody_elses_and_free_afterwards() {
    for protocol in [PortProtocol::Tcp, PortProtocol::Udp] {
        let mut reserved = reserve_ports(&[spec(protocol, Some("127.0.0.1"), None)]).unwrap();
        let port = reserved.published()[0].host;
        let again = [spec(protocol, Some("127.0.0.1"), Some((port, port)))];
        assert!(reserve_ports(&again).unwrap_err().is_taken());
        assert_eq!(reserved.take_udp().len(), usize::from(protocol == PortProtocol::Udp));
        drop(reserved);
        reserve_ports(&again).unwrap();
    }
}

#[test]
fn both_families_get_the_same_number() {
    let reserved = reserve_ports(&[spec(PortProtocol::Tcp, None, None)]).unwrap();
    let published = reserved.published();
    assert!(published.iter().all(|one| one.host == published[0].host && one.host != 0), "{published:?}");
    assert_eq!(published[0].ip, Ipv4Addr::UNSPECIFIED);
}

#[test]
fn servers_see_their_clients() {
    let test = "publish::tests::alone_in_a_namespace";
    if !dhow_testing::can_unshare(&["--user", "--map-root-user", "--net"]) {
        return;
    }
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net"])
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", test, "--test-threads=1"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn ip(arguments: &str) -> io::Result<()> {
    let done = Command::new("ip").args(arguments.split(' ')).status()?;
    if done.success() { Ok(()) } else { Err(io::Error::other(format!("ip {arguments}: {done}"))) }
}

/// The test's namespace plays the host, with addresses of its own; another one is both gateway and container.
#[test]
#[ignore = "run by servers_see_their_clients, in a namespace of its own"]
fn alone_in_a_namespace() {
    ip("link set lo up").unwrap();
    for address in ["192.0.2.1/32", "2001:db8:1::1/128"] {
        ip(&format!("addr add {address} dev lo nodad")).unwrap();
    }
    let netns_thread = NetnsThread::start("gateway", || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)?;
        ip("link set lo up")?;
        // The container's address, and a route back to the clients, which the nf_tables rules provide
        // otherwise.
        for address in ["10.89.0.1/24", "10.89.0.2/24", "2001:db8::1/64", "2001:db8::2/64"] {
            ip(&format!("addr add {address} dev lo nodad"))?;
        }
        ip("route add local 192.0.2.0/24 dev lo")?;
        ip("-6 route add local 2001:db8:1::/64 dev lo")
    })
    .unwrap();
    let netns_thread = Arc::new(netns_thread);
    let servers: Vec<_> = ["10.89.0.2:80", "[2001:db8::2]:80"]
        .map(|at| netns_thread.call(move || TcpListener::bind(at)).unwrap().unwrap())
        .into();
    let target = PublishTarget {
        v4: Some(TargetSubnet {
            container: [10, 89, 0, 2].into(),
            gateway: [10, 89, 0, 1].into(),
            subnet: "10.89.0.0/24".parse().unwrap(),
        }),
        v6: Some(TargetSubnet {
            container: "2001:db8::2".parse().unwrap(),
            gateway: "2001:db8::1".parse().unwrap(),
            subnet: "2001:db8::/64".parse().unwrap(),
        }),
    };
    let relay = TcpRelay::start().unwrap();
    let sockets = GatewaySockets::new(Arc::clone(&netns_thread));
    let ports = [spec(PortProtocol::Tcp, None, Some((8080, 8080)))];
    let running =
        reserve_ports(&ports).unwrap().publish(&relay, Arc::clone(&sockets) as _, target.clone()).unwrap();
    let call = |at: &str, server: &TcpListener| {
        let mut client = TcpStream::connect(at).unwrap();
        let (mut served, peer) = server.accept().unwrap();
        client.set_read_timeout(Some(LIMIT)).unwrap();
        served.write_all(b"hello").unwrap();
        let mut got = [0; 5];
        client.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"hello");
        let ip = peer.ip().to_string();
        let hidden = ["10.89.0.1", "2001:db8::1"].contains(&ip.as_str());
        assert!(hidden || client.local_addr().unwrap().port() == peer.port(), "{peer}");
        ip
    };
    let [v4, v6] = &servers[..] else { panic!("two families") };
    for _ in 0..40 {
        assert_eq!(call("192.0.2.1:8080", v4), "192.0.2.1");
    }
    assert_eq!(call("[2001:db8:1::1]:8080", v6), "2001:db8:1::1");
    assert_eq!(call("127.0.0.1:8080", v4), "10.89.0.1");
    assert_eq!(call("[::1]:8080", v6), "2001:db8::1");
    // Closing ports ends their connections, and the ports can be published again at once in spite of
    // TIME_WAIT.
    let mut client = TcpStream::connect("192.0.2.1:8080").unwrap();
    let (_served, _) = v4.accept().unwrap();
    drop(running);
    client.set_read_timeout(Some(LIMIT)).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(TcpStream::connect("192.0.2.1:8080").unwrap_err().kind(), ErrorKind::ConnectionRefused);
    let running = reserve_ports(&ports).unwrap().publish(&relay, Arc::clone(&sockets) as _, target).unwrap();
    assert_eq!(call("192.0.2.1:8080", v4), "192.0.2.1");
    // Nobody listens inside.
    drop(servers);
    let mut client = TcpStream::connect("192.0.2.1:8080").unwrap();
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    drop(running);
}
