//! A launched container process, for whoever owns it: the supervisor of a container, or a RUN step of a build.
//!
//! # States
//!
//! [`ContainerProcess::launch`] returns once the program has been executed. The owner then polls: [`PollSet`] with the
//! exit ([`ContainerProcess::pidfd`]), the outputs ([`ContainerStreams::outputs`]) and what else it waits for. After
//! the exit it calls, in this order:
//!
//! 1. [`ContainerProcess::wait`] reaps the first process;
//! 2. [`ContainerProcess::drain_output`] reads what is left in the pipes;
//! 3. [`ContainerProcess::remove_cgroup`] kills what is left in the cgroup, and says whether there was an OOM kill.
//!
//! # Invariants
//!
//! The process has a cgroup only if one was asked for, and a launch that fails removes it. The parent's ends of the
//! pipes are nonblocking, the container's are not: programs do not expect EAGAIN on their stdio.

pub mod poll;
pub mod streams;

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use anyhow::Result;

use self::poll::PollSet;
use self::streams::{ContainerStreams, ReadBuffer, StreamRead};
use crate::cgroup::OwnedCgroup;
use crate::network::HelperLease;
use dhow_model::log::OutputStream;
use dhow_sandbox::identity::HostIdentity;
use dhow_sandbox::launch::shared::SharedNamespaces;
use dhow_sandbox::launch::{LaunchContext, LaunchedContainer, launch};
use dhow_sandbox::plan::SandboxPlan;
use dhow_store::LockedContainer;
use dhow_sys::process::ChildExit;

/// Upper bound on reads that drain output after the exit: other processes may hold the pipes and go on writing.
const MAX_DRAIN_READS: usize = 1024;

/// What a process is launched from.
pub struct LaunchInputs<'a> {
    pub plan: &'a SandboxPlan,
    pub identity: &'a HostIdentity,
    pub container: &'a LockedContainer,
    pub stdio: StdioSetup,
    /// Removed if the launch fails.
    pub cgroup: Option<OwnedCgroup>,
    /// Namespaces of another container to join.
    pub shared: Option<SharedNamespaces>,
    /// Connects the container between the creation of its network namespace and the start of its program.
    pub network: Option<&'a mut HelperLease>,
}

/// The container's standard streams.
pub enum StdioSetup {
    /// Streams to pass on; the parent sees none of the output.
    Direct([OwnedFd; 3]),
    /// Pipes to the parent; without `keep_input` the input is /dev/null.
    Piped { keep_input: bool },
    /// A terminal, whose master side the parent gets.
    Terminal,
}

/// A container's first process with its cgroup and streams.
pub struct ContainerProcess {
    launched: LaunchedContainer,
    /// `None` without a cgroup of its own.
    pub(crate) cgroup: Option<OwnedCgroup>,
    pub streams: ContainerStreams,
}

impl ContainerProcess {
    /// Launches the container's program. On failure nothing is left running.
    pub fn launch(mut inputs: LaunchInputs<'_>) -> Result<Self> {
        let cgroup = inputs.cgroup.take();
        let (launched, streams) = launch_with_streams(inputs, cgroup.as_ref())?;
        Ok(Self { launched, cgroup, streams })
    }

    pub(crate) fn pid(&self) -> i32 {
        self.launched.process.pid
    }

    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.launched.process.pidfd()
    }

    /// The container's user namespace, in which its files can be handled.
    pub fn user_namespace(&self) -> BorrowedFd<'_> {
        self.launched.userns.as_fd()
    }

    /// The same, once nothing else of the process is needed.
    pub fn into_user_namespace(self) -> OwnedFd {
        self.launched.userns
    }

    /// Lets go of the mounts that the plan held beyond the end of the first process.
    pub(crate) fn release_mounts(&mut self) {
        self.launched.mounts = None;
    }

    /// The seccomp notifications of chown(2) and its relatives, for plans that remember owners. `None` the second time.
    pub fn take_owner_listener(&mut self) -> Option<OwnedFd> {
        self.launched.owner_listener.take()
    }

    /// Adds the exit and the outputs that `filter` accepts to what is polled for.
    pub fn watch<'a, E>(
        &'a self,
        watch: &mut PollSet<'a, E>,
        exited: E,
        output: impl Fn(OutputStream) -> E,
        filter: impl Fn(OutputStream) -> bool,
    ) {
        watch.add_readable(exited, self.pidfd());
        for (stream, fd) in self.streams.outputs().filter(|(stream, _)| filter(*stream)) {
            watch.add_readable(output(stream), fd);
        }
    }

    /// Sends a signal to the first process.
    pub fn signal(&self, signal: i32) -> Result<()> {
        Ok(self.launched.process.signal(signal)?)
    }

    /// Waits for the first process and reaps it.
    pub fn wait(&self) -> std::io::Result<ChildExit> {
        self.launched.process.wait()
    }

    pub(crate) fn cgroup_path(&self) -> Option<PathBuf> {
        self.cgroup.as_ref().map(|cgroup| cgroup.path().to_owned())
    }

    /// Kills what is left in its cgroup and removes that. Returns whether the OOM killer killed one of its
    /// processes.
    pub fn remove_cgroup(&mut self) -> bool {
        // Read before the cgroup and its counters are gone.
        self.cgroup.take().is_some_and(|cgroup| cgroup.oom_kills() > 0)
    }

    /// Reads the rest of its output, after the exit.
    pub fn drain_output(&mut self, mut take: impl FnMut(OutputStream, &[u8])) {
        let mut buffer = ReadBuffer::default();
        for stream in [OutputStream::Stdout, OutputStream::Stderr] {
            for _ in 0..MAX_DRAIN_READS {
                match self.streams.read(stream, &mut buffer) {
                    StreamRead::Bytes(bytes) => take(stream, bytes),
                    StreamRead::Nothing | StreamRead::End => break,
                }
            }
        }
    }
}

fn launch_with_streams(
    inputs: LaunchInputs<'_>,
    cgroup: Option<&OwnedCgroup>,
) -> Result<(LaunchedContainer, ContainerStreams)> {
    let LaunchInputs { plan, identity, container, stdio, shared, network, .. } = inputs;
    let shared = shared.as_ref();
    let (ends, streams) = match stdio {
        StdioSetup::Direct(ends) => (ends, ContainerStreams::default()),
        StdioSetup::Terminal => (ContainerStreams::placeholders()?, ContainerStreams::default()),
        StdioSetup::Piped { keep_input } => ContainerStreams::pipes(keep_input)?,
    };
    let ends = ends.each_ref().map(|end| end.as_fd());
    let cgroup = cgroup.map(|cgroup| cgroup.as_fd());
    let mut launched = match network {
        Some(network) => {
            let parent = network.parent_userns()?;
            let context = LaunchContext { shared, parent_userns: Some(&parent), cgroup };
            // The sandbox calls this between the creation of the network namespace and the start of the program.
            let mut connect = |namespace: BorrowedFd<'_>| network.connect(namespace);
            launch(plan, identity, ends, container.as_fd(), context, Some(&mut connect))?
        }
        None => {
            let context = LaunchContext { shared, parent_userns: None, cgroup };
            launch(plan, identity, ends, container.as_fd(), context, None)?
        }
    };
    let streams = launched.terminal.take().map_or(Ok(streams), ContainerStreams::terminal)?;
    Ok((launched, streams))
}
