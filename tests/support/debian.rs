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

/// The same with a web server (nginx) and a database (PostgreSQL).
pub(crate) fn with_services() -> Option<&'static Image> {
    static IMAGE: OnceLock<Option<Image>> = OnceLock::new();
    let make = || {
        let packages = "--include=nginx-light,postgresql-15";
        Image::new([layer("services", &[&[packages.into()], &left_out()[..]].concat())])
    };
    IMAGE.get_or_init(|| have_programs(&["mmdebstrap"]).then(make)).as_ref()
}

/// The same with what talks over networks: a web server, databases, and programs that fetch.
pub(crate) fn with_network_programs() -> Option<&'static Image> {
    static IMAGE: OnceLock<Option<Image>> = OnceLock::new();
    let make = || {
        let packages = "--include=nginx-light,postgresql-15,redis-server,git,python3-pip,python3-setuptools";
        Image::new([layer("network", &[&[packages.into()], &left_out()[..]].concat())])
    };
    IMAGE.get_or_init(|| have_programs(&["mmdebstrap"]).then(make)).as_ref()
}

/// The same with Node.js and its package manager.
pub(crate) fn with_node() -> Option<&'static Image> {
    static IMAGE: OnceLock<Option<Image>> = OnceLock::new();
    let make = || {
        // Some four hundred packages: syncing each to the disk takes most of the time.
        let options = ["--include=nodejs,npm".into(), "--dpkgopt=force-unsafe-io".into()];
        Image::new([layer("node", &[&options, &left_out()[..]].concat())])
    };
    IMAGE.get_or_init(|| have_programs(&["mmdebstrap"]).then(make)).as_ref()
}

/// Documentation, and what the database would compile queries with, are most of it.
fn left_out() -> [String; 5] {
    ["/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "*libLLVM*", "*/bitcode/*"]
        .map(|path| format!("--dpkgopt=path-exclude={path}"))
}

fn make() -> Image {
    Image::new([layer("debian", &[])])
}

/// The root file system as a tar archive. Test processes that want it at once wait for the first.
fn layer(name: &str, options: &[String]) -> Layer {
    let lock = File::create(fixtures::dir().join(format!("{name}.lock"))).expect("a lock");
    lock.lock().expect("the lock");
    let archive: PathBuf = fixtures::cached(&format!("{name}-{RELEASE}.tar"), 0o644, |draft| {
        let mut command = Command::new("mmdebstrap");
        command.args(["--quiet", "--variant=minbase", "--format=tar"]).args(options).arg(RELEASE).arg(draft);
        must_run(&mut command);
    });
    Layer(fs::read(archive).expect("Debian's archive"))
}
