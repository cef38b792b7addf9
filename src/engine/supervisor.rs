//! The process that owns a running container: starts it, passes signals on, notes how it ended, cleans up.
//!
//! It is forked by the command, in a session of its own, and inherits the container's lock, which is what "running"
//! means. It outlives the command unless the container is to be removed at its end: then an abandoned container is
//! killed, so that no orphan stays behind a killed job.

use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, poll};

use super::attach::wire::{Order, Report, Supervisor};
use super::remove::{self, Namespace};
use super::state::{ContainerState, now};
use crate::error::{Failure, Kind};
use crate::sandbox::identity::Identity;
use crate::sandbox::launch::{Running, launch};
use crate::sandbox::plan::Plan;
use crate::store::{LockedContainer, Store};
use crate::sys;
use crate::sys::process::{Child, Ended};
use crate::sys::pty;
use crate::sys::signal::SignalFd;

/// Everything the supervisor needs, handed over by the fork.
pub(super) struct Post {
    pub(super) store: Store,
    pub(super) container: LockedContainer,
    pub(super) plan: Plan,
    pub(super) identity: Identity,
    /// Standard input, output and error of the container.
    pub(super) streams: [OwnedFd; 3],
    /// The user's terminal and its settings, put back if the command dies without doing so.
    pub(super) terminal: Option<(OwnedFd, pty::Saved)>,
}

/// Runs the container to its end. For the child of a fork: never returns.
pub(super) fn serve(post: Post, command: Supervisor) -> ! {
    let _ = rustix::process::setsid();
    sys::process::set_title(&format!("dhow: {}", post.plan.name));
    let code = match start(&post, &command) {
        Ok(running) => watch(post, command, running),
        Err(error) => give_up(post, &command, &error),
    };
    sys::process::exit_now(code)
}

fn start(post: &Post, command: &Supervisor) -> Result<Running> {
    let streams = [post.streams[0].as_fd(), post.streams[1].as_fd(), post.streams[2].as_fd()];
    let running = launch(&post.plan, &post.identity, streams, post.container.as_fd())
        .with_context(|| format!("cannot start container {}", post.plan.name))?;
    let state = ContainerState { pid: running.process.pid, started: now(), ..previous(&post.container) };
    post.container.write_state(&state)?;
    command.report(&Report::Started, running.terminal.as_ref().map(OwnedFd::as_fd));
    Ok(running)
}

fn previous(container: &LockedContainer) -> ContainerState {
    container.read_state().ok().flatten().unwrap_or_default()
}

/// The container did not start: it stays to be looked at, unless it was to be removed at its end.
fn give_up(post: Post, command: &Supervisor, error: &anyhow::Error) -> i32 {
    let failure = Failure::of(error);
    let exit_code = super::run::exit_code_of(failure.kind());
    let state = ContainerState {
        finished: now(),
        exit_code,
        error: failure.to_string(),
        ..previous(&post.container)
    };
    let _ = post.container.write_state(&state);
    if post.container.spec().auto_remove {
        let _ = remove::remove(&post.store, post.container, true, &post.identity);
    }
    command.report(&Report::Failed(failure), None);
    exit_code
}

fn watch(post: Post, command: Supervisor, running: Running) -> i32 {
    let Post { store, container, streams, terminal, .. } = post;
    drop(streams);
    let mut guard = Watch { command: Some(&command), terminal, auto_remove: container.spec().auto_remove };
    let ended = guard.until_end(&running).unwrap_or(Ended::Signaled(libc::SIGKILL));
    let code = ended.code();
    let cleaned = match container.spec().auto_remove {
        true => remove::retire(&store, container, true).map(Some),
        false => container
            .write_state(&ContainerState { pid: 0, finished: now(), exit_code: code, ..previous(&container) })
            .map(|()| None),
    };
    match cleaned {
        Ok(leftovers) => {
            command.report(&Report::Ended(code), None);
            if let Some(leftovers) = leftovers {
                // Nobody is left to be told: what cannot be deleted stays in the trash for the next command.
                let _ = leftovers.delete(&store, Namespace::Open(running.user_namespace.as_fd()));
            }
        }
        Err(error) => command.report(
            &Report::Failed(Failure::new(Kind::Other, format!("cleaning up after the container: {error:#}"))),
            None,
        ),
    }
    code
}

struct Watch<'a> {
    /// The attached command, until it detaches or dies.
    command: Option<&'a Supervisor>,
    terminal: Option<(OwnedFd, pty::Saved)>,
    auto_remove: bool,
}

impl Watch<'_> {
    /// Serves events until the first process has ended.
    fn until_end(&mut self, running: &Running) -> Result<Ended> {
        let signals = SignalFd::blocking(&sys::signal::forwardable()).context("receiving signals")?;
        leave_stdio()?;
        loop {
            let ready = self.wait(running, &signals)?;
            if ready.ended {
                return Ok(running.process.wait()?);
            }
            if ready.signal {
                pass_on(&signals, &running.process)?;
            }
            if ready.command {
                self.obey(&running.process)?;
            }
            if ready.output {
                discard(running.terminal.as_ref());
            }
        }
    }

    fn wait(&self, running: &Running, signals: &SignalFd) -> Result<Ready> {
        let input = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
        let mut fds = vec![input(running.process.pidfd()), input(signals.as_fd())];
        if let Some(command) = self.command {
            fds.push(input(command.as_fd()));
        } else if let Some(terminal) = &running.terminal {
            fds.push(input(terminal.as_fd()));
        }
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let happened = |index: usize| fds.get(index).is_some_and(|fd| !fd.revents().is_empty());
        let third = happened(2);
        Ok(Ready {
            ended: happened(0),
            signal: happened(1),
            command: third && self.command.is_some(),
            output: third && self.command.is_none(),
        })
    }

    fn obey(&mut self, process: &Child) -> Result<()> {
        match self.command.map(Supervisor::order).transpose() {
            Ok(Some(Some(Order::Signal(signal)))) => process.signal(signal)?,
            Ok(Some(Some(Order::Detach))) => self.let_go(),
            _ => {
                if let Some((terminal, saved)) = &self.terminal {
                    let _ = saved.restore(terminal.as_fd());
                }
                if self.auto_remove {
                    process.signal(libc::SIGKILL)?;
                }
                self.let_go();
            }
        }
        Ok(())
    }

    fn let_go(&mut self) {
        self.command = None;
        self.terminal = None;
    }
}

struct Ready {
    ended: bool,
    signal: bool,
    command: bool,
    output: bool,
}

/// The supervisor must not keep a pipe of its caller open.
fn leave_stdio() -> Result<()> {
    let null = rustix::fs::open(
        "/dev/null",
        rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?;
    for number in 0..3 {
        sys::process::place_fd(null.as_fd(), number)?;
    }
    Ok(())
}

/// Signals for the supervisor are meant for the container; the end of a child is not.
fn pass_on(signals: &SignalFd, process: &Child) -> Result<()> {
    while let Some(signal) = signals.next()? {
        if signal != libc::SIGCHLD && signal != libc::SIGPIPE {
            process.signal(signal)?;
        }
    }
    Ok(())
}

/// Nobody reads the terminal of a container that the user has detached from; it must not block for that.
fn discard(terminal: Option<&OwnedFd>) {
    let mut buffer = [0_u8; 16 << 10];
    if let Some(terminal) = terminal {
        let _: Result<usize, _> = rustix::io::read(terminal, &mut buffer);
    }
}
