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
//! and execs via the exec stub (see [`super::join`]).

use std::convert::Infallible;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context as _, Result};
use nix::sched::CloneFlags;
use rustix::fs::{Mode, OFlags};

use super::below::Outer;
use super::channel::{self, Channel};
use super::idmap::IdMap;
use super::launch::{Connect, Known, Running, births, give_up_lock, meet, namespace_of, namespaces, through};
use super::plan::{Kin, MountKind, Plan, Unshare};
use super::{confine, identity, init, join};
use crate::error::{Failure, Kind};
use crate::sys;
use crate::sys::mount::Attr;
use crate::sys::process::{self, Child, Side, ns};
use crate::sys::socket::Socket;
use crate::sys::stub::STATUS;

/// The running container whose namespaces are shared.
pub struct Relation {
    /// A pidfd of its first process.
    pub first: OwnedFd,
    pub namespace: OwnedFd,
    /// Its id map.
    pub ids: IdMap,
    /// The namespaces that are shared.
    pub share: Unshare,
}

/// What the new container's first process receives from the other container.
#[derive(Default)]
pub(super) struct Gifts {
    mounts: Vec<(Kin, OwnedFd)>,
    /// Where the exec stub reports, if the process is visible to others: /dev/null, since nobody listens.
    pub(super) stub_tells: Option<OwnedFd>,
}

impl Gifts {
    /// Takes the mount of this kind; `None` if it was taken before or never requested.
    pub(super) fn take(&mut self, kin: Kin) -> Option<OwnedFd> {
        let at = self.mounts.iter().position(|(kind, _)| *kind == kin)?;
        Some(self.mounts.swap_remove(at).1)
    }
}

/// Checks that the new user namespace will be a descendant of `outer`, which it is if the other container's
/// is. Only then can the network helper configure the container's network.
pub(super) fn check_below(relation: &Relation, outer: &Outer) -> Result<()> {
    let wanted = rustix::fs::fstat(&outer.namespace)?;
    let mut namespace = Some(relation.namespace.try_clone()?);
    while let Some(this) = namespace {
        let stat = rustix::fs::fstat(&this)?;
        if (stat.st_dev, stat.st_ino) == (wanted.st_dev, wanted.st_ino) {
            return Ok(());
        }
        namespace = sys::namespace::parent(this.as_fd())?;
    }
    let message = "the container whose namespaces it shares is on no network, so it cannot be on one either";
    Err(Failure::new(Kind::Unsupported, message)
        .hint("give it --network none, host or container:NAME, or start the other on a network, which may be an --internal one")
        .into())
}

