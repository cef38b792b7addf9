//! The process of a RUN step, from its start to its exit.

use std::os::fd::OwnedFd;

use anyhow::Result;

use super::chown_monitor::ChownMonitor;
use dhow_model::log::OutputStream;
use dhow_runtime::cgroup::OwnedCgroup;
use dhow_runtime::network::HelperLease;
use dhow_runtime::process::poll::PollSet;
use dhow_runtime::process::streams::{ReadBuffer, StreamRead};
use dhow_runtime::process::{ContainerProcess, LaunchInputs, StdioSetup};
use dhow_sandbox::identity::HostIdentity;
use dhow_sandbox::plan::SandboxPlan;
use dhow_store::LockedContainer;
use dhow_sys::process::ChildExit;

pub(crate) struct StepProcess {
    process: ContainerProcess,
    network: Option<HelperLease>,
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

#[derive(Clone, Copy)]
enum StepEvent {
    Exited,
    Output(OutputStream),
    /// The network helper is gone.
    HelperGone,
}

impl StepProcess {
    /// Starts the command. On failure nothing is left running.
    pub(super) fn spawn(
        plan: &SandboxPlan,
        identity: &HostIdentity,
        container: &LockedContainer,
        cgroup: Option<OwnedCgroup>,
        mut network: Option<HelperLease>,
    ) -> Result<Self> {
        let mut process = ContainerProcess::launch(LaunchInputs {
            plan,
            identity,
            container,
            stdio: StdioSetup::Piped { keep_input: false },
            cgroup,
            shared: None,
            network: network.as_mut(),
        })?;
        let chown_monitor = match start_chown_monitor(&mut process) {
            Ok(monitor) => monitor,
            Err(error) => {
                // The command runs already, but nobody would answer its chown calls.
                process.signal(libc::SIGKILL)?;
                process.wait()?;
                return Err(error);
            }
        };
        let single_owner = match (plan.ids.uids.first(), plan.ids.gids.first()) {
            (Some(uid), Some(gid)) if !identity.is_mapped() => Some((uid.inside, gid.inside)),
            _ => None,
        };
        Ok(Self { process, network, chown_monitor, single_owner })
    }

    /// Forwards output until the command exits. `output` gets 1 for standard output and 2 for standard error.
    pub(crate) fn run_to_exit(mut self, output: &mut dyn FnMut(u8, &[u8])) -> Result<ProcessExit> {
        let mut buffer = ReadBuffer::default();
        let mut exited = false;
        while !exited {
            for event in self.poll()? {
                match event {
                    StepEvent::Exited => exited = true,
                    StepEvent::Output(stream) => {
                        if let StreamRead::Bytes(bytes) = self.process.streams.read(stream, &mut buffer) {
                            output(descriptor(stream), bytes);
                        }
                    }
                    StepEvent::HelperGone => self.recover_network(),
                }
            }
        }
        // The monitor is stopped only now, so that it answers the last process's chown.
        let ended = self.process.wait()?;
        drop(self.chown_monitor.take());
        self.process.drain_output(|stream, bytes| output(descriptor(stream), bytes));
        let out_of_memory = self.process.remove_cgroup();
        Ok(ProcessExit {
            ended,
            out_of_memory,
            user_namespace: self.process.into_user_namespace(),
            single_owner: self.single_owner,
        })
    }

    fn poll(&self) -> Result<Vec<StepEvent>> {
        let mut poll_set = PollSet::default();
        self.process.watch(&mut poll_set, StepEvent::Exited, StepEvent::Output, |_| true);
        if let Some(network) = &self.network {
            poll_set.add_readable(StepEvent::HelperGone, network.as_fd());
        }
        poll_set.wait(None)
    }

    fn recover_network(&mut self) {
        if let Some(network) = &mut self.network
            && network.recover().is_err()
        {
            // The command will see its connections fail; there is nothing more to do here.
            self.network = None;
        }
    }
}

fn descriptor(stream: OutputStream) -> u8 {
    match stream {
        OutputStream::Stdout => 1,
        OutputStream::Stderr => 2,
    }
}

fn start_chown_monitor(process: &mut ContainerProcess) -> Result<Option<ChownMonitor>> {
    let Some(listener) = process.take_owner_listener() else { return Ok(None) };
    ChownMonitor::start(listener, process.user_namespace()).map(Some)
}
