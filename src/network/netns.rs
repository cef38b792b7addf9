//! A thread pinned to another network namespace, to create sockets and interfaces there.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use dhow_sys::process::ns;

/// Stack size in bytes; the tasks are small.
const STACK_SIZE: usize = 128 << 10;

type NetnsTask = Box<dyn FnOnce() + Send>;

/// A thread that lives in a network namespace. The namespace exists as long as this thread or any socket
/// created in it. Dropping this ends the thread.
#[derive(Debug)]
pub(crate) struct NetnsThread {
    tasks: Option<Sender<NetnsTask>>,
    thread: Option<JoinHandle<()>>,
}

impl NetnsThread {
    /// Starts a thread that first calls `enter`, which moves it by unshare(2) or setns(2).
    pub(crate) fn start(
        name: &str,
        enter: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, tasks) = channel::<NetnsTask>();
        let thread =
            std::thread::Builder::new().name(name.to_owned()).stack_size(STACK_SIZE).spawn(move || {
                for task in tasks {
                    task();
                }
            })?;
        let netns_thread = Self { tasks: Some(sender), thread: Some(thread) };
        // The first task decides whether the thread is of any use; on error `Drop` joins it.
        netns_thread.call(enter)??;
        Ok(netns_thread)
    }

    /// Runs `work` there and waits for its result. Fails if the thread has ended.
    pub(crate) fn call<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> io::Result<R> {
        let (answer, result) = channel();
        let gone = || io::Error::other("the thread of a network namespace has ended");
        let work: NetnsTask = Box::new(move || drop(answer.send(work())));
        self.tasks.as_ref().ok_or_else(gone)?.send(work).map_err(|_| gone())?;
        result.recv().map_err(|_| gone())
    }

    /// Runs `work` there without waiting.
    pub(crate) fn post(&self, work: impl FnOnce() + Send + 'static) {
        if let Some(tasks) = &self.tasks {
            // If the thread has ended there is nothing left to do it with.
            let _ = tasks.send(Box::new(work));
        }
    }
}

/// Runs `work` in the network namespace `namespace`, on a temporary thread.
pub(crate) fn run_in<R: Send>(namespace: BorrowedFd<'_>, work: impl FnOnce() -> R + Send) -> io::Result<R> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("in-netns".into()).stack_size(STACK_SIZE);
        let thread = thread.spawn_scoped(scope, || {
            dhow_sys::namespace::setns(namespace, ns::NET)?;
            Ok(work())
        })?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread in a network namespace panicked")))
    })
}

impl Drop for NetnsThread {
    fn drop(&mut self) {
        // Closing the channel ends the thread's loop.
        self.tasks = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn works_until_it_is_dropped_and_not_where_it_cannot_enter() {
        let netns_thread = NetnsThread::start("test", || Ok(())).unwrap();
        assert_eq!(netns_thread.call(|| 1 + 1).unwrap(), 2);
        let error = NetnsThread::start("test", || Err(io::Error::other("no way in"))).unwrap_err();
        assert_eq!(error.to_string(), "no way in");
    }
}
