//! The process of a RUN step, from its start to its exit.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::chown_monitor::ChownMonitor;
use dhow_runtime::attach::streams::{cloexec_pipe, open_dev_null};
use dhow_runtime::network::HelperLease;
use dhow_sandbox::cgroup::Cgroup;
use dhow_sandbox::identity::HostIdentity;
use dhow_sandbox::launch::{LaunchContext, LaunchedContainer, launch};
use dhow_sandbox::plan::SandboxPlan;
use dhow_store::LockedContainer;
use dhow_sys::process::ChildExit;

/// Bytes of output per read.
const CHUNK: usize = 32 << 10;

pub(crate) struct StepProcess {
    running: LaunchedContainer,
    cgroup: Option<Cgroup>,
    network: Option<HelperLease>,
    outputs: Vec<(u8, OwnedFd)>,
    chown_monitor: Option<ChownMonitor>,
    single_owner: Option<(u32, u32)>,
}

pub(crate) struct ProcessExit {
    pub ended: ChildExit,
    /// Whether one of its processes was killed by the OOM killer.
    pub(crate) out_of_memory: bool,
    /// The container's user namespace, in which its files can be handled.
    pub user_namespace: OwnedFd,
    /// In single-id mode, the uid and gid that the account has inside.
    pub(crate) single_owner: Option<(u32, u32)>,
}

impl StepProcess {
    /// Starts the command. On failure nothing is left running.
    pub(super) fn spawn(
        plan: &SandboxPlan,
        identity: &HostIdentity,
        held: &LockedContainer,
        cgroup: Option<Cgroup>,
        mut network: Option<HelperLease>,
    ) -> Result<Self> {
        let (out, their_out) = cloexec_pipe()?;
        let (error, their_error) = cloexec_pipe()?;
        let input = open_dev_null()?;
        let ends = [input.as_fd(), their_out.as_fd(), their_error.as_fd()];
        let started = launch_program(plan, identity, ends, held, cgroup.as_ref(), network.as_mut());
        let (running, owners) = match started {
            Ok(mut running) => match Self::start_chown_monitor(&mut running) {
                Ok(owners) => (running, owners),
                Err(error) => {
                    // The command runs already, but nobody would answer its chown calls.
                    running.process.signal(libc::SIGKILL)?;
                    running.process.wait()?;
                    return Err(error);
                }
            },
            Err(error) => {
                // The first failure is the one to report; an empty cgroup may stay behind.
                let _ = cgroup.map(Cgroup::remove);
                return Err(error);
            }
        };
        let alone = match (plan.ids.uids.first(), plan.ids.gids.first()) {
            (Some(uid), Some(gid)) if !identity.is_mapped() => Some((uid.inside, gid.inside)),
            _ => None,
        };
        Ok(Self {
            running,
            cgroup,
            network,
            outputs: vec![(1, out), (2, error)],
            chown_monitor: owners,
            single_owner: alone,
        })
    }

    fn start_chown_monitor(running: &mut LaunchedContainer) -> Result<Option<ChownMonitor>> {
        let Some(listener) = running.owner_listener.take() else { return Ok(None) };
        ChownMonitor::start(listener, running.userns.as_fd()).map(Some)
    }

    /// Forwards output until the command exits.
    pub(crate) fn run_to_exit(mut self, output: &mut dyn FnMut(u8, &[u8])) -> Result<ProcessExit> {
        let mut buffer = vec![0_u8; CHUNK];
        loop {
            let ready = self.wait()?;
            for number in &ready.outputs {
                self.forward_output(*number, &mut buffer, output)?;
            }
            if ready.network
                && let Some(network) = &mut self.network
                && network.recover().is_err()
            {
                // The command will see its connections fail; there is nothing more to do here.
                self.network = None;
            }
            if ready.ended {
                break;
            }
        }
        // The monitor is stopped only now, so that it answers the last process's chown.
        let ended = self.running.process.wait()?;
        drop(self.chown_monitor.take());
        // The pid namespace died with its init, so the pipes have no writer left and reach EOF.
        while let Some((number, _)) = self.outputs.first() {
            self.forward_output(*number, &mut buffer, output)?;
        }
        let out_of_memory = self.cgroup.as_ref().is_some_and(|cgroup| cgroup.oom_kills() > 0);
        if let Some(cgroup) = self.cgroup {
            let _ = cgroup.kill().and_then(|_| cgroup.remove());
        }
        Ok(ProcessExit {
            ended,
            out_of_memory,
            user_namespace: self.running.userns,
            single_owner: self.single_owner,
        })
    }

    fn wait(&self) -> Result<ReadyEvents> {
        let mut fds = vec![PollFd::from_borrowed_fd(self.running.process.pidfd(), PollFlags::IN)];
        fds.extend(self.outputs.iter().map(|(_, fd)| PollFd::new(fd, PollFlags::IN)));
        fds.extend(
            self.network.as_ref().map(|network| PollFd::from_borrowed_fd(network.as_fd(), PollFlags::IN)),
        );
        rustix::io::retry_on_intr(|| poll(&mut fds, None))?;
        let mut happened = fds.iter().map(|fd| !fd.revents().is_empty());
        let ended = happened.next().unwrap_or(false);
        let outputs = self.outputs.iter().filter(|_| happened.next().unwrap_or(false));
        let outputs = outputs.map(|(number, _)| *number).collect();
        Ok(ReadyEvents { ended, outputs, network: happened.next().unwrap_or(false) })
    }

    /// Forwards what one stream has to read, blocking if there is nothing.
    fn forward_output(
        &mut self,
        number: u8,
        buffer: &mut [u8],
        output: &mut dyn FnMut(u8, &[u8]),
    ) -> Result<()> {
        let Some((_, fd)) = self.outputs.iter().find(|(known, _)| *known == number) else { return Ok(()) };
        match rustix::io::read(fd, &mut *buffer) {
            Ok(0) => self.outputs.retain(|(known, _)| *known != number),
            Ok(length) => output(number, buffer.get(..length).unwrap_or_default()),
            // The next poll reports it again.
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(error) => return Err(error).context("reading the program's output"),
        }
        Ok(())
    }
}

/// What poll reported.
struct ReadyEvents {
    ended: bool,
    outputs: Vec<u8>,
    network: bool,
}

fn launch_program(
    plan: &SandboxPlan,
    identity: &HostIdentity,
    ends: [BorrowedFd<'_>; 3],
    held: &LockedContainer,
    cgroup: Option<&Cgroup>,
    network: Option<&mut HelperLease>,
) -> Result<LaunchedContainer> {
    let cgroup = cgroup.map(std::os::fd::AsFd::as_fd);
    match network {
        Some(network) => {
            let outer = network.outer()?;
            let place = LaunchContext { shared: None, parent_userns: Some(&outer), cgroup };
            let mut connect = |namespace: BorrowedFd<'_>| network.connect(namespace);
            launch(plan, identity, ends, held.as_fd(), place, Some(&mut connect))
        }
        None => {
            let place = LaunchContext { shared: None, parent_userns: None, cgroup };
            launch(plan, identity, ends, held.as_fd(), place, None)
        }
    }
}
