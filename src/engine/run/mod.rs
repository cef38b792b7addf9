//! `run`: a container from a request, attached until it ends.

mod defaults;
mod emulator;

pub(super) use emulator::platform_of;

use std::os::fd::AsFd as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::attach::{self, Options, Outcome, Streams, UserTerminal, wire};
use super::state::now;
use super::supervisor::{self, Post};
use super::{demo, namespace, plan};
use crate::error::{Failure, Kind, kind_of};
use crate::model::container::{ImageUse, NetworkMode};
use crate::model::digest::Digest;
use crate::model::environment::Environment;
use crate::model::layer::Identity as Ownership;
use crate::model::run::{PullPolicy, RunRequest};
use crate::sandbox::identity::Identity;
use crate::store::{Image, LockedContainer, Store};
use crate::sys;
use crate::sys::process::Side;
use crate::sys::signal::SignalFd;

/// What `run` needs from the command line layer.
pub trait Front {
    /// The environment of the command.
    fn environment(&self) -> &Environment;
    /// Warns of something, on standard error.
    fn warn(&self, message: &str);
    /// Says what goes on, on standard error.
    fn note(&self, message: &str);
    /// Gets the image into the store; runs in a child process that may start threads.
    fn fetch(&self, store: &Store, image: &str, request: &RunRequest) -> Result<()>;
    /// What must be found out before [`Front::fetch`] runs where the user is somebody else: credentials.
    fn prepare_fetch(&mut self, image: &str) -> Result<()>;
}

/// The exit code of a container that failed to start for this reason, as docker has it.
pub(crate) fn exit_code_of(kind: Kind) -> i32 {
    match kind {
        Kind::CommandNotFound => 127,
        Kind::CommandNotExecutable => 126,
        _ => 125,
    }
}

/// Runs a container to its end, or until the user detaches. Returns the exit code of the command.
///
/// The process must have one thread.
pub fn run(store: &Store, mut request: RunRequest, front: &mut dyn Front) -> Result<i32> {
    let identity = namespace::identity(front.environment());
    let image =
        request.image.clone().map(|name| image(store, &name, &request, &identity, front)).transpose()?;
    if let Some(image) = &image {
        emulator::check(&image.config)?;
        check_owners(image, &identity)?;
    }
    super::volumes_from::add(store, &mut request.spec)?;
    complete(&mut request, image.as_ref(), front)?;
    let cidfile = request.cidfile.as_deref().map(CidFile::reserve).transpose()?;
    let container = create(store, &request, &identity)?;
    if let Some(cidfile) = cidfile {
        cidfile.fill(&request.spec.id)?;
    }
    start(store, container, image, identity, request)
}

/// Refuses an image whose files have their owners in a way that this account cannot see any more: it got or lost its
/// subordinate ids since.
fn check_owners(image: &Image, identity: &Identity) -> Result<()> {
    let (then, now) = match (image.record.identity, identity.is_mapped()) {
        (Some(Ownership::Mapped), false) => ("had subordinate ids", "has none"),
        (Some(Ownership::Single), true) => ("had no subordinate ids", "has some"),
        _ => return Ok(()),
    };
    let id = image.id.short();
    let message = format!(
        "image {id} was unpacked when this account {then}, and now it {now}: its files have the wrong owners"
    );
    Err(Failure::new(Kind::Conflict, message)
        .hint(format!(
            "`dhow rmi -f {id}`, then pull or load it again; layers that other images share go with `dhow image prune -a`"
        ))
        .into())
}

/// Fills in what the user left open: identity, image defaults, network.
fn complete(request: &mut RunRequest, image: Option<&Image>, front: &mut dyn Front) -> Result<()> {
    let spec = &mut request.spec;
    spec.id = crate::store::new_container_id()?;
    spec.created = now();
    if spec.name.is_empty() {
        let seed = u64::from_str_radix(spec.id.get(..16).unwrap_or_default(), 16).unwrap_or_default();
        spec.name = crate::model::name::generated(seed);
    }
    if let (Some(image), Some(name)) = (image, &request.image) {
        spec.image = Some(ImageUse { id: image.id.clone(), name: name.clone() });
        defaults::merge(spec, &image.config)?;
        demo::announce(spec);
    }
    defaults::surroundings(spec);
    if spec.namespaces.network.is_none() {
        spec.namespaces.network = Some(NetworkMode::None);
        if !request.image.as_deref().is_some_and(demo::is_demo) {
            front.warn("this version has no bridge network: the container gets loopback only (--network none says so, --network host shares the host's)");
        }
    }
    Ok(())
}

fn image(
    store: &Store,
    name: &str,
    request: &RunRequest,
    identity: &Identity,
    front: &mut dyn Front,
) -> Result<Image> {
    if demo::is_demo(name) {
        return demo::ensure(store, identity);
    }
    let found = match request.pull {
        PullPolicy::Always => None,
        PullPolicy::Missing | PullPolicy::Never => present(store, name, request)?,
    };
    if let Some(image) = found {
        return Ok(image);
    }
    if request.pull == PullPolicy::Never {
        return Err(Failure::new(Kind::NotFound, format!("No such image: {name}"))
            .hint("--pull=never forbids to fetch it")
            .into());
    }
    front.prepare_fetch(name)?;
    if !request.quiet && request.pull == PullPolicy::Missing {
        front.note(&format!("Unable to find image '{}' locally", with_tag(name)));
    }
    namespace::in_child(identity, || {
        store.sweep()?;
        front.fetch(store, name, request)
    })?;
    store.find_image(name)
}

