//! `create`: makes a container from a request; `run` begins with it.
//!
//! # Order
//!
//! What the user asked for is completed from the networks, the image and other containers, then checked against
//! this machine, and only then registered: nothing exists of a container that cannot be created. A name or address
//! that is taken shows at the registration, which is atomic in the store.

mod cidfile;
mod defaults;
mod emulator;
mod networks;

pub(super) use emulator::check_platform;
pub(super) use networks::complete as complete_attachment;

use anyhow::Result;

use self::cidfile::CidFile;
use super::state::{ContainerState, now};
use super::{demo, kin, namespace, placement};
use crate::error::{Failure, Kind, kind_of};
use crate::model::container::{ContainerSpec, ImageUse};
use crate::model::digest::Digest;
use crate::model::environment::Environment;
use crate::model::event::Event;
use crate::model::layer::Identity as Ownership;
use crate::model::name;
use crate::model::run::{PullPolicy, RunRequest};
use crate::sandbox::identity::Identity;
use crate::store::{Image, LockedContainer, Store};

/// What creating a container needs from the command line: it is the only caller that may talk to the user.
pub trait Front {
    fn environment(&self) -> &Environment;
    /// Warns on standard error.
    fn warn(&self, message: &str);
    /// Reports progress on standard error.
    fn note(&self, message: &str);
    /// Pulls the image into the store. Called in a forked child, which may start threads.
    fn fetch(&self, store: &Store, image: &str, request: &RunRequest) -> Result<()>;
    /// Collects what [`CreateCallbacks::pull_image`] needs as the calling user: credential helpers are the
    /// user's programs.
    fn prepare_fetch(&mut self, image: &str) -> Result<()>;
}

/// A container that was created and whose lock this process holds.
pub(super) struct Created {
    pub(super) container: LockedContainer,
    /// The layers of its image, lowest first.
    pub(super) layers: Vec<Digest>,
    pub(super) identity: Identity,
}

/// Creates a container without starting it and returns its ID. The process must be single-threaded.
pub fn create(store: &Store, mut request: RunRequest, front: &mut dyn Front) -> Result<String> {
    let made = make(store, &mut request, front)?;
    match super::plan::make(store, &made.container, &made.layers, &made.identity, None) {
        Ok(_) => {
            // A state file marks it as "created" even with `--rm`; without one it would look abandoned.
            made.container.write_state(&ContainerState::default())?;
            Ok(request.spec.id)
        }
        Err(error) => {
            super::remove::remove(store, made.container, true, &made.identity)?;
            Err(error)
        }
    }
}

/// Creates a container and fills in what `request` leaves open.
pub(super) fn make(store: &Store, request: &mut RunRequest, front: &mut dyn Front) -> Result<Created> {
    let identity = namespace::identity(front.environment());
    networks::resolve(store, &mut request.spec, request.image.as_deref().is_some_and(demo::is_demo))?;
    let image =
        request.image.clone().map(|name| image(store, &name, request, &identity, front)).transpose()?;
    if let Some(image) = &image {
        emulator::check(&image.config)?;
        check_owners(image, &identity)?;
    }
    // Before the defaults: an anonymous volume of the image must not hide an inherited mount.
    super::volumes_from::add(store, &mut request.spec)?;
    kin::resolve(store, &mut request.spec)?;
    let made_up = request.spec.name.is_empty();
    complete(request, image.as_ref())?;
    for warning in placement::check(&request.spec, placement::surroundings(front.environment()))? {
        front.warn(&warning);
    }
    // Reserved before the container exists, so that nothing has to be undone if the file is there.
    let cidfile = request.cidfile.as_deref().map(CidFile::reserve).transpose()?;
    let container = register(store, &mut request.spec, made_up, &identity)?;
    store.reserve_addresses(&request.spec)?;
    if let Some(cidfile) = cidfile {
        cidfile.fill(&request.spec.id)?;
    }
    store.record_event(Event::of_container(&request.spec, "create"));
    let layers = image.map(|image| image.config.rootfs.diff_ids).unwrap_or_default();
    Ok(Created { container, layers, identity })
}

