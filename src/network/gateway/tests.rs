//! Gateways with containers that are threads in network namespaces, within a user namespace of the test's
//! own.

use std::io::{ErrorKind, IoSlice, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketType};

use super::*;
use crate::forwarder::device::PacketOffload;
use crate::netlink::RouteBatch;
use crate::netlink::requests::is_delivered_locally;
use crate::packet::IpPacket;
use dhow_model::network::{NetworkEndpoint, SubnetSpec};

/// Time-out for what must happen.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to watch for what must not happen.
const MOMENT: Duration = Duration::from_millis(300);

/// Runs one of the tests below, which need capabilities, in a user namespace.
fn in_user_namespace(test: &str) {
    if !dhow_testing::can_unshare(&["--user", "--map-root-user"]) {
        return;
    }
    let test = format!("gateway::tests::{test}");
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user"]).arg(std::env::current_exe().unwrap());
    let output = unshare.args(["--exact", &test, "--ignored", "--nocapture"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}{said}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

#[test]
fn connections_go_by_the_gate_to_the_listener() {
    in_user_namespace("connections_by_tproxy");
}

#[test]
fn a_packet_socket_does_what_a_tun_device_does() {
    in_user_namespace("connections_by_packet");
}

#[test]
fn a_translation_does_what_tproxy_does() {
    in_user_namespace("connections_by_redirect");
}

#[test]
fn connections_from_one_port_are_told_apart_by_their_destinations() {
    in_user_namespace("one_port_by_redirect");
}

#[test]
fn without_marks_all_goes_to_the_gate() {
    in_user_namespace("all_to_the_gate");
}

#[test]
fn containers_reach_each_other_under_their_own_addresses_only() {
    in_user_namespace("neighbours");
}

#[test]
fn who_is_plugged_in_hears_the_first_answer() {
    in_user_namespace("first_answer");
}

#[test]
fn what_is_kept_apart_stays_apart() {
    in_user_namespace("apart");
}

#[test]
fn the_port_of_name_servers_stays_free() {
    in_user_namespace("names");
}

struct Container {
    netns_thread: NetnsThread,
    netns: OwnedFd,
    endpoint: NetworkEndpoint,
}

fn container(number: u8) -> Container {
    let unshare = || Ok(nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)?);
    let netns_thread = NetnsThread::start("container", unshare).unwrap();
    let netns = netns_thread
        .call(|| {
            dhow_sys::interface::loopback_up().unwrap();
            std::fs::File::open("/proc/thread-self/ns/net").unwrap().into()
        })
        .unwrap();
    let endpoint = NetworkEndpoint {
        network: String::new(),
        interface: "eth0".to_owned(),
        v4: Some(format!("198.51.100.{number}/24").parse().unwrap()),
        v6: Some(format!("2001:db8:1::{number}/64").parse().unwrap()),
        mac: MacAddress([2, 0x42, 198, 51, 100, number]),
        aliases: Vec::new(),
        links: Vec::new(),
        link_local: Vec::new(),
        default_route: true,
    };
    Container { netns_thread, netns, endpoint }
}

fn spec() -> NetworkSpec {
    NetworkSpec {
        name: "test".to_owned(),
        v4: Some(SubnetSpec {
            net: "198.51.100.0/24".parse().unwrap(),
            gateway: "198.51.100.1".parse().unwrap(),
            range: None,
            reserved: Default::default(),
        }),
        v6: Some(SubnetSpec {
            net: "2001:db8:1::/64".parse().unwrap(),
            gateway: "2001:db8:1::1".parse().unwrap(),
            range: None,
            reserved: Default::default(),
        }),
        ..NetworkSpec::default()
    }
}

/// The next packet from a container, and its bytes.
fn next(device: &dyn PacketDevice, protocol: i32) -> (SocketAddr, SocketAddr, Vec<u8>, PacketOffload) {
    let mut buffer = vec![0; 70_000];
    loop {
        let mut ready = [PollFd::from_borrowed_fd(device.fd(), PollFlags::IN)];
        let patience = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
        assert_eq!(poll(&mut ready, Some(&patience)).unwrap(), 1, "no packet came");
        let (length, offload) = device.receive(&mut buffer).unwrap();
        let bytes = &buffer[..length];
        let Ok(packet) = IpPacket::parse(bytes) else { continue };
        if i32::from(packet.protocol) == protocol {
            let port = |at: usize| u16::from_be_bytes([packet.payload[at], packet.payload[at + 1]]);
            let from = SocketAddr::new(packet.source, port(0));
            return (from, SocketAddr::new(packet.target, port(2)), bytes.to_vec(), offload);
        }
    }
}

/// Whether a connection succeeds within `patience`.
fn reaches(from: &Container, to: SocketAddr, patience: Duration) -> bool {
    let connect = move || TcpStream::connect_timeout(&to, patience);
    match from.netns_thread.call(connect).unwrap() {
        Ok(_) => true,
        Err(error) => {
            let unreachable =
                [ErrorKind::TimedOut, ErrorKind::HostUnreachable, ErrorKind::NetworkUnreachable];
            assert!(unreachable.contains(&error.kind()), "{error}");
            false
        }
    }
}

#[test]
#[ignore = "run by another test in a user namespace"]
fn connections_by_tproxy() {
    connections(NetworkBackend::Tproxy);
}

#[test]
#[ignore = "run by another test in a user namespace"]
fn connections_by_packet() {
    connections(NetworkBackend::Packet);
}

#[test]
#[ignore = "run by another test in a user namespace"]
fn connections_by_redirect() {
    connections(NetworkBackend::Redirect);
}

/// The original destination of a connection, as `gateway` knows it.
fn destination(gateway: &Gateway, accepted: &TcpStream) -> SocketAddr {
    let original = |accepted: &TcpStream| match accepted.peer_addr().unwrap() {
        SocketAddr::V4(_) => rustix::net::sockopt::ip_original_dst(accepted).unwrap().into(),
        SocketAddr::V6(_) => rustix::net::sockopt::ipv6_original_dst(accepted).unwrap().into(),
    };
    match gateway.original_dst() {
        OriginalDst::LocalAddress => accepted.local_addr().unwrap(),
        OriginalDst::Redirected => original(accepted),
    }
}

fn connections(backend: NetworkBackend) {
    let mut gateway = Gateway::open(&spec(), backend).unwrap();
    let container = container(2);
    gateway.attach(container.netns.as_fd(), &container.endpoint).unwrap();
    let device = gateway.take_device().unwrap();
    let listeners = gateway.take_listeners().into_iter().map(TcpListener::from);
    let mut listeners: Vec<_> = listeners.collect();
    for target in ["192.0.2.55:80", "198.51.100.1:7070", "[2001:db8::5]:80", "[2001:db8:1::1]:99"] {
        let target: SocketAddr = target.parse().unwrap();
        let (connected, result) = std::sync::mpsc::channel();
        container.netns_thread.post(move || {
            connected.send(TcpStream::connect_timeout(&target, PATIENCE)).unwrap();
        });
        // On a busy machine a SYN may be retransmitted.
        let (from, _, bytes, offload) = loop {
            let segment = next(device.as_ref(), libc::IPPROTO_TCP);
            if segment.1 == target {
                break segment;
            }
        };
        device.send(&offload, &[IoSlice::new(&bytes)]).unwrap();
        let mut client = result.recv().unwrap().unwrap();
        let listener = &mut listeners[usize::from(target.is_ipv6())];
        listener.set_nonblocking(false).unwrap();
        let (mut accepted, peer) = listener.accept().unwrap();
        assert_eq!((peer, destination(&gateway, &accepted)), (from, target));
        client.write_all(b"question").unwrap();
        let mut heard = [0; 8];
        accepted.read_exact(&mut heard).unwrap();
        accepted.write_all(b"solution").unwrap();
        client.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"solution");
    }
    published(&gateway, &container);
    train(&container, device.as_ref());
    // Everything but TCP goes to the forwarder, even if it is for the gateway itself.
    for target in ["192.0.2.55:53", "198.51.100.1:53"] {
        let sent = move || UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(b"text", target));
        container.netns_thread.call(sent).unwrap().unwrap();
        let (_, to, ..) = next(device.as_ref(), libc::IPPROTO_UDP);
        assert_eq!(to.to_string(), target);
    }
}

