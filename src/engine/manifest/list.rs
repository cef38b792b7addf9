//! Entries of local manifest lists.

use anyhow::Result;

use dhow_error::{Failure, invalid, not_found};
use dhow_image::manifest::{Descriptor, DescriptorPlatform};
use dhow_model::reference::ImageReference;
use dhow_store::ListedManifest;

/// Refuses an unknown platform, as docker does.
pub(super) fn check_platform(manifest: &ListedManifest) -> Result<()> {
    const SYSTEMS: [&str; 14] = [
        "aix",
        "android",
        "darwin",
        "dragonfly",
        "freebsd",
        "illumos",
        "ios",
        "js",
        "linux",
        "netbsd",
        "openbsd",
        "plan9",
        "solaris",
        "windows",
    ];
    const ARCHITECTURES: [&str; 14] = [
        "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64",
        "ppc64le", "riscv64", "s390x", "wasm",
    ];
    let (os, architecture) = (manifest.os.as_str(), manifest.architecture.as_str());
    if SYSTEMS.contains(&os) && ARCHITECTURES.contains(&architecture) {
        return Ok(());
    }
    Err(invalid(format!(
        "manifest entry for image has unsupported os/arch combination: {}/{}",
        os.escape_debug(),
        architecture.escape_debug()
    ))
    .into())
}

pub(super) fn no_such_manifest(name: &ImageReference) -> Failure {
    not_found(format!("No such manifest: {}", name.familiar()))
}

pub(super) fn list_descriptor(manifest: &ListedManifest) -> Descriptor {
    let mut entry =
        Descriptor::plain(&manifest.media_type, manifest.digest.clone(), manifest.text.len() as u64);
    entry.platform = Some(DescriptorPlatform {
        architecture: manifest.architecture.clone(),
        os: manifest.os.clone(),
        variant: manifest.variant.clone(),
        os_version: manifest.os_version.clone(),
        os_features: manifest.os_features.clone(),
    });
    entry
}
