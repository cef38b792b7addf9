//! A real distribution as an image: Debian's smallest, made by mmdebstrap once and kept.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use super::process::must_run;
use super::{Image, Layer, fixtures, have_programs};

const RELEASE: &str = "bookworm";

/// Debian as an image; leaves the test out where mmdebstrap is missing.
pub(crate) fn image() -> Option<&'static Image> {
    static IMAGE: OnceLock<Option<Image>> = OnceLock::new();
    IMAGE.get_or_init(|| have_programs(&["mmdebstrap"]).then(make)).as_ref()
}

fn make() -> Image {
    Image::new([Layer(fs::read(archive()).expect("Debian's archive"))])
}

/// The root file system as a tar archive. Test processes that want it at once wait for the first.
fn archive() -> PathBuf {
    let lock = File::create(fixtures::dir().join("debian.lock")).expect("a lock");
    lock.lock().expect("the lock");
    fixtures::cached(&format!("debian-{RELEASE}.tar"), 0o644, |draft| {
        let mut command = Command::new("mmdebstrap");
        command.args(["--quiet", "--variant=minbase", "--format=tar", RELEASE]).arg(draft);
        must_run(&mut command);
    })
}