/// Refuses an image whose file owners this account can no longer see: it gained or lost its subordinate ids
/// since.
pub(super) fn check_owners(image: &Image, identity: &Identity) -> Result<()> {
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

/// Fills in what the user left open: ID, name, image defaults, environment.
fn complete(request: &mut RunRequest, image: Option<&Image>) -> Result<()> {
    let spec = &mut request.spec;
    spec.id = crate::store::new_container_id()?;
    spec.created = now();
    if spec.name.is_empty() {
        spec.name = made_up_name(&spec.id, 0);
    }
    if let (Some(image), Some(name)) = (image, &request.image) {
        spec.image = Some(ImageUse { id: image.id.clone(), name: name.clone() });
        defaults::merge(spec, &image.config)?;
        demo::announce(spec);
    }
    defaults::surroundings(spec);
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
    // Checked before the fork, as the user: pulling happens in a user namespace.
    front.prepare_fetch(name)?;
    if !request.quiet && request.pull == PullPolicy::Missing {
        front.note(&format!("Unable to find image '{}' locally", with_tag(name)));
    }
    // In a child: this process must stay single-threaded and outside the user namespace.
    namespace::in_child(identity, || {
        store.sweep()?;
        front.fetch(store, name, request)
    })?;
    match &request.platform {
        Some(wanted) => store.find_image_for(name, wanted),
        None => store.find_image(name),
    }
}

fn with_tag(name: &str) -> String {
    name.parse::<crate::model::reference::Reference>()
        .map_or_else(|_| name.to_owned(), |reference| reference.or_latest().familiar())
}

/// The image, if it is in the store and for the platform asked for.
fn present(store: &Store, name: &str, request: &RunRequest) -> Result<Option<Image>> {
    let found = match &request.platform {
        Some(wanted) => store.find_image_for(name, wanted),
        None => store.find_image(name),
    };
    let image = match found {
        Ok(image) => image,
        // Any other error is reported rather than hidden by a pull.
        Err(error) if kind_of(&error) == Kind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let fits = request
        .platform
        .as_ref()
        .is_none_or(|wanted| wanted.rank(&emulator::platform_of(&image.config)).is_some());
    Ok(fits.then_some(image))
}

/// A name derived from the container's ID; the first attempts are short, the last one is unique.
fn made_up_name(id: &str, attempt: usize) -> String {
    let digits = |from: usize| id.get(from..from + 16).unwrap_or_default();
    let seed = |from| u64::from_str_radix(digits(from), 16).unwrap_or_default();
    match attempt {
        0..4 => name::generated(seed(attempt * 16)),
        _ => format!("{}_{}", name::generated(seed(0)), id.get(..12).unwrap_or_default()),
    }
}

/// Registers the container in the store. `made_up` says that the user did not ask for this name.
fn register(
    store: &Store,
    spec: &mut ContainerSpec,
    made_up: bool,
    identity: &Identity,
) -> Result<LockedContainer> {
    let name_taken = |error: &anyhow::Error| kind_of(error) == Kind::Conflict;
    let mut attempt = 0;
    loop {
        match store.create_container(spec) {
            Err(error) if name_taken(&error) && made_up && attempt < MAX_NAMES => {
                attempt += 1;
                spec.name = made_up_name(&spec.id, attempt);
            }
            // The name may belong to an `--rm` container whose supervisor was killed before it could remove
            // it.
            Err(error) if name_taken(&error) && super::remove::reap(store, identity)? => {
                return store.create_container(spec);
            }
            result => return result,
        }
    }
}

/// Generated names to try for one container.
const MAX_NAMES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_names_differ_and_in_the_end_nobody_else_has_them() {
        let id: String = (0..64).map(|digit| char::from(b"0123456789abcdef"[digit * 7 % 16])).collect();
        let names: Vec<String> = (0..=MAX_NAMES).map(|attempt| made_up_name(&id, attempt)).collect();
        assert!(names[MAX_NAMES].ends_with(&id[..12]), "{names:?}");
        assert!(names.iter().all(|text| crate::store::check_name(text).is_ok()));
    }
}
