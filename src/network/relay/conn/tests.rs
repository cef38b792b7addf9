//! One connection, turn by turn: the test decides which events were seen before a turn.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use super::*;
use crate::socket::reset_on_close;

/// A TCP connection; the first end can tell that everything sent to it has arrived.
fn connect() -> (TcpStream, OwnedFd) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    // Like the relay's listeners: accepted sockets inherit the option.
    let listener = OwnedFd::from(listener);
    reset_on_close(&listener);
    let listener = TcpListener::from(listener);
    let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    far.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let near = listener.accept().unwrap().0;
    near.set_nonblocking(true).unwrap();
    (far, near.into())
}

struct Rig {
    client: TcpStream,
    server: TcpStream,
    conn: RelayConn,
    tools: WorkerBuffers,
}

impl Rig {
    fn new() -> Self {
        let ((client, inside), (server, outside)) = (connect(), connect());
        let (container, permit) = (Ipv4Addr::LOCALHOST.into(), QuotaPermit::acquire(&[]).unwrap());
        let pair = RelayPair { inside, outside, connecting: false, container, owner: 0, permit };
        Self { client, server, conn: pair.into(), tools: WorkerBuffers::new() }
    }

    /// Reports the events of one side up to its end, then takes a turn.
    fn turn_at_the_end_of(&mut self, side: usize) -> RelayTurn {
        let mut fds = [PollFd::new(&self.conn.sockets[side], PollFlags::RDHUP)];
        rustix::event::poll(&mut fds, None).unwrap();
        let mut fds = [PollFd::new(&self.conn.sockets[side], PollFlags::IN | PollFlags::PRI)];
        rustix::event::poll(&mut fds, None).unwrap();
        let mut flags = EventFlags::IN | EventFlags::RDHUP;
        if fds[0].revents().contains(PollFlags::PRI) {
            flags |= EventFlags::PRI;
        }
        self.conn.notice(side, flags);
        self.conn.turn(&mut self.tools)
    }
}

fn all(mut from: &TcpStream) -> io::Result<String> {
    let mut all = String::new();
    from.read_to_string(&mut all).map(|_| all)
}

#[test]
fn last_words_and_the_end_go_on_together_in_both_directions() {
    let mut rig = Rig::new();
    rig.client.write_all(b"question").unwrap();
    rig.client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rig.turn_at_the_end_of(0), RelayTurn::Idle);
    assert_eq!(all(&rig.server).unwrap(), "question");
    rig.server.write_all(b"answer").unwrap();
    rig.server.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rig.turn_at_the_end_of(1), RelayTurn::Finished);
    rig.conn.close(&mut rig.tools.pipes);
    assert_eq!(all(&rig.client).unwrap(), "answer");
}

#[test]
fn urgent_data_hides_nothing_that_comes_after_it() {
    let mut rig = Rig::new();
    rig.client.write_all(b"one").unwrap();
    rustix::net::send(&rig.client, b"!", SendFlags::OOB).unwrap();
    rig.client.write_all(b"two").unwrap();
    rig.client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rig.turn_at_the_end_of(0), RelayTurn::Idle);
    assert_eq!(all(&rig.server).unwrap(), "onetwo");
}

#[test]
fn accepted_sockets_reset_as_their_listener_would() {
    let (mut client, inside) = connect();
    drop(inside);
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_reset_that_came_meanwhile_is_no_end() {
    let mut rig = Rig::new();
    rig.client.write_all(b"half a sentence").unwrap();
    reset_on_close(&OwnedFd::from(rig.client.try_clone().unwrap()));
    drop(rig.client);
    let mut fds = [PollFd::new(&rig.conn.sockets[0], PollFlags::RDHUP)];
    rustix::event::poll(&mut fds, None).unwrap();
    rig.conn.notice(0, EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
    assert_eq!(rig.conn.turn(&mut rig.tools), RelayTurn::Broken);
    rig.conn.reset(&mut rig.tools.pipes);
    assert_eq!(all(&rig.server).unwrap_err().kind(), ErrorKind::ConnectionReset);
}
