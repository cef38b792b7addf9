//! The built-in image `dhow.local/demo`, made of dhow's own executable, so that a new user can run a
//! container without a registry. Its program reports what the isolation looks like from inside.

mod report;

use std::os::unix::fs::MetadataExt as _;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::rm;
use dhow_error::{Failure, FailureKind, kind_of};
use dhow_image::unpack::{UnpackOptions, unpack_layer};
use dhow_model::container::ContainerSpec;
use dhow_model::digest::Digest;
use dhow_model::platform::Platform;
use dhow_model::progress::SilentProgress;
use dhow_model::reference::ImageReference;
use dhow_runtime::create::BuiltInImage;
use dhow_runtime::userns;
use dhow_sandbox::identity::HostIdentity;
use dhow_store::{LayerSlot, NewImage, Store, StoredImage};

pub use report::{PROGRAM, isolation_report};

pub const NAME: &str = "dhow.local/demo";
/// Label that identifies the executable the image was made from.
const LABEL: &str = "dhow.executable";
/// Environment variable with the time at which `run` began, in nanoseconds of CLOCK_MONOTONIC.
const STARTED: &str = "DHOW_DEMO_STARTED";

pub(crate) fn is_demo(name: &str) -> bool {
    name.parse::<ImageReference>().is_ok_and(|reference| {
        let reference = reference.or_latest();
        reference.digest().is_none() && reference.familiar() == format!("{NAME}:latest")
    })
}

/// Gives the layers below, which cannot import this module, access to the image.
pub struct DemoImage;

impl BuiltInImage for DemoImage {
    fn is_named(&self, name: &str) -> bool {
        is_demo(name)
    }

    fn ensure(&self, store: &Store, identity: &HostIdentity) -> Result<StoredImage> {
        ensure_image(store, identity)
    }

    fn complete_spec(&self, spec: &mut ContainerSpec) {
        pass_start_time(spec);
    }
}

/// The built-in image; made now if it is missing or was made from another executable.
fn ensure_image(store: &Store, identity: &HostIdentity) -> Result<StoredImage> {
    let stamp = executable_stamp()?;
    if let Ok(image) = store.find_image(NAME)
        && image.config.config.labels.as_ref().and_then(|labels| labels.get(LABEL)) == Some(&stamp)
    {
        return Ok(image);
    }
    // Remembered before the name moves to the new image.
    let outdated = store.find_image(NAME).ok().map(|image| image.id);
    // In a child: the container is started later, from outside of the user namespace.
    userns::run_in_child(identity, || {
        build_image(store, &stamp, identity)?;
        match &outdated {
            Some(outdated) => remove_outdated(store, outdated),
            None => Ok(()),
        }
    })
    .context("making the built-in image from dhow's own executable")?;
    store.find_image(NAME)
}

/// Removes the image of a previous executable, unless it has another name or a container uses it.
fn remove_outdated(store: &Store, outdated: &Digest) -> Result<()> {
    if store.names()?.iter().any(|name| name.id == *outdated) {
        return Ok(());
    }
    match rm::remove_image(store, outdated.as_str(), false) {
        Err(error)
            if !matches!(
                kind_of(&error),
                FailureKind::InUse | FailureKind::Conflict | FailureKind::NotFound
            ) =>
        {
            Err(error)
        }
        _ => Ok(()),
    }
}

/// Identifies one build of the executable: device, inode, size and modification time.
fn executable_stamp() -> Result<String> {
    let file = std::fs::metadata("/proc/self/exe").context("looking at dhow's own executable")?;
    Ok(format!("{}-{}-{}-{}.{}", file.dev(), file.ino(), file.size(), file.mtime(), file.mtime_nsec()))
}

fn build_image(store: &Store, stamp: &str, identity: &HostIdentity) -> Result<()> {
    let archive = archive()?;
    let diff_id = Digest::of(&archive);
    // The digest is known beforehand, so a layer that another image kept is used again.
    let layer = match store.begin_layer(&diff_id)? {
        LayerSlot::Present(lease) => lease,
        LayerSlot::Draft(draft) => {
            let options = UnpackOptions {
                identity: userns::layer_ownership(identity),
                limits: Default::default(),
                label: String::new(),
                compressed_size: archive.len() as u64,
            };
            let record = unpack_layer(archive.as_slice(), &draft, &options, &SilentProgress)?;
            draft.commit(record)?
        }
    };
    let config = config(stamp, &diff_id)?;
    let name: ImageReference = NAME.parse::<ImageReference>()?.or_latest();
    store.put_image(&NewImage {
        config: &config,
        manifest: None,
        layers: &[layer],
        names: &[(name, None)],
    })?;
    Ok(())
}

/// The root file system: the executable, a user database, a directory for temporary files.
fn archive() -> Result<Vec<u8>> {
    let executable = std::fs::read("/proc/self/exe").context("reading dhow's own executable")?;
    let mut archive = tar::Builder::new(Vec::with_capacity(executable.len() + (64 << 10)));
    directory(&mut archive, "etc/", 0o755)?;
    file(
        &mut archive,
        "etc/passwd",
        0o644,
        b"root:x:0:0:root:/root:/demo\nsailor:x:1000:1000:a sailor:/:/demo\n",
    )?;
    file(&mut archive, "etc/group", 0o644, b"root:x:0:\nsailor:x:1000:\n")?;
    directory(&mut archive, "root/", 0o700)?;
    directory(&mut archive, "tmp/", 0o1777)?;
    file(&mut archive, PROGRAM, 0o755, &executable)?;
    archive.into_inner().context("writing the built-in image")
}

fn directory(archive: &mut tar::Builder<Vec<u8>>, path: &str, mode: u32) -> Result<()> {
    append(archive, path, mode, tar::EntryType::Directory, &[])
}

fn file(archive: &mut tar::Builder<Vec<u8>>, path: &str, mode: u32, content: &[u8]) -> Result<()> {
    append(archive, path, mode, tar::EntryType::Regular, content)
}

fn append(
    archive: &mut tar::Builder<Vec<u8>>,
    path: &str,
    mode: u32,
    kind: tar::EntryType,
    content: &[u8],
) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(content.len() as u64);
    // Fixed times, so that the same executable always makes the same layer.
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    archive.append_data(&mut header, path, content)?;
    Ok(())
}

fn config(stamp: &str, diff_id: &Digest) -> Result<Vec<u8>> {
    let platform = Platform::host();
    let created = dhow_runtime::state::now_rfc3339();
    let config = json!({
        "architecture": platform.architecture,
        "os": platform.os,
        "created": created,
        "config": {
            "Entrypoint": [format!("/{PROGRAM}")],
            "Env": ["PATH=/"],
            "WorkingDir": "/",
            "Labels": { LABEL: stamp },
        },
        "rootfs": { "type": "layers", "diff_ids": [diff_id.as_str()] },
        "history": [{ "created": created, "created_by": "dhow: built in" }],
    });
    serde_json::to_vec(&config)
        .map_err(|error| Failure::new(FailureKind::Other, format!("writing a configuration: {error}")).into())
}

/// Passes the start time of the command to the demo's program.
fn pass_start_time(spec: &mut ContainerSpec) {
    if spec.image.as_ref().is_some_and(|image| is_demo(&image.name)) {
        spec.process.env.push(format!("{STARTED}={}", report::monotonic_now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_name_means_the_demo() {
        assert!(is_demo("dhow.local/demo") && is_demo("dhow.local/demo:latest"));
        assert!(!is_demo("demo") && !is_demo("dhow.local/demo:1") && !is_demo("dhow.local/Demo"));
    }
}
