//! Launches a container that shares namespaces with a running one (`--pid container:NAME` and the like).
//!
//! Capabilities over a namespace are held in its owning user namespace and that one's ancestors, never in a sibling.
//! So the new container's user namespace is nested in the other one's, created by a process that joins it for a
//! moment:
//!
//! ```text
//! supervisor ──fork──► intermediate: joins the other's userns and the shared namespaces, creates a nested userns
//!                       ├─► mount helper: creates mounts that belong to shared namespaces, inside the other container
//!                       ├─► id-map helper: stays in the other's userns and maps the ids of the nested one
//!                       └─► the container's first process, as a child of the supervisor
//! ```
//!
//! # Trust
//!
//! The other container may be hostile. A process that is visible in its pid namespace is undumpable until it execs,
//! and execs via the exec stub (see [`crate::join`]).

use std::convert::Infallible;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context as _, Result};
use dhow_error::{Failure, FailureKind};
use dhow_sys::exec_stub::STATUS_FD;
use dhow_sys::mount::Attr;
use dhow_sys::namespace::open_namespace;
use dhow_sys::process::{self, ChildProcess, ForkSide, ns};
use dhow_sys::socket::SeqpacketSocket;
use nix::sched::CloneFlags;
use rustix::fs::{Mode, OFlags};

use super::handshake::{
    ConnectNetwork, LaunchInput, LaunchedContainer, OpenNamespaces, handshake, split_clone_flags,
    via_intermediate,
};
use super::init::{self, ReceivedMounts};
use super::nested::ParentUserns;
use crate::identity::idmap::IdMap;
use crate::plan::{MountKind, NamespaceSet, PeerMount, SandboxPlan};
use crate::sync_socket::{self, SyncSocket};
use crate::{confine, identity, join};

/// The running container whose namespaces are shared.
pub struct SharedNamespaces {
    /// A pidfd of its first process.
    pub init_pidfd: OwnedFd,
    pub userns: OwnedFd,
    /// Its id map.
    pub ids: IdMap,
    /// The namespaces that are shared.
    pub share: NamespaceSet,
}

/// Checks that the new user namespace will be a descendant of `parent`, which it is if the other container's
/// is. Only then can the network helper configure the container's network.
pub(super) fn check_nested_below(peer: &SharedNamespaces, parent: &ParentUserns) -> Result<()> {
    let ancestor = rustix::fs::fstat(&parent.userns)?;
    let mut namespace = Some(peer.userns.try_clone()?);
    while let Some(current) = namespace {
        let stat = rustix::fs::fstat(&current)?;
        if (stat.st_dev, stat.st_ino) == (ancestor.st_dev, ancestor.st_ino) {
            return Ok(());
        }
        namespace = dhow_sys::namespace::parent_namespace(current.as_fd())?;
    }
    let message = "the container whose namespaces it shares is on no network, so it cannot be on one either";
    Err(Failure::new(FailureKind::Unsupported, message)
        .hint("give it --network none, host or container:NAME, or start the other on a network, which may be an --internal one")
        .into())
}

/// Like [`super::launch`], sharing namespaces of `peer`.
pub(super) fn launch_shared(
    input: &LaunchInput<'_>,
    peer: &SharedNamespaces,
    connect: Option<ConnectNetwork<'_>>,
) -> Result<LaunchedContainer> {
    via_intermediate(
        input,
        |channel| run_intermediate(input, peer, channel),
        |channel, intermediate| {
            let namespaces = open_namespaces(channel, intermediate, connect.is_some())?;
            handshake(input.plan, channel, namespaces, connect)
        },
    )
}

/// Opens the new container's user namespace, which the intermediate process has entered by now, and its
/// network namespace if it is to be connected. Done early because the first process may be undumpable.
fn open_namespaces(channel: &SyncSocket, intermediate: &ChildProcess, net: bool) -> Result<OpenNamespaces> {
    channel.await_go()?;
    let user = open_namespace(intermediate.pid, "user")?;
    let net = net.then(|| open_namespace(intermediate.pid, "net")).transpose()?;
    channel.send_go()?;
    Ok(OpenNamespaces { userns: Some(user), netns: net, mountns: None })
}

