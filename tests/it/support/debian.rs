//! Debian as an image, made by mmdebstrap once and kept.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, Weak};

use super::image::{digest, hex};
use super::process::must_run;
use super::{Image, Layer, fixtures, have_programs};

const RELEASE: &str = "bookworm";

/// The smallest Debian; leaves the test out if mmdebstrap is missing.
pub(crate) fn image() -> Option<Arc<Image>> {
    static IMAGE: Mutex<Weak<Image>> = Mutex::new(Weak::new());
    shared(&IMAGE, || make("debian", ""))
}

/// The same with a web server (nginx), databases (PostgreSQL, Redis), and programs that download (git, pip).
pub(crate) fn with_servers() -> Option<Arc<Image>> {
    static IMAGE: Mutex<Weak<Image>> = Mutex::new(Weak::new());
    let packages = "nginx-light,postgresql-15,redis-server,git,python3-pip,python3-setuptools";
    shared(&IMAGE, || make("servers", packages))
}

/// The same with Node.js and its package manager.
pub(crate) fn with_node() -> Option<Arc<Image>> {
    static IMAGE: Mutex<Weak<Image>> = Mutex::new(Weak::new());
    shared(&IMAGE, || make("node", "nodejs,npm"))
}

/// The image that another test is using, or a new one. They are hundreds of megabytes, too much to keep all of them in
/// memory until the last test has ended.
fn shared(known: &Mutex<Weak<Image>>, make: impl FnOnce() -> Option<Image>) -> Option<Arc<Image>> {
    let mut known = known.lock().expect("no test failed here");
    if let Some(image) = known.upgrade() {
        return Some(image);
    }
    let image = Arc::new(make()?);
    *known = Arc::downgrade(&image);
    Some(image)
}

/// Paths that are large and not needed: documentation, and PostgreSQL's query compiler.
const EXCLUDED: [&str; 5] =
    ["/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "*libLLVM*", "*/bitcode/*"];

fn make(name: &str, packages: &str) -> Option<Image> {
    if !have_programs(&["mmdebstrap"]) {
        return None;
    }
    let mut options = Vec::new();
    if !packages.is_empty() {
        options.push(format!("--include={packages}"));
        options.extend(EXCLUDED.map(|path| format!("--dpkgopt=path-exclude={path}")));
    }
    Some(Image::new([layer(name, &options)]))
}

/// The root file system as a tar archive. Concurrent test runs wait for the first.
fn layer(name: &str, options: &[String]) -> Layer {
    let lock = File::create(fixtures::dir().join(format!("{name}.lock"))).expect("a lock");
    lock.lock().expect("the lock");
    let options_digest = digest(options.join(" ").as_bytes());
    let file = format!("{name}-{RELEASE}-{}.tar", &hex(&options_digest)[..8]);
    let archive: PathBuf = fixtures::cached(&file, 0o644, |draft| {
        let mut command = Command::new("mmdebstrap");
        // Docker's own image of Debian has the option for dpkg too: syncing every file would take most of the time.
        command.args(["--quiet", "--variant=minbase", "--format=tar", "--dpkgopt=force-unsafe-io"]);
        command.args(options).arg(RELEASE).arg(draft);
        must_run(&mut command);
    });
    Layer(fs::read(archive).expect("Debian's archive"))
}