#[test]
#[ignore = "run by another test in a user namespace"]
fn one_port_by_redirect() {
    let mut gateway = Gateway::open(&spec(), NetworkBackend::Redirect).unwrap();
    let container = container(2);
    gateway.attach(container.netns.as_fd(), &container.endpoint).unwrap();
    let device = gateway.take_device().unwrap();
    let listener = TcpListener::from(gateway.take_listeners().remove(0));
    listener.set_nonblocking(false).unwrap();
    let (mut clients, mut accepted) = (Vec::new(), Vec::new());
    for target in ["192.0.2.55:80", "192.0.2.55:81", "192.0.2.56:80"] {
        let target: SocketAddr = target.parse().unwrap();
        let (connected, result) = std::sync::mpsc::channel();
        container.netns_thread.post(move || {
            let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
            rustix::net::sockopt::set_socket_reuseaddr(&socket, true).unwrap();
            rustix::net::bind(&socket, &SocketAddr::from(([198, 51, 100, 2], 5000))).unwrap();
            rustix::net::connect(&socket, &target).unwrap();
            connected.send(TcpStream::from(socket)).unwrap();
        });
        let (_, _, bytes, offload) = loop {
            let segment = next(device.as_ref(), libc::IPPROTO_TCP);
            if segment.1 == target {
                break segment;
            }
        };
        device.send(&offload, &[IoSlice::new(&bytes)]).unwrap();
        clients.push(result.recv_timeout(PATIENCE).unwrap());
        let (stream, peer) = listener.accept().unwrap();
        assert_eq!(
            (peer.ip(), destination(&gateway, &stream)),
            (container.endpoint.v4.unwrap().addr().into(), target)
        );
        accepted.push(stream);
    }
    for (client, stream) in clients.iter_mut().zip(&mut accepted) {
        let port = stream.peer_addr().unwrap().port().to_be_bytes();
        stream.write_all(&port).unwrap();
        let mut heard = [0; 2];
        client.read_exact(&mut heard).unwrap();
        assert_eq!(heard, port);
    }
}