fn with_tag(name: &str) -> String {
    name.parse::<crate::model::reference::Reference>()
        .map_or_else(|_| name.to_owned(), |reference| reference.or_latest().familiar())
}

/// The image if it is in the store and for the platform asked for.
fn present(store: &Store, name: &str, request: &RunRequest) -> Result<Option<Image>> {
    let image = match store.find_image(name) {
        Ok(image) => image,
        Err(error) if kind_of(&error) == Kind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let fits = request
        .platform
        .as_ref()
        .is_none_or(|wanted| wanted.rank(&emulator::platform_of(&image.config)).is_some());
    Ok(fits.then_some(image))
}

fn create(store: &Store, request: &RunRequest, identity: &Identity) -> Result<LockedContainer> {
    let name_taken = |error: &anyhow::Error| kind_of(error) == Kind::Conflict;
    match store.create_container(&request.spec) {
        // Its holder may be a container that should have removed itself and was killed before it could.
        Err(error) if name_taken(&error) && super::remove::reap(store, identity)? => {
            store.create_container(&request.spec)
        }
        result => result,
    }
}

fn start(
    store: &Store,
    container: LockedContainer,
    image: Option<Image>,
    identity: Identity,
    request: RunRequest,
) -> Result<i32> {
    let layers: Vec<Digest> = image.map(|image| image.config.rootfs.diff_ids).unwrap_or_default();
    let prepared = plan::make(store, &container, &layers, &identity)
        .and_then(|plan| Ok((plan, attach::prepare(&request.spec.process)?)));
    let (mut plan, streams) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            super::remove::remove(store, container, true, &identity)?;
            return Err(error);
        }
    };
    let terminal =
        if request.spec.process.tty { UserTerminal::behind(std::io::stdin().as_fd())? } else { None };
    plan.process.terminal_size = terminal.as_ref().and_then(UserTerminal::size);
    let spare = terminal.as_ref().map(UserTerminal::spare).transpose()?;
    let signals = SignalFd::blocking(&sys::signal::forwardable())?;
    let (theirs, ours) = wire::pair()?;
    let Streams { container: ends, relays } = streams;
    let post = Post {
        store: store.clone(),
        container,
        plan,
        identity: identity.clone(),
        streams: ends,
        terminal: spare,
    };
    match sys::process::fork().context("starting the container's supervisor")? {
        Side::Child => {
            // What belongs to the command must not stay open here, or its end would not be seen.
            drop((ours, relays, terminal, signals));
            supervisor::serve(post, theirs)
        }
        Side::Parent(_) => drop((post, theirs)),
    }
    let options = Options {
        sig_proxy: request.sig_proxy,
        interactive: request.spec.process.interactive,
        detach_keys: request.detach_keys,
    };
    match attach::attend(&ours, &signals, relays, terminal, options) {
        Ok(Outcome::Ended(code)) => Ok(code),
        Ok(Outcome::Detached) => Ok(0),
        Ok(Outcome::Abandoned(signal)) => Ok(128 + signal),
        Err(error) => {
            // A supervisor that was killed left its container to whoever comes next, and that is this command.
            if request.spec.auto_remove {
                super::remove::reap(store, &identity)?;
            }
            Err(error)
        }
    }
}

/// The file for the container's ID: claimed before there is a container, removed again if none comes of it.
struct CidFile {
    path: std::path::PathBuf,
    filled: bool,
}

impl CidFile {
    fn reserve(path: &Path) -> Result<Self> {
        match rustix::fs::open(path, Self::flags(), rustix::fs::Mode::from_raw_mode(0o644)) {
            Ok(_) => Ok(Self { path: path.to_owned(), filled: false }),
            Err(rustix::io::Errno::EXIST) => Err(Failure::new(
                Kind::Conflict,
                format!(
                    "container ID file found, make sure the other container isn't running or delete {}",
                    path.display()
                ),
            )
            .into()),
            Err(error) => Err(std::io::Error::from(error))
                .with_context(|| format!("failed to create the container ID file {}", path.display())),
        }
    }

    fn flags() -> rustix::fs::OFlags {
        use rustix::fs::OFlags;
        OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC
    }

    fn fill(mut self, id: &str) -> Result<()> {
        let file = rustix::fs::open(
            &self.path,
            rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )?;
        rustix::io::write(&file, id.as_bytes())
            .with_context(|| format!("writing the container ID file {}", self.path.display()))?;
        self.filled = true;
        Ok(())
    }
}

impl Drop for CidFile {
    fn drop(&mut self) {
        if !self.filled {
            let _ = rustix::fs::unlink(&self.path);
        }
    }
}
