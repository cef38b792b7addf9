//! Ends the threads of a server with the server: all tests run in one process, which would collect them.

use std::io::{PipeReader, PipeWriter, pipe};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::process::{any_readable, readable};

/// Belongs to the server; dropping it ends the threads that wait with the [`ServerLife`].
pub(crate) struct ServerOwner {
    _pipe: PipeWriter,
}

/// Tells a thread of the server when to end.
#[derive(Clone)]
pub(crate) struct ServerLife(Arc<PipeReader>);

impl ServerLife {
    /// A new server's.
    pub(crate) fn new() -> (ServerOwner, Self) {
        let (reader, writer) = pipe().expect("a pipe");
        (ServerOwner { _pipe: writer }, Self(Arc::new(reader)))
    }

    /// Waits until `socket` is readable; returns false once the server has been dropped.
    pub(crate) fn wait_for(&self, socket: &impl AsFd) -> bool {
        let end = self.0.as_fd();
        let day = Duration::from_secs(24 * 60 * 60);
        any_readable(&[end, socket.as_fd()], Instant::now() + day) && !readable(end, Instant::now())
    }

    /// Calls `serve` for each client until the server has been dropped.
    pub(crate) fn each_client(&self, listener: &TcpListener, mut serve: impl FnMut(TcpStream)) {
        while self.wait_for(listener) {
            if let Ok((client, _)) = listener.accept() {
                serve(client);
            }
        }
    }
}