/// Datagrams that the container leaves to the kernel to segment (udp(7), `UDP_SEGMENT`) all arrive, together
/// or not.
fn train(container: &Container, device: &dyn PacketDevice) {
    let send = || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::UdpGsoSegment, &1000).unwrap();
        socket.send_to(&[7; 2500], "192.0.2.55:53").unwrap();
    };
    container.netns_thread.call(send).unwrap();
    let mut payload = 0;
    while payload < 2500 {
        let (_, _, bytes, offload) = next(device, libc::IPPROTO_UDP);
        let own = bytes.len() - 28;
        assert!(own <= 1000 || offload.segment == 1000, "{own} {offload:?}");
        // With a checksum to be completed, or a complete one.
        assert!(offload.checksum.is_none_or(|(start, offset)| (start, offset) == (20, 6)), "{offload:?}");
        payload += own;
    }
    assert_eq!(payload, 2500);
}

/// A client that enters through a socket with a foreign address is answered there.
fn published(gateway: &Gateway, container: &Container) {
    for (client, at) in [("192.0.2.9:5000", "198.51.100.2:80"), ("[2001:db8::9]:5000", "[2001:db8:1::2]:80")]
    {
        let (client, at): (SocketAddr, SocketAddr) = (client.parse().unwrap(), at.parse().unwrap());
        let server = container.netns_thread.call(move || TcpListener::bind(at).unwrap()).unwrap();
        let connect = move || {
            let family = if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
            let socket = rustix::net::socket(family, SocketType::STREAM, None).unwrap();
            dhow_sys::transparent_socket::allow_any_address(socket.as_fd(), at.is_ipv6()).unwrap();
            rustix::net::bind(&socket, &client).unwrap();
            rustix::net::sockopt::set_socket_timeout(
                &socket,
                rustix::net::sockopt::Timeout::Send,
                Some(PATIENCE),
            )
            .unwrap();
            rustix::net::connect(&socket, &at).unwrap();
            TcpStream::from(socket)
        };
        let mut comes = gateway.netns_thread().call(connect).unwrap();
        let (mut serves, who) = server.accept().unwrap();
        assert_eq!(who, client);
        let mut heard = [0; 8];
        serves.write_all(b"solution").unwrap();
        comes.read_exact(&mut heard).unwrap();
        comes.write_all(b"question").unwrap();
        serves.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"question");
    }
}

