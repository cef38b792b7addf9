//! Makes a container from a request, for `create` and `run`.
//!
//! # Order
//!
//! What the user asked for is completed from the networks, the image and other containers, then checked against
//! this machine, and only then registered: nothing exists of a container that cannot be created. A name
//! that is taken shows at the registration, which is atomic in the store.

mod binfmt;
mod cidfile;
mod image_defaults;
mod networks;

pub use binfmt::check_platform;
pub use networks::complete_attachment;

use anyhow::Result;

use self::cidfile::CidFile;
use super::state::now_rfc3339;
use super::{cgroup, process_limits, shared_namespaces, userns};
use dhow_error::{Failure, FailureKind, kind_of};
use dhow_model::container::{ContainerImage, ContainerSpec};
use dhow_model::digest::Digest;
use dhow_model::environment::Environment;
use dhow_model::event::EngineEvent;
use dhow_model::layer::LayerOwnership as Ownership;
use dhow_model::object_name;
use dhow_model::run_request::{PullPolicy, RunRequest};
use dhow_sandbox::identity::HostIdentity;
use dhow_store::{LockedContainer, Store, StoredImage};

/// The image that dhow makes from its own executable. The layer above makes it, so this one only has a handle.
pub trait BuiltInImage {
    /// Whether `name` refers to it.
    fn is_named(&self, name: &str) -> bool;
    /// The image; made first if it is missing or was made from another executable.
    fn ensure(&self, store: &Store, identity: &HostIdentity) -> Result<StoredImage>;
    /// Adds to the specification of a container what the image's program needs; other containers are left alone.
    fn complete_spec(&self, spec: &mut ContainerSpec);
}

/// What creating a container needs from the command line: it is the only caller that may talk to the user.
pub trait CreateCallbacks {
    fn environment(&self) -> &Environment;
    /// Warns on standard error.
    fn warn(&self, message: &str);
    /// Reports progress on standard error.
    fn inform(&self, message: &str);
    fn built_in(&self) -> &'static dyn BuiltInImage;
    /// Pulls the image into the store. Called in a forked child, which may start threads.
    fn pull_image(&self, store: &Store, image: &str, request: &RunRequest) -> Result<()>;
    /// Collects what [`CreateCallbacks::pull_image`] needs as the calling user: credential helpers are the
    /// user's programs.
    fn prepare_pull(&mut self, image: &str) -> Result<()>;
}

/// A container that was created and whose lock this process holds.
pub struct CreatedContainer {
    pub container: LockedContainer,
    /// The layers of its image, lowest first.
    pub layers: Vec<Digest>,
    pub identity: HostIdentity,
}

/// Creates a container and fills in what `request` leaves open.
pub fn create_container(
    store: &Store,
    request: &mut RunRequest,
    callbacks: &mut dyn CreateCallbacks,
) -> Result<CreatedContainer> {
    let identity = userns::probe_identity(callbacks.environment());
    networks::resolve_networks(
        store,
        &mut request.spec,
        request.image.as_deref().is_some_and(|name| callbacks.built_in().is_named(name)),
    )?;
    let image = request
        .image
        .clone()
        .map(|name| ensure_image(store, &name, request, &identity, callbacks))
        .transpose()?;
    if let Some(image) = &image {
        binfmt::check_image(&image.config)?;
        check_image_ownership(image, &identity)?;
    }
    // Before the defaults: an anonymous volume of the image must not hide an inherited mount.
    super::volumes_from::add_mounts_from(store, &mut request.spec)?;
    shared_namespaces::resolve_container_references(store, &mut request.spec)?;
    let name_generated = request.spec.name.is_empty();
    fill_in_defaults(request, image.as_ref(), callbacks.built_in())?;
    for warning in cgroup::check_limits(&request.spec, cgroup::session_info(callbacks.environment()))? {
        callbacks.warn(&warning);
    }
    process_limits::warnings(&request.spec.ulimits).iter().for_each(|warning| callbacks.warn(warning));
    // Reserved before the container exists, so that nothing has to be undone if the file is there.
    let cidfile = request.cidfile.as_deref().map(CidFile::reserve).transpose()?;
    let container = register(store, &mut request.spec, name_generated, &identity)?;
    store.reserve_addresses(&request.spec)?;
    if let Some(cidfile) = cidfile {
        cidfile.write_id(&request.spec.id)?;
    }
    store.record_event(EngineEvent::of_container(&request.spec, "create"));
    let layers = image.map(|image| image.config.rootfs.diff_ids).unwrap_or_default();
    Ok(CreatedContainer { container, layers, identity })
}

/// Refuses an image whose file owners this account can no longer see: it gained or lost its subordinate ids
/// since.
pub fn check_image_ownership(image: &StoredImage, identity: &HostIdentity) -> Result<()> {
    let (then, now) = match (image.record.identity, identity.is_mapped()) {
        (Some(Ownership::Mapped), false) => ("had subordinate ids", "has none"),
        (Some(Ownership::Single), true) => ("had no subordinate ids", "has some"),
        _ => return Ok(()),
    };
    let id = image.id.short();
    let message = format!(
        "image {id} was unpacked when this account {then}, and now it {now}: its files have the wrong owners"
    );
    Err(Failure::new(FailureKind::Conflict, message)
        .hint(format!(
            "`dhow rmi -f {id}`, then pull or load it again; layers that other images share go with `dhow image prune -a`"
        ))
        .into())
}

