//! `start`: starts a container that exists.

use anyhow::Result;

use super::attach::attach;
use dhow_error::{Failure, FailureKind};
use dhow_model::container::ContainerSpec;
use dhow_model::digest::Digest;
use dhow_model::environment::Environment;
use dhow_runtime::attach::AttachRequest;
use dhow_runtime::control::{ContainerAccess, connect_or_lock};
use dhow_runtime::spawn::spawn_supervisor;
use dhow_runtime::start_plan::StartPlan;
use dhow_runtime::{cgroup, create, userns};
use dhow_sandbox::identity::HostIdentity;
use dhow_store::Store;

/// Starts the container `text`; one that runs is left alone. With `attachment` the command stays attached
/// until the container exits or the user detaches. Returns the exit code of the command. The process must be
/// single-threaded.
pub fn start(
    store: &Store,
    text: &str,
    attachment: Option<AttachRequest>,
    environment: &Environment,
) -> Result<i32> {
    let container = store.find_container(text)?;
    let identity = userns::probe_identity(environment);
    match (connect_or_lock(container)?, attachment) {
        (ContainerAccess::Supervised(_, supervisor), Some(attachment)) => {
            // The connection was only to find out; attaching makes its own.
            drop(supervisor);
            attach(store, text, attachment)
        }
        (ContainerAccess::Supervised(..), None) => Ok(0),
        (ContainerAccess::Unsupervised(container), attachment) => {
            // The lock is held from here on: two commands cannot start the container at once.
            let layers = image_layers(store, container.spec(), &identity)?;
            let plan = StartPlan::new(store, &container, &layers, &identity, environment)?;
            let mut session = cgroup::session_info(environment);
            if attachment.is_none() {
                // The warning about logging out is for `run` to show.
                (session, _) = cgroup::for_detached(container.spec(), session);
            }
            spawn_supervisor(store, *container, identity, session, plan, attachment)
        }
    }
}

fn image_layers(store: &Store, spec: &ContainerSpec, identity: &HostIdentity) -> Result<Vec<Digest>> {
    let Some(used) = &spec.image else { return Ok(Vec::new()) };
    let Some(image) = store.image(&used.id)? else {
        let message =
            format!("the image of container {}, {}, is not in the store any more", spec.name, used.name);
        return Err(Failure::new(FailureKind::NotFound, message).into());
    };
    create::check_image_ownership(&image, identity)?;
    Ok(image.config.rootfs.diff_ids)
}
