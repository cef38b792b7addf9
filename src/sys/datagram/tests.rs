//! Exchanges datagrams between sockets on the loopback interface.

use std::net::UdpSocket;
use std::os::fd::AsFd as _;

use super::*;

fn socket(address: &str) -> UdpSocket {
    UdpSocket::bind(address).unwrap()
}

fn wait(socket: &UdpSocket, inbox: &mut ReceiveBatch) -> usize {
    let mut fds = [rustix::event::PollFd::new(socket, rustix::event::PollFlags::IN)];
    rustix::event::poll(&mut fds, None).unwrap();
    inbox.receive(socket.as_fd()).unwrap()
}

#[test]
fn trains_arrive_with_all_that_was_said() {
    for (host, v6) in [("127.0.0.1:0", false), ("[::1]:0", true)] {
        let (a, b) = (socket(host), socket(host));
        let all = ReportOptions { errors: true, gro: true, tos: true, local: true };
        enable_reports(b.as_fd(), v6, all).unwrap();
        let parts = [[1_u8; 700], [2; 700], [3; 700]];
        let mut parts: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        parts.push(IoSlice::new(&[4; 10]));
        let to = b.local_addr().unwrap();
        let from = Some(a.local_addr().unwrap().ip());
        let train = OutgoingDatagram { to, from, parts: &parts, segment: 700, tos: 0x2e << 2, hops: Some(9) };
        let single = OutgoingDatagram { segment: 0, parts: &parts[3..], ..train };
        assert_eq!(send(a.as_fd(), &[train, single]).unwrap(), 2);
        let mut inbox = ReceiveBatch::new(8, 65_536);
        let mut got = Vec::new();
        while got.len() < 2110 + 10 {
            wait(&b, &mut inbox);
            for one in inbox.iter() {
                assert_eq!(one.from, a.local_addr().unwrap());
                assert_eq!((one.tos, one.local), (0x2e << 2, Some(to.ip())));
                assert!(one.segment == 0 || one.segment == 700);
                got.extend_from_slice(one.bytes);
            }
        }
        assert_eq!((got[0], got[700], got[1400], got[2100], got[2110]), (1, 2, 3, 4, 4));
        assert_eq!(inbox.receive(b.as_fd()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}

#[test]
fn a_closed_port_is_told() {
    for (host, v6) in [("127.0.0.1:0", false), ("[::1]:0", true)] {
        let (a, b) = (socket(host), socket(host));
        enable_reports(a.as_fd(), v6, ReportOptions { errors: true, ..ReportOptions::default() }).unwrap();
        assert!(next_queued_error(a.as_fd()).unwrap().is_none());
        let to = b.local_addr().unwrap();
        drop(b);
        let parts = [IoSlice::new(b"anybody?")];
        let message = OutgoingDatagram { to, from: None, parts: &parts, segment: 0, tos: 0, hops: None };
        assert_eq!(send(a.as_fd(), &[message]).unwrap(), 1);
        let trouble = next_queued_error(a.as_fd()).unwrap().unwrap();
        assert_eq!(trouble.error.raw_os_error(), Some(libc::ECONNREFUSED));
        assert_eq!((trouble.to, trouble.offender), (Some(to), Some(to.ip())));
        assert_eq!(trouble.icmp, Some(if v6 { (1, 4) } else { (3, 3) }));
        assert_eq!(trouble.payload, b"anybody?");
    }
}