/// Fills in what the user left open: ID, name, image defaults, environment.
fn fill_in_defaults(
    request: &mut RunRequest,
    image: Option<&StoredImage>,
    built_in: &dyn BuiltInImage,
) -> Result<()> {
    let spec = &mut request.spec;
    spec.id = dhow_store::new_container_id()?;
    spec.created = now_rfc3339();
    if spec.name.is_empty() {
        spec.name = generated_name(&spec.id, 0);
    }
    if let (Some(image), Some(name)) = (image, &request.image) {
        spec.image = Some(ContainerImage { id: image.id.clone(), name: name.clone() });
        image_defaults::apply_image_defaults(spec, &image.config)?;
        built_in.complete_spec(spec);
    }
    image_defaults::fill_in_environment(spec);
    Ok(())
}

fn ensure_image(
    store: &Store,
    name: &str,
    request: &RunRequest,
    identity: &HostIdentity,
    callbacks: &mut dyn CreateCallbacks,
) -> Result<StoredImage> {
    if callbacks.built_in().is_named(name) {
        return callbacks.built_in().ensure(store, identity);
    }
    let local = match request.pull {
        PullPolicy::Always => None,
        PullPolicy::Missing | PullPolicy::Never => local_image(store, name, request)?,
    };
    if let Some(image) = local {
        return Ok(image);
    }
    if request.pull == PullPolicy::Never {
        return Err(Failure::new(FailureKind::NotFound, format!("No such image: {name}"))
            .hint("--pull=never forbids to fetch it")
            .into());
    }
    // Checked before the fork, as the user: pulling happens in a user namespace.
    callbacks.prepare_pull(name)?;
    if !request.quiet && request.pull == PullPolicy::Missing {
        callbacks.inform(&format!("Unable to find image '{}' locally", with_tag(name)));
    }
    // In a child: this process must stay single-threaded and outside the user namespace.
    userns::run_in_child(identity, || {
        store.sweep()?;
        callbacks.pull_image(store, name, request)
    })?;
    match &request.platform {
        Some(platform) => store.find_image_for(name, platform),
        None => store.find_image(name),
    }
}

fn with_tag(name: &str) -> String {
    name.parse::<dhow_model::reference::ImageReference>()
        .map_or_else(|_| name.to_owned(), |reference| reference.or_latest().familiar())
}

/// The image, if it is in the store and for the platform asked for.
fn local_image(store: &Store, name: &str, request: &RunRequest) -> Result<Option<StoredImage>> {
    let result = match &request.platform {
        Some(platform) => store.find_image_for(name, platform),
        None => store.find_image(name),
    };
    let image = match result {
        Ok(image) => image,
        // Any other error is reported rather than hidden by a pull.
        Err(error) if kind_of(&error) == FailureKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let fits = request
        .platform
        .as_ref()
        .is_none_or(|platform| platform.rank(&binfmt::platform_of(&image.config)).is_some());
    Ok(fits.then_some(image))
}

/// A name derived from the container's ID; the first attempts are short, the last one is unique.
fn generated_name(id: &str, attempt: usize) -> String {
    let digits = |from: usize| id.get(from..from + 16).unwrap_or_default();
    let seed = |from| u64::from_str_radix(digits(from), 16).unwrap_or_default();
    match attempt {
        0..4 => object_name::generate(seed(attempt * 16)),
        _ => format!("{}_{}", object_name::generate(seed(0)), id.get(..12).unwrap_or_default()),
    }
}

/// Registers the container in the store. `name_generated` says that the user did not ask for this name.
fn register(
    store: &Store,
    spec: &mut ContainerSpec,
    name_generated: bool,
    identity: &HostIdentity,
) -> Result<LockedContainer> {
    let name_taken = |error: &anyhow::Error| kind_of(error) == FailureKind::Conflict;
    let mut attempt = 0;
    loop {
        match store.create_container(spec) {
            Err(error) if name_taken(&error) && name_generated && attempt < MAX_NAME_ATTEMPTS => {
                attempt += 1;
                spec.name = generated_name(&spec.id, attempt);
            }
            // The name may belong to an `--rm` container whose supervisor was killed before it could remove
            // it.
            Err(error) if name_taken(&error) && super::remove::remove_abandoned(store, identity)? => {
                return store.create_container(spec);
            }
            result => return result,
        }
    }
}

/// Generated names to try for one container.
const MAX_NAME_ATTEMPTS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_names_differ_and_in_the_end_nobody_else_has_them() {
        let id: String = (0..64).map(|digit| char::from(b"0123456789abcdef"[digit * 7 % 16])).collect();
        let names: Vec<String> =
            (0..=MAX_NAME_ATTEMPTS).map(|attempt| generated_name(&id, attempt)).collect();
        assert!(names[MAX_NAME_ATTEMPTS].ends_with(&id[..12]), "{names:?}");
        assert!(names.iter().all(|text| dhow_store::check_name(text).is_ok()));
    }
}
