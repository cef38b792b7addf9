//! Small processes that outlive a command for the sake of a process in a container.
//!
//! One starts the process and waits for it, so that nobody else has to.
//! It stays outside of the container, as the parent of the other: a process of a container whose parent does not wait
//! for it would remain as a zombie, and one whose parent is outside would even keep the container from ending.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::channel::{self, Channel, Said};
use super::join::{self, JoinPlan, Joined};
use crate::error::{Failure, Kind};
use crate::sys;
use crate::sys::process::{Child, Ended, Side};
use crate::sys::signal::SignalFd;

/// Starts `plan` so that it goes on without this process, with empty streams; returns when its program runs. `at_end`
/// gets the exit code, in another process, which has no descriptor of this one. The arguments and conditions are those
/// of [`join::spawn`].
pub fn start_detached(plan: &JoinPlan, container: BorrowedFd<'_>, at_end: impl FnOnce(i32)) -> Result<()> {
    let (ours, theirs) = channel::pair()?;
    match sys::process::clone_into(0).context("starting a process")? {
        Side::Child => detached(plan, container, &theirs, at_end),
        Side::Parent(_) => {
            drop(theirs);
            match ours.listen()? {
                Said::Failed(failure) => Err(failure.into()),
                // It closes its end when the program runs.
                _ => Ok(()),
            }
        }
    }
}

fn detached(plan: &JoinPlan, container: BorrowedFd<'_>, channel: &Channel, at_end: impl FnOnce(i32)) -> ! {
    let started = settle(&plan.name, &[container, channel.as_fd()]).and_then(|()| {
        let null = null()?;
        join::spawn(plan, container, [null.as_fd(); 3])
    });
    match started {
        Ok(joined) => wait(&joined, at_end),
        Err(error) => {
            channel.send_failure(&Failure::of(&error));
            sys::process::exit_now(125)
        }
    }
}

/// Starts `plan` with empty input and both outputs to `output`, and returns at once. The child that is returned ends as
/// the program does, with its exit code; SIGTERM makes it kill the program. Where the program cannot be started, the
/// reason goes to `output`, and the exit code is 126, or 127 where there is no such program.
///
/// For a process that must not wait for a container, and whose other descriptors (the container's lock) nobody else
/// may hold. It must have one thread.
pub fn probe(plan: &JoinPlan, container: BorrowedFd<'_>, output: BorrowedFd<'_>) -> Result<Child> {
    match sys::process::clone_into(0).context("starting a process")? {
        Side::Parent(child) => Ok(child),
        Side::Child => {
            let started = settle(&plan.name, &[container, output]).and_then(|()| {
                // Until there is a program to end, a signal ends this process.
                sys::signal::reset_all()?;
                sys::process::die_with_parent()?;
                let null = null()?;
                join::spawn(plan, container, [null.as_fd(), output, output])
            });
            match started {
                Ok(joined) => wait(&joined, |_| {}),
                Err(error) => {
                    let failure = Failure::of(&error);
                    // Who listens is told by the exit code at least.
                    let _ = rustix::io::write(output, failure.to_string().as_bytes());
                    let missing = failure.kind() == Kind::CommandNotFound;
                    sys::process::exit_now(if missing { 127 } else { 126 })
                }
            }
        }
    }
}

/// Leaves the terminal with this master side open, in a process of its own, until nobody uses the other side any more;
/// what is written there vanishes. Without that its end would end the processes on it. The process must have one
/// thread.
pub fn hold_terminal(name: &str, master: BorrowedFd<'_>) -> Result<()> {
    match sys::process::clone_into(0).context("starting a process")? {
        Side::Parent(_) => Ok(()),
        Side::Child => {
            let _ = settle(name, &[master]).and_then(|()| Ok(rustix::io::ioctl_fionbio(master, false)?));
            let mut buffer = [0_u8; 16 << 10];
            while let Ok(1..) | Err(Errno::INTR) = rustix::io::read(master, &mut buffer) {}
            sys::process::exit_now(0)
        }
    }
}

/// A session of its own, and nothing of the caller's but what is in `keep`.
fn settle(name: &str, keep: &[BorrowedFd<'_>]) -> Result<()> {
    let _ = rustix::process::setsid();
    rustix::process::chdir("/")?;
    sys::process::set_title(&format!("dhow: {name}"));
    sys::process::close_others(3, keep)?;
    let null = null()?;
    for number in 0..3 {
        sys::process::place_fd(null.as_fd(), number)?;
    }
    Ok(())
}

fn null() -> Result<OwnedFd> {
    Ok(rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?)
}

/// A signal that asks to end the program, which then has to be waited for: nobody else would.
const END: i32 = libc::SIGTERM;

/// Ends as the program does. Until then it holds nothing open that somebody may wait to see closed.
fn wait(joined: &Joined, at_end: impl FnOnce(i32)) -> ! {
    let closed = sys::process::close_others(3, &[joined.process.pidfd()]);
    let ended = closed.and_then(|()| attend(&joined.process));
    let code = ended.map_or(125, Ended::code);
    at_end(code);
    sys::process::exit_now(code)
}

fn attend(process: &Child) -> std::io::Result<Ended> {
    let signals = SignalFd::blocking(&[END])?;
    loop {
        let mut fds = [
            PollFd::from_borrowed_fd(process.pidfd(), PollFlags::IN),
            PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
        ];
        rustix::io::retry_on_intr(|| poll(&mut fds, None))?;
        if !fds[0].revents().is_empty() {
            return process.wait();
        }
        while signals.next()?.is_some() {
            process.signal(libc::SIGKILL)?;
        }
    }
}
