//! Entries of local manifest lists.

use anyhow::Result;

use dhow_error::{Failure, invalid, not_found};
use dhow_image::manifest::{Descriptor, DescriptorPlatform};
use dhow_model::reference::ImageReference;
use dhow_store::ListedManifest;

/// Operating systems, and the architectures that Go programs can be built for on each (`go tool dist list`, Go 1.24),
/// with those that docker has beyond it.
const PLATFORMS: [(&str, &[&str]); 15] = [
    ("aix", &["ppc64"]),
    ("android", &["386", "amd64", "arm", "arm64"]),
    ("darwin", &["386", "amd64", "arm", "arm64"]),
    ("dragonfly", &["amd64"]),
    ("freebsd", &["386", "amd64", "arm", "arm64", "riscv64"]),
    ("illumos", &["amd64"]),
    ("ios", &["amd64", "arm64"]),
    ("js", &["wasm"]),
    (
        "linux",
        &[
            "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64",
            "ppc64le", "riscv64", "s390x",
        ],
    ),
    ("netbsd", &["386", "amd64", "arm", "arm64"]),
    ("openbsd", &["386", "amd64", "arm", "arm64", "ppc64", "riscv64"]),
    ("plan9", &["386", "amd64", "arm"]),
    ("solaris", &["amd64"]),
    ("wasip1", &["wasm"]),
    ("windows", &["386", "amd64", "arm", "arm64"]),
];

/// Refuses a platform that does not exist, as docker does.
pub(super) fn check_platform(manifest: &ListedManifest) -> Result<()> {
    let (os, architecture) = (manifest.os.as_str(), manifest.architecture.as_str());
    if PLATFORMS.iter().any(|(system, all)| *system == os && all.contains(&architecture)) {
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
