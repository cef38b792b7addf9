//! Resource limits of processes: setrlimit(2).

use std::io;
use std::sync::OnceLock;

/// The names accepted by `--ulimit`, with their numbers.
const RESOURCES: &[(&str, libc::__rlimit_resource_t)] = &[
    ("core", libc::RLIMIT_CORE),
    ("cpu", libc::RLIMIT_CPU),
    ("data", libc::RLIMIT_DATA),
    ("fsize", libc::RLIMIT_FSIZE),
    ("locks", libc::RLIMIT_LOCKS),
    ("memlock", libc::RLIMIT_MEMLOCK),
    ("msgqueue", libc::RLIMIT_MSGQUEUE),
    ("nice", libc::RLIMIT_NICE),
    ("nofile", libc::RLIMIT_NOFILE),
    ("nproc", libc::RLIMIT_NPROC),
    ("rss", libc::RLIMIT_RSS),
    ("rtprio", libc::RLIMIT_RTPRIO),
    ("rttime", libc::RLIMIT_RTTIME),
    ("sigpending", libc::RLIMIT_SIGPENDING),
    ("stack", libc::RLIMIT_STACK),
];

/// The soft and hard limit of open files that this process was started with.
static INHERITED_FILES: OnceLock<(u64, u64)> = OnceLock::new();

/// What the soft limit of open files is raised to at most. Programs that this one starts inherit it, and some of those
/// close each number up to the limit.
const ENOUGH_FILES: u64 = 1 << 20;

/// Raises the soft limit of open files as far as the hard one permits, and remembers what it was. Shells have a soft
/// limit of 1024 for the sake of select(2), and leave it to programs that need more to take it.
pub fn raise_open_files() {
    let files = RlimitResource(libc::RLIMIT_NOFILE);
    let Ok((soft, hard)) = files.get() else { return };
    INHERITED_FILES.get_or_init(|| (soft, hard));
    let enough = hard.min(ENOUGH_FILES);
    if enough > soft {
        // It has to do with what it has.
        let _ = files.set(enough, hard);
    }
}

/// The soft and hard limit of open files before [`raise_open_files`]; None if that was not called.
pub fn inherited_open_files() -> Option<(u64, u64)> {
    INHERITED_FILES.get().copied()
}

/// A resource of setrlimit(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RlimitResource(libc::__rlimit_resource_t);

impl RlimitResource {
    /// Finds a resource by its name in `ulimit` and docker.
    pub fn by_name(name: &str) -> Option<Self> {
        RESOURCES.iter().find(|(known, _)| *known == name).map(|(_, number)| Self(*number))
    }

    /// Soft and hard limit of this process; `u64::MAX` is unlimited.
    pub fn get(self) -> io::Result<(u64, u64)> {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the kernel writes one rlimit to a buffer that outlives the call.
        let result = unsafe { libc::getrlimit(self.0, &raw mut limit) };
        if result == 0 { Ok((limit.rlim_cur, limit.rlim_max)) } else { Err(io::Error::last_os_error()) }
    }

    pub fn set(self, soft: u64, hard: u64) -> io::Result<()> {
        let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
        // SAFETY: the kernel reads one initialised rlimit that outlives the call.
        let result = unsafe { libc::setrlimit(self.0, &raw const limit) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}