/// Like [`super::launch::launch`], sharing namespaces of `relation`.
pub(super) fn launch(
    plan: &Plan,
    relation: &Relation,
    streams: [BorrowedFd<'_>; 3],
    lock: BorrowedFd<'_>,
    cgroup: Option<BorrowedFd<'_>>,
    connect: Option<Connect<'_>>,
) -> Result<Running> {
    let usher = |channel: &Channel| {
        give_up_lock(streams, lock)?;
        usher(plan, relation, channel, streams, cgroup)
    };
    through(usher, |channel, usher| {
        let known = find_namespaces(channel, usher, connect.is_some())?;
        meet(channel, known, connect)
    })
}

/// Opens the new container's user namespace, which the intermediate process has entered by now, and its
/// network namespace if it is to be connected. Done early because the first process may be undumpable.
fn find_namespaces(channel: &Channel, usher: &Child, net: bool) -> Result<Known> {
    channel.await_go()?;
    let user = namespace_of(usher.pid, "user")?;
    let net = net.then(|| namespace_of(usher.pid, "net")).transpose()?;
    channel.go()?;
    Ok(Known { user: Some(user), net })
}

/// In the intermediate process: joins the shared namespaces and creates the container's first process.
fn usher(
    plan: &Plan,
    relation: &Relation,
    channel: &Channel,
    streams: [BorrowedFd<'_>; 3],
    cgroup: Option<BorrowedFd<'_>>,
) -> Result<Infallible> {
    let map = plan.ids.below(&relation.ids).ok_or_else(|| {
        Failure::new(Kind::Unsupported, "the other container's user namespace lacks ids of this one")
            .hint("give both the same --userns")
    })?;
    let mut gifts = ask(plan, relation)?;
    let mapper = Mapper::start(&map, relation)?;
    // Not the mount namespace: the new container has its own. A shared pid namespace takes effect for
    // children only.
    let shared = namespaces(relation.share) & !ns::MOUNT;
    sys::namespace::join(relation.first.as_fd(), shared).map_err(|error| join::explain_refusal(&error))?;
    identity::unshare_user()?;
    mapper.map()?;
    // Created here and not by clone(2), so that the supervisor can open it through this process.
    let mut to_make = namespaces(plan.unshare) & !ns::USER;
    if plan.awaits_network {
        nix::sched::unshare(CloneFlags::CLONE_NEWNET).context("making a network namespace")?;
        to_make &= !ns::NET;
    }
    channel.go()?;
    channel.await_go()?;
    if relation.share.pid {
        confine::set_oom_score(&plan.process)?;
        process::set_dumpable(false)?;
        let null = rustix::fs::open("/dev/null", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        gifts.stub_tells = Some(null);
    }
    // The exec stub needs the number [`STATUS_FD`].
    let channel = channel.at_or_above(STATUS + 1)?;
    let (now, then) = births(to_make, cgroup.is_some());
    match process::clone_sibling(now, cgroup).map_err(|error| join::explain_refusal(&error))? {
        Side::Child => {
            nix::sched::unshare(then).context("making a cgroup namespace")?;
            init::run(plan, &channel, &init::Streams(streams), gifts)
        }
        Side::Parent(process) => {
            channel.send_process(&process)?;
            process::exit_now(0)
        }
    }
}

/// A process that waits in the other container's user namespace and then maps the ids of the nested one.
struct Mapper {
    process: Child,
    channel: Channel,
}

impl Mapper {
    fn start(map: &IdMap, relation: &Relation) -> Result<Self> {
        let (ours, theirs) = channel::pair()?;
        let usher = rustix::process::getpid().as_raw_nonzero().get();
        match process::clone_into(0).context("starting a process")? {
            Side::Child => {
                drop(ours);
                let done = (|| {
                    process::close_others(3, &[relation.first.as_fd(), theirs.as_fd()])?;
                    sys::namespace::join(relation.first.as_fd(), ns::USER)?;
                    theirs.await_go()?;
                    identity::write_maps(map, usher, map.is_single())
                })();
                match done {
                    Ok(()) => drop(theirs.go()),
                    Err(error) => theirs.send_failure(&Failure::of(&error)),
                }
                process::exit_now(0)
            }
            Side::Parent(process) => Ok(Self { process, channel: ours }),
        }
    }

    fn map(self) -> Result<()> {
        self.channel.go()?;
        self.channel.await_go().context("mapping user ids below the other container's")?;
        self.process.wait()?;
        Ok(())
    }
}

/// Fetches the mounts that `plan` needs from the other container.
fn ask(plan: &Plan, relation: &Relation) -> Result<Gifts> {
    let wanted: Vec<Kin> = plan
        .mounts
        .iter()
        .filter_map(|mount| if let MountKind::Kin(kin) = mount.kind { Some(kin) } else { None })
        .collect();
    if wanted.is_empty() {
        return Ok(Gifts::default());
    }
    let (ours, theirs) = Socket::pair()?;
    match process::clone_into(0).context("starting a process")? {
        Side::Child => {
            drop(ours);
            if let Err(error) = give(&wanted, relation, &theirs) {
                let _ = theirs.send(&serde_json::to_vec(&Failure::of(&error)).unwrap_or_default(), &[]);
            }
            process::exit_now(0)
        }
        Side::Parent(giver) => {
            drop(theirs);
            let message = ours.receive()?;
            giver.wait()?;
            if let Ok(failure) = serde_json::from_slice::<Failure>(&message.bytes) {
                return Err(anyhow::Error::from(failure).context("looking into the other container"));
            }
            Ok(Gifts { mounts: wanted.into_iter().zip(message.fds).collect(), stub_tells: None })
        }
    }
}

/// In the mount helper: creates the mounts inside the other container and sends their descriptors.
fn give(wanted: &[Kin], relation: &Relation, socket: &Socket) -> Result<()> {
    process::close_others(3, &[relation.first.as_fd(), socket.as_fd()])?;
    process::set_dumpable(false)?;
    // None of the mounts depends on the network namespace.
    let shared = Unshare { net: false, ..relation.share };
    sys::namespace::join(relation.first.as_fd(), namespaces(shared))
        .map_err(|error| join::explain_refusal(&error))?;
    // The pid namespace applies to children only, and a new /proc shows that of the process that mounts it.
    match process::clone_into(0).map_err(|error| join::explain_refusal(&error))? {
        Side::Parent(child) => {
            child.wait()?;
            Ok(())
        }
        Side::Child => {
            let root = sys::fs::open_dir(Path::new("/"))?;
            let mounts = wanted.iter().map(|kin| mount(*kin, root.as_fd())).collect::<Result<Vec<_>>>()?;
            let fds: Vec<BorrowedFd<'_>> = mounts.iter().map(|mount| mount.as_fd()).collect();
            Ok(socket.send(b"mounts", &fds)?)
        }
    }
}

fn mount(kin: Kin, root: BorrowedFd<'_>) -> Result<OwnedFd> {
    let attributes = Attr::MOUNT_ATTR_NOSUID | Attr::MOUNT_ATTR_NODEV | Attr::MOUNT_ATTR_NOEXEC;
    let path = match kin {
        Kin::Processes => {
            return sys::mount::new_filesystem("proc", &[], attributes)
                .context("mounting a /proc of the other container's processes");
        }
        Kin::Memory => "dev/shm",
        Kin::Queues => "dev/mqueue",
    };
    let dir = sys::fs::open_in_root(root, Path::new(path), OFlags::PATH | OFlags::DIRECTORY, Mode::empty());
    let tree = dir.and_then(|dir| sys::mount::clone_tree(dir.as_fd(), false));
    let tree = tree.with_context(|| format!("opening its /{path}"))?;
    sys::mount::set_attributes(tree.as_fd(), attributes, libc::MS_PRIVATE, false)?;
    Ok(tree)
}