#[test]
#[ignore = "run by another test in a user namespace"]
fn all_to_the_gate() {
    let mut gateway = Gateway::open(&spec(), NetworkBackend::Stack).unwrap();
    assert!(gateway.take_listeners().is_empty());
    let container = container(2);
    gateway.attach(container.netns.as_fd(), &container.endpoint).unwrap();
    let device = gateway.take_device().unwrap();
    for target in ["192.0.2.55:80", "198.51.100.1:22", "[2001:db8::5]:80", "[2001:db8:1::1]:99"] {
        let target: SocketAddr = target.parse().unwrap();
        container.netns_thread.post(move || drop(TcpStream::connect_timeout(&target, MOMENT)));
        while next(device.as_ref(), libc::IPPROTO_TCP).1 != target {}
    }
}

#[test]
#[ignore = "run by another test in a user namespace"]
fn neighbours() {
    let mut gateway = Gateway::open(&spec(), NetworkBackend::Tproxy).unwrap();
    let device = gateway.take_device().unwrap();
    let (one, two) = (container(2), container(3));
    for container in [&one, &two] {
        gateway.attach(container.netns.as_fd(), &container.endpoint).unwrap();
    }
    let listen = || TcpListener::bind("[::]:80").unwrap();
    let _listener = two.netns_thread.call(listen).unwrap();
    for address in ["198.51.100.3:80", "[2001:db8:1::3]:80"] {
        assert!(reaches(&one, address.parse().unwrap(), PATIENCE), "{address}");
    }
    // A foreign address gets the container nowhere, whether it is another container's or nobody's.
    let add = || {
        let socket = NetlinkSocket::open(NetlinkFamily::Route).unwrap();
        let index = rustix::net::netdevice::name_to_index(socket.as_fd(), "eth0").unwrap();
        let mut batch = RouteBatch::default();
        batch.add_address(index, "198.51.100.77/24".parse().unwrap());
        batch.send(&socket).unwrap();
        let send = |from: &str, to: &str| {
            UdpSocket::bind(from).and_then(|socket| socket.send_to(b"text", to)).unwrap();
        };
        send("198.51.100.77:1000", "192.0.2.9:53");
        send("198.51.100.2:1000", "192.0.2.9:53");
    };
    one.netns_thread.call(add).unwrap();
    let (from, ..) = next(device.as_ref(), libc::IPPROTO_UDP);
    assert_eq!(from.to_string(), "198.51.100.2:1000");
    // Detach, twice, and attach again with the same address.
    gateway.detach(&one.endpoint).unwrap();
    gateway.detach(&one.endpoint).unwrap();
    assert!(!reaches(&one, "198.51.100.3:80".parse().unwrap(), MOMENT));
    gateway.attach(one.netns.as_fd(), &one.endpoint).unwrap();
    // Detach later, twice, and attach again before the interface is gone.
    gateway.detach_later(&one.endpoint);
    gateway.detach_later(&one.endpoint);
    gateway.attach(one.netns.as_fd(), &one.endpoint).unwrap();
    assert!(reaches(&one, "198.51.100.3:80".parse().unwrap(), PATIENCE));
    // As after the loss of a gateway, whose interface is still there.
    let second = Gateway::open(&spec(), NetworkBackend::Tproxy).unwrap();
    second.attach(one.netns.as_fd(), &one.endpoint).unwrap();
    second.attach(one.netns.as_fd(), &one.endpoint).unwrap();
}

