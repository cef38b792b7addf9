//! Images for other architectures: whether the kernel has an emulator for them (binfmt_misc).

use std::path::Path;

use anyhow::Result;

use dhow_error::unsupported;
use dhow_model::image::ImageConfig;
use dhow_model::platform::{Platform, not_linux};

const BINFMT_MISC: &str = "/proc/sys/fs/binfmt_misc";

/// The platform an image is for; fields it leaves empty default to this machine's.
pub(super) fn platform_of(config: &ImageConfig) -> Platform {
    let host = Platform::host();
    let or = |text: &str, default: String| if text.is_empty() { default } else { text.to_owned() };
    Platform {
        os: or(&config.os, host.os),
        architecture: or(&config.architecture, host.architecture),
        variant: config.variant.clone(),
    }
}

/// Fails if an image for this platform cannot run here, with a hint on what would change that.
pub(crate) fn check_image(config: &ImageConfig) -> Result<()> {
    check_platform(&platform_of(config))
}

/// The same for a platform.
pub fn check_platform(platform: &Platform) -> Result<()> {
    let host = Platform::host();
    if !platform.is_linux() {
        return Err(not_linux(platform).into());
    }
    if platform.architecture == host.architecture || is_native(&host.architecture, &platform.architecture) {
        return Ok(());
    }
    let emulator = qemu_name(&platform.architecture);
    if is_registered(Path::new(BINFMT_MISC), emulator) {
        return Ok(());
    }
    Err(unsupported(format!("the image is for {platform} and this machine is {host}; no emulator for it is registered with the kernel"))
        .hint(format!("root can register one: `apt-get install qemu-user-static binfmt-support` makes {BINFMT_MISC}/qemu-{emulator}"))
        .into())
}

/// 64-bit processors run 32-bit programs of the same family.
fn is_native(host: &str, architecture: &str) -> bool {
    matches!((host, architecture), ("amd64", "386"))
}

fn qemu_name(architecture: &str) -> &str {
    match architecture {
        "amd64" => "x86_64",
        "386" => "i386",
        "arm64" => "aarch64",
        "loong64" => "loongarch64",
        other => other,
    }
}

fn is_registered(directory: &Path, emulator: &str) -> bool {
    let enabled = |name: String| {
        // Each registered handler is a file whose first line is `enabled` or `disabled`.
        std::fs::read_to_string(directory.join(name)).is_ok_and(|text| text.starts_with("enabled"))
    };
    // The architecture is the image's text: it must not lead out of the directory.
    !emulator.contains('/')
        && (enabled(format!("qemu-{emulator}")) || enabled(format!("{emulator}-linux-user")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_image_needs_an_enabled_emulator() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("qemu-aarch64"), "enabled\ninterpreter /usr/bin/qemu\n").unwrap();
        std::fs::write(dir.path().join("qemu-s390x"), "disabled\n").unwrap();
        assert!(is_registered(dir.path(), "aarch64"));
        assert!(!is_registered(dir.path(), "s390x"));
        assert!(!is_registered(dir.path(), "../qemu-aarch64"));
    }
}
