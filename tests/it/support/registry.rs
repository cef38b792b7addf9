//! Debian's `docker-registry` on a loopback port: plain, with TLS, with a password.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, pidfd_open};
use tempfile::TempDir;

use super::process::must_run;
use super::{Image, fixtures, have_programs};

/// The one account of a registry with a password.
pub(crate) const USER: &str = "captain";
/// Its password.
pub(crate) const PASSWORD: &str = "halyard and sheet";

/// What a registry requires of its clients.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    pub(crate) tls: bool,
    pub(crate) password: bool,
}

/// A running registry; ends when dropped.
pub(crate) struct Registry {
    dir: TempDir,
    child: Child,
    port: u16,
    options: Options,
}

impl Registry {
    /// An open registry over plain HTTP; leaves the test out if the programs are missing.
    pub(crate) fn plain() -> Option<Self> {
        Self::with(Options::default())
    }

    /// A registry that requires what `options` say.
    pub(crate) fn with(options: Options) -> Option<Self> {
        have_programs(&["docker-registry", "skopeo", "openssl", "htpasswd"]).then_some(())?;
        let dir =
            tempfile::Builder::new().prefix("dhow-registry-").tempdir_in("/var/tmp").expect("a directory");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("mode");
        if options.tls {
            make_certificates(dir.path());
        }
        if options.password {
            make_passwords(dir.path());
        }
        // A port that was free may be taken before the registry listens on it; then another is tried.
        for _ in 0..5 {
            let port = free_port();
            fs::write(dir.path().join("config.yml"), settings(dir.path(), port, options)).expect("settings");
            if let Some(child) = start(dir.path(), port) {
                return Some(Self { dir, child, port, options });
            }
        }
        panic!("the registry does not start: {}", log(dir.path()));
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A name in this registry.
    pub(crate) fn name(&self, repository: &str) -> String {
        format!("{}/{repository}", self.host())
    }

    /// The certificate of the registry's authority.
    pub(crate) fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// The registry's log.
    pub(crate) fn log(&self) -> String {
        log(self.dir.path())
    }

    /// Pushes `image` as `repository:tag`.
    pub(crate) fn push(&self, image: &Image, repository: &str) {
        self.copy(&fixtures::oci_layout(image), repository, &[]);
    }

    /// Pushes `image` with a manifest of docker's schema 2.
    pub(crate) fn push_schema2(&self, image: &Image, repository: &str) {
        self.copy(&fixtures::oci_layout(image), repository, &["--format", "v2s2"]);
    }

    /// Pushes what an OCI layout calls `latest`.
    pub(crate) fn copy(&self, layout: &Path, repository: &str, options: &[&str]) {
        let mut command = Command::new("skopeo");
        command
            .args(["copy", "--quiet", "--all", "--insecure-policy", "--dest-tls-verify=false"])
            .args(options);
        if self.options.password {
            command.args(["--dest-creds", &format!("{USER}:{PASSWORD}")]);
        }
        command.arg(format!("oci:{}:latest", layout.display()));
        command.arg(format!("docker://{}", self.name(repository)));
        must_run(&mut command);
    }

    /// The file of a blob, to damage it.
    pub(crate) fn blob(&self, digest: &str) -> PathBuf {
        let hex = super::image::hex(digest);
        self.dir.path().join("data/docker/registry/v2/blobs/sha256").join(&hex[..2]).join(hex).join("data")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // Failing means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn log(dir: &Path) -> String {
    fs::read_to_string(dir.join("log")).unwrap_or_default()
}

/// A loopback port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("its number").port()
}

fn settings(dir: &Path, port: u16, options: Options) -> String {
    let dir = dir.display();
    let mut text = format!(
        "version: 0.1\nlog: {{level: info}}\nstorage:\n  filesystem: {{rootdirectory: {dir}/data}}\n  \
         delete: {{enabled: true}}\nhttp:\n  addr: 127.0.0.1:{port}\n"
    );
    if options.tls {
        text += &format!("  tls: {{certificate: {dir}/server.pem, key: {dir}/server.key}}\n");
    }
    if options.password {
        text += &format!("auth:\n  htpasswd: {{realm: dhow tests, path: {dir}/htpasswd}}\n");
    }
    text
}

/// Starts the registry and waits until it listens; `None` if it ends instead.
fn start(dir: &Path, port: u16) -> Option<Child> {
    let log = fs::File::create(dir.join("log")).expect("a log");
    let mut child = Command::new("docker-registry")
        .arg("serve")
        .arg(dir.join("config.yml"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("dup"))
        .stderr(log)
        .spawn()
        .expect("docker-registry");
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).expect("a pid");
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).expect("pidfd");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        if TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok() {
            return Some(child);
        }
        // The registry announces nothing, so it is asked again, unless it ends.
        let mut fds = [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)];
        let pause = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
        if poll(&mut fds, Some(&pause)).is_ok_and(|count| count > 0) {
            break;
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

fn make_passwords(dir: &Path) {
    let output = must_run(Command::new("htpasswd").args(["-Bbn", USER, PASSWORD]));
    fs::write(dir.join("htpasswd"), output.stdout).expect("htpasswd");
}

/// Makes an authority, and a certificate for the loopback addresses signed by it.
fn make_certificates(dir: &Path) {
    let openssl =
        |line: &str| must_run(Command::new("openssl").current_dir(dir).args(line.split_whitespace()));
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {key} -days 2 -subj /CN=dhow-test-authority -keyout ca.key -out ca.pem"));
    openssl(&format!("req {key} -subj /CN=localhost -keyout server.key -out server.csr"));
    fs::write(dir.join("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").expect("names");
    openssl(
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem",
    );
}