/// In the intermediate process: joins the shared namespaces and creates the container's first process.
fn run_intermediate(
    input: &LaunchInput<'_>,
    peer: &SharedNamespaces,
    channel: &SyncSocket,
) -> Result<Infallible> {
    let plan = input.plan;
    // What the other container sees of this process and its children must not tell how they were started.
    let _ = process::set_title(&format!("dhow: {}", plan.name));
    let map = plan.ids.nested_in(&peer.ids).ok_or_else(|| {
        Failure::new(FailureKind::Unsupported, "the other container's user namespace lacks ids of this one")
            .hint("give both the same --userns")
    })?;
    // Both helpers are forked before this process gives up its user namespace, over which they act.
    let mut received = request_mounts(plan, peer)?;
    let id_map_helper = IdMapHelper::start(&map, peer)?;
    // Not the mount namespace: the new container has its own. A shared pid namespace takes effect for
    // children only.
    let shared = peer.share.clone_flags() & !ns::MOUNT;
    dhow_sys::namespace::setns(peer.init_pidfd.as_fd(), shared)
        .map_err(|error| join::explain_join_refusal(&error))?;
    identity::unshare_user()?;
    id_map_helper.map()?;
    let mut to_create = plan.unshare.clone_flags() & !ns::USER;
    if plan.awaits_network {
        // Here and not by clone(2), so that the supervisor can open it through this process.
        nix::sched::unshare(CloneFlags::CLONE_NEWNET).context("making a network namespace")?;
        to_create &= !ns::NET;
    }
    channel.send_go()?;
    channel.await_go()?;
    if peer.share.pid {
        confine::set_oom_score(&plan.process)?;
        // Inherited by the first process. After the score, which an undumpable process cannot set.
        process::set_dumpable(false)?;
        received.stub_status = Some(dhow_sys::fs::open_null()?);
    }
    // The exec stub needs the number [`STATUS_FD`].
    let channel = channel.at_or_above(STATUS_FD + 1)?;
    let (at_clone, after) = split_clone_flags(to_create, input.cgroup.is_some());
    match process::clone_sibling(at_clone, input.cgroup)
        .map_err(|error| join::explain_join_refusal(&error))?
    {
        ForkSide::Child => {
            dhow_sys::namespace::unshare(after).context("making a cgroup namespace")?;
            init::run_init(plan, &channel, &init::StdioFds(input.streams), received)
        }
        ForkSide::Parent(process) => {
            channel.send_process(&process)?;
            process::exit_now(0)
        }
    }
}

/// A process that waits in the other container's user namespace and then maps the ids of the nested one.
struct IdMapHelper {
    process: ChildProcess,
    channel: SyncSocket,
}

impl IdMapHelper {
    fn start(map: &IdMap, peer: &SharedNamespaces) -> Result<Self> {
        let (ours, theirs) = sync_socket::socket_pair()?;
        let intermediate = rustix::process::getpid().as_raw_nonzero().get();
        match process::clone_into(0).context("starting a process")? {
            ForkSide::Child => {
                drop(ours);
                let result = (|| {
                    process::close_others(3, &[peer.init_pidfd.as_fd(), theirs.as_fd()])?;
                    dhow_sys::namespace::setns(peer.init_pidfd.as_fd(), ns::USER)?;
                    theirs.await_go()?;
                    map.write_for(intermediate, map.is_single())
                })();
                match result {
                    Ok(()) => drop(theirs.send_go()),
                    Err(error) => theirs.send_failure(&Failure::from_chain(&error)),
                }
                process::exit_now(0)
            }
            ForkSide::Parent(process) => Ok(Self { process, channel: ours }),
        }
    }

