//! A network namespace with a thread in it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use super::process::{Output, Running};

type Work = Box<dyn FnOnce() + Send>;

/// A network namespace, optionally with a mount namespace. It lasts as long as this value, a socket made in it or a
/// process started in it.
pub(crate) struct Netns {
    work: Option<Sender<Work>>,
    thread: Option<JoinHandle<()>>,
    /// The thread's id, to name the namespace to `ip`.
    pub(crate) tid: i32,
}

impl Netns {
    /// A new network namespace, in which only the loopback interface is up.
    pub(crate) fn new() -> Self {
        Self::start(|| unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace"))
    }

    /// The same with its own writable `/etc`: changes are visible in this namespace alone.
    pub(crate) fn with_etc() -> Self {
        Self::start(|| {
            unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("namespaces");
            own_etc();
        })
    }

    fn start(enter: impl FnOnce() + Send + 'static) -> Self {
        let (work, orders) = channel::<Work>();
        let thread = std::thread::spawn(move || orders.into_iter().for_each(|work| work()));
        let mut place = Self { work: Some(work), thread: Some(thread), tid: 0 };
        place.call(enter);
        place.tid = place.call(|| nix::unistd::gettid().as_raw());
        place.ip("link set lo up");
        place
    }

    /// Calls `work` in the namespace. Sockets made there can be used by any thread.
    pub(crate) fn call<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> R {
        let (answer, result) = channel();
        let work: Work = Box::new(move || drop(answer.send(work())));
        self.work.as_ref().expect("a place that lasts").send(work).expect("its thread");
        result.recv().expect("work that does not panic")
    }

    /// Starts `command` in the namespace.
    pub(crate) fn spawn(&self, mut command: Command) -> std::io::Result<Child> {
        self.call(move || command.spawn())
    }

    /// Runs `command` in the namespace; it must succeed.
    pub(crate) fn run(&self, mut command: Command) -> Output {
        let what = format!("{command:?}");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = Running::start_in(Some(self), command, None, std::time::Duration::from_secs(60)).wait();
        assert_eq!(output.code, 0, "{what}: {}{}", output.out(), output.err());
        output
    }

    /// Runs `lines` as one batch of `ip`.
    pub(crate) fn ip(&self, lines: &str) {
        let mut command = Command::new("ip");
        command.args(["-batch", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).stdout(Stdio::null());
        let mut child = self.spawn(command).expect("ip, of iproute2");
        child.stdin.take().expect("a pipe").write_all(lines.as_bytes()).expect("lines for ip");
        let output = child.wait_with_output().expect("the end of ip");
        assert!(output.status.success(), "{lines}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Sets a sysctl of this network namespace.
    pub(crate) fn sysctl(&self, name: &str, value: &str) {
        let path = PathBuf::from("/proc/sys").join(name.replace('.', "/"));
        let value = value.to_owned();
        self.call(move || fs::write(&path, value).unwrap_or_else(|error| panic!("{path:?}: {error}")));
    }

    /// Replaces a file of this namespace's `/etc` atomically, as programs that manage resolv.conf do.
    pub(crate) fn write_etc(&self, name: &str, text: &str) {
        let (name, text) = (name.to_owned(), text.to_owned());
        self.call(move || {
            let draft = Path::new("/etc").join(format!(".{name}.new"));
            fs::write(&draft, text).expect("a file of /etc");
            fs::rename(draft, Path::new("/etc").join(name)).expect("a file of /etc");
        });
    }

    /// Reads a file in the namespace.
    pub(crate) fn read(&self, path: &str) -> String {
        let path = PathBuf::from(path);
        self.call(move || fs::read_to_string(path)).expect("a file")
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        self.work = None;
        if let Some(thread) = self.thread.take() {
            // It fails where work panicked, which the test has reported.
            let _ = thread.join();
        }
    }
}

/// Mounts a writable overlay on `/etc`, in the thread's mount namespace.
fn own_etc() {
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("private mounts");
    let scratch = tempfile::Builder::new().prefix("dhow-world-").tempdir_in("/var/tmp").expect("a directory");
    mount(Some("etc"), scratch.path(), Some("tmpfs"), MsFlags::empty(), none).expect("a tmpfs");
    let [upper, work] = ["upper", "work"].map(|name| scratch.path().join(name));
    fs::create_dir(&upper).expect("a directory");
    fs::create_dir(&work).expect("a directory");
    let options = format!("lowerdir=/etc,upperdir={},workdir={}", upper.display(), work.display());
    mount(Some("etc"), "/etc", Some("overlay"), MsFlags::empty(), Some(options.as_str()))
        .expect("an overlay on /etc");
    // The overlay keeps it.
    umount2(scratch.path(), MntFlags::MNT_DETACH).expect("unmount");
}