#[test]
#[ignore = "run by another test in a user namespace"]
fn first_answer() {
    let gateway = Gateway::open(&spec(), NetworkBackend::Tproxy).unwrap();
    for round in 0..50 {
        let container = container(2);
        let there =
            container.netns_thread.call(|| NetlinkSocket::open(NetlinkFamily::Route).unwrap()).unwrap();
        gateway.attach(container.netns.as_fd(), &container.endpoint).unwrap();
        for address in ["198.51.100.2", "2001:db8:1::2"] {
            let taken_in = is_delivered_locally(&there, address.parse().unwrap()).unwrap();
            assert!(taken_in, "what comes for {address} is dropped, round {round}");
        }
        assert!(!is_delivered_locally(&there, "2001:db8:1::3".parse().unwrap()).unwrap());
    }
}

#[test]
#[ignore = "run by another test in a user namespace"]
fn apart() {
    let address = "198.51.100.3:80".parse().unwrap();
    for (internal, no_icc) in [(true, false), (false, true)] {
        let mut gateway =
            Gateway::open(&NetworkSpec { internal, no_icc, ..spec() }, NetworkBackend::Tproxy).unwrap();
        assert_eq!(gateway.take_device().is_none(), internal);
        let (one, two) = (container(2), container(3));
        for container in [&one, &two] {
            gateway.attach(container.netns.as_fd(), &container.endpoint).unwrap();
        }
        let _listener = two.netns_thread.call(|| TcpListener::bind("0.0.0.0:80").unwrap()).unwrap();
        assert_eq!(reaches(&one, address, if internal { PATIENCE } else { MOMENT }), internal);
        assert!(!reaches(&one, "192.0.2.1:80".parse().unwrap(), MOMENT));
    }
}

#[test]
#[ignore = "run by another test in a user namespace"]
fn names() {
    let container = container(2);
    let serve = || {
        let address = Ipv4Addr::new(127, 0, 0, 11);
        let udp = UdpSocket::bind((address, 0)).unwrap();
        let tcp = TcpListener::bind(udp.local_addr().unwrap()).unwrap();
        crate::nft::dns_redirect::forward_names(address, udp.local_addr().unwrap().port()).unwrap();
        // The port is free for the container itself.
        let own = (UdpSocket::bind("0.0.0.0:53").unwrap(), TcpListener::bind("0.0.0.0:53").unwrap());
        let client = UdpSocket::bind("0.0.0.0:0").unwrap();
        for socket in [&client, &udp] {
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
        }
        client.connect((address, 53)).unwrap();
        client.send(b"question").unwrap();
        let mut heard = [0; 8];
        let (_, from) = udp.recv_from(&mut heard).unwrap();
        udp.send_to(b"solution", from).unwrap();
        client.recv(&mut heard).unwrap();
        assert_eq!(&heard, b"solution");
        let mut client = TcpStream::connect((address, 53)).unwrap();
        tcp.accept().unwrap().0.write_all(b"solution").unwrap();
        client.read_exact(&mut heard).unwrap();
        drop(own);
    };
    container.netns_thread.call(serve).unwrap();
}