    fn map(self) -> Result<()> {
        self.channel.send_go()?;
        self.channel.await_go().context("mapping user ids below the other container's")?;
        self.process.wait()?;
        Ok(())
    }
}

/// Fetches the mounts that `plan` needs from the other container.
fn request_mounts(plan: &SandboxPlan, peer: &SharedNamespaces) -> Result<ReceivedMounts> {
    let requested: Vec<PeerMount> = plan
        .mounts
        .iter()
        .filter_map(|mount| if let MountKind::FromPeer(kind) = mount.kind { Some(kind) } else { None })
        .collect();
    if requested.is_empty() {
        return Ok(ReceivedMounts::default());
    }
    let (ours, theirs) = SeqpacketSocket::pair()?;
    match process::clone_into(0).context("starting a process")? {
        ForkSide::Child => {
            drop(ours);
            if let Err(error) = send_mounts(&requested, peer, &theirs) {
                let _ =
                    theirs.send(&serde_json::to_vec(&Failure::from_chain(&error)).unwrap_or_default(), &[]);
            }
            process::exit_now(0)
        }
        ForkSide::Parent(helper) => {
            drop(theirs);
            let message = ours.receive()?;
            helper.wait()?;
            if let Ok(failure) = serde_json::from_slice::<Failure>(&message.bytes) {
                return Err(anyhow::Error::from(failure).context("looking into the other container"));
            }
            Ok(ReceivedMounts::new(requested.into_iter().zip(message.fds).collect()))
        }
    }
}

/// In the mount helper: creates the mounts inside the other container and sends their descriptors.
fn send_mounts(requested: &[PeerMount], peer: &SharedNamespaces, socket: &SeqpacketSocket) -> Result<()> {
    process::close_others(3, &[peer.init_pidfd.as_fd(), socket.as_fd()])?;
    process::set_dumpable(false)?;
    // None of the mounts depends on the network namespace.
    let shared = NamespaceSet { net: false, ..peer.share };
    dhow_sys::namespace::setns(peer.init_pidfd.as_fd(), shared.clone_flags())
        .map_err(|error| join::explain_join_refusal(&error))?;
    // The pid namespace applies to children only, and a new /proc shows that of the process that mounts it.
    match process::clone_into(0).map_err(|error| join::explain_join_refusal(&error))? {
        ForkSide::Parent(child) => {
            child.wait()?;
            Ok(())
        }
        ForkSide::Child => {
            let root = dhow_sys::fs::open_dir(Path::new("/"))?;
            let mounts = requested
                .iter()
                .map(|kind| open_peer_mount(*kind, root.as_fd()))
                .collect::<Result<Vec<_>>>()?;
            let fds: Vec<BorrowedFd<'_>> = mounts.iter().map(|mount| mount.as_fd()).collect();
            Ok(socket.send(b"mounts", &fds)?)
        }
    }
}

fn open_peer_mount(kind: PeerMount, root: BorrowedFd<'_>) -> Result<OwnedFd> {
    let attributes = Attr::MOUNT_ATTR_NOSUID | Attr::MOUNT_ATTR_NODEV | Attr::MOUNT_ATTR_NOEXEC;
    let path = match kind {
        PeerMount::Proc => {
            return dhow_sys::mount::new_filesystem("proc", &[], attributes)
                .context("mounting a /proc of the other container's processes");
        }
        PeerMount::Shm => "dev/shm",
        PeerMount::Mqueue => "dev/mqueue",
    };
    let dir =
        dhow_sys::fs::open_in_root(root, Path::new(path), OFlags::PATH | OFlags::DIRECTORY, Mode::empty());
    let tree = dir.and_then(|dir| dhow_sys::mount::clone_tree(dir.as_fd(), false));
    let tree = tree.with_context(|| format!("opening its /{path}"))?;
    dhow_sys::mount::set_attributes(tree.as_fd(), attributes, libc::MS_PRIVATE, false)?;
    Ok(tree)
}
