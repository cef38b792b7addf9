//! What belongs to the process: identity, capabilities, signals, limits, environment.

use std::fs;

use crate::sys;
use crate::{fact, shown};

/// User, groups, and how they map to the outside.
pub fn identity() {
    let mut ids = [0_u32; 3];
    let [real, effective, saved] = &mut ids;
    // SAFETY: the three pointers are to valid, distinct integers.
    let done = sys::answer(unsafe { sys::getresuid(real, effective, saved) });
    fact("uid", shown(done.map(|_| format!("{} {} {}", ids[0], ids[1], ids[2]))));
    let [real, effective, saved] = &mut ids;
    // SAFETY: as above.
    let done = sys::answer(unsafe { sys::getresgid(real, effective, saved) });
    fact("gid", shown(done.map(|_| format!("{} {} {}", ids[0], ids[1], ids[2]))));
    let mut groups = [0_u32; 1024];
    // SAFETY: the list has room for the 1024 groups that its size says.
    let count = sys::answer(unsafe { sys::getgroups(1024, groups.as_mut_ptr()) });
    let listed = |count: i32| {
        let count = usize::try_from(count).unwrap_or(0);
        groups[..count].iter().map(u32::to_string).collect::<Vec<_>>().join(" ")
    };
    fact("groups", shown(count.map(listed)));
    for file in ["uid_map", "gid_map", "setgroups"] {
        let text = fs::read_to_string(format!("/proc/self/{file}"));
        match text {
            Ok(text) => text.lines().for_each(|line| fact(file, words(line))),
            Err(_) => fact(file, shown(text)),
        }
    }
}

fn words(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The five sets, and what decides how they change. Asked from the kernel, so that no /proc is needed.
pub fn capabilities() {
    let mut header = [0x2008_0522_u32, 0];
    let mut data = [[0_u32; 3]; 2];
    // SAFETY: the version in the header announces two data structures of three words each.
    let done = unsafe { sys::syscall(sys::SYS_CAPGET, sys::pointer(&mut header), sys::pointer(&mut data)) };
    let set = |which: usize| u64::from(data[1][which]) << 32 | u64::from(data[0][which]);
    for (name, which) in [("effective", 0), ("permitted", 1), ("inheritable", 2)] {
        fact(name, if done == 0 { format!("{:016x}", set(which)) } else { "!".to_owned() });
    }
    const CAPBSET_READ: i32 = 23;
    const CAP_AMBIENT: i32 = 47;
    const IS_SET: u64 = 1;
    let collect = |ask: &dyn Fn(u64) -> std::io::Result<i32>| {
        (0..64).filter(|number| matches!(ask(*number), Ok(1))).fold(0_u64, |set, number| set | 1 << number)
    };
    fact("bounding", format!("{:016x}", collect(&|number| sys::ask(CAPBSET_READ, number))));
    let none: u64 = 0;
    // SAFETY: PR_CAP_AMBIENT takes numbers only.
    let ambient = |number: u64| sys::answer(unsafe { sys::prctl(CAP_AMBIENT, IS_SET, number, none, none) });
    fact("ambient", format!("{:016x}", collect(&ambient)));
    for (name, option) in [("securebits", 27), ("keepcaps", 7), ("no_new_privs", 39), ("seccomp", 21)] {
        fact(name, shown(sys::ask(option, 0)));
    }
    fact("seccomp_filters", status_field("Seccomp_filters"));
}

fn status_field(name: &str) -> String {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.map_or_else(|| "!".to_owned(), |value| value.trim().to_owned())
}

/// Ids, terminal, session, names, and other properties.
pub fn process() {
    fact("pid", std::process::id());
    // SAFETY: these take and return numbers; 0 means the caller.
    let (parent, group, session, nice) =
        unsafe { (sys::getppid(), sys::getpgid(0), sys::getsid(0), sys::getpriority(0, 0)) };
    fact("ppid", parent);
    fact("pgid", group);
    fact("sid", session);
    fact("nice", nice);
    // SAFETY: sets the mask to what it was; the probe has one thread.
    let mask = unsafe { sys::umask(0o22) };
    // SAFETY: as above.
    unsafe { sys::umask(mask) };
    fact("umask", format!("{mask:03o}"));
    fact("dumpable", shown(sys::ask(3, 0)));
    let mut signal = 0_i32;
    // SAFETY: PR_GET_PDEATHSIG stores an integer there.
    let done = sys::answer(unsafe { sys::prctl(2, sys::pointer(&mut signal)) });
    fact("death_signal", shown(done.map(|_| signal)));
    for fd in 0..3 {
        // SAFETY: takes any number.
        fact("terminal", unsafe { sys::isatty(fd) });
    }
    let controlling = fs::OpenOptions::new().read(true).open("/dev/tty").map(|_| "yes");
    fact("controlling_terminal", shown(controlling));
    fact("cwd", shown(std::env::current_dir().map(|path| path.display().to_string())));
    std::env::args().for_each(|argument| fact("argument", argument));
    for (name, path) in [("comm", "comm"), ("oom_score_adj", "oom_score_adj"), ("cgroup", "cgroup")] {
        fact(
            name,
            shown(fs::read_to_string(format!("/proc/self/{path}")).map(|text| text.trim_end().to_owned())),
        );
    }
    names();
}

fn names() {
    let mut names = [[0; 65]; 6];
    // SAFETY: `struct utsname` on Linux is six arrays of 65 characters.
    if unsafe { sys::uname(&raw mut names) } == 0 {
        for (key, name) in
            ["system", "hostname", "release", "version", "machine", "domainname"].iter().zip(names)
        {
            let bytes = name.iter().take_while(|byte| **byte != 0).map(|byte| byte.cast_unsigned());
            fact(key, String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()));
        }
    }
}

/// Signals ignored and blocked, as lists of numbers. Rust's start-up itself ignores SIGPIPE (13), so that one is what
/// the first line of /proc/self/status would say only for a program without it, and is left out.
pub fn signals() {
    const SIG_IGN: usize = 1;
    let ignored = (1..=64_u64).filter(|signal| *signal != 13).filter(|signal| {
        let mut action = [0_usize; 4];
        let (none, size) = (0_usize, 8_usize);
        // SAFETY: the kernel's `struct sigaction` has four words on 64-bit machines; nothing is set.
        let done =
            unsafe { sys::syscall(sys::SYS_RT_SIGACTION, *signal, none, sys::pointer(&mut action), size) };
        done == 0 && action[0] == SIG_IGN
    });
    fact("ignored", ignored.map(|signal| signal.to_string()).collect::<Vec<_>>().join(" "));
    let mut mask = 0_u64;
    let (block, none, size) = (0_usize, 0_usize, 8_usize);
    // SAFETY: the kernel's signal set has eight bytes; nothing is set.
    unsafe { sys::syscall(sys::SYS_RT_SIGPROCMASK, block, none, sys::pointer(&mut mask), size) };
    let blocked = (1..=64).filter(|signal| mask & 1 << (signal - 1) != 0);
    fact("blocked", blocked.map(|signal: i32| signal.to_string()).collect::<Vec<_>>().join(" "));
}

/// Process limits as `soft hard`; `unlimited` for the absence of one.
pub fn limits() {
    const NAMES: [&str; 16] = [
        "cpu",
        "fsize",
        "data",
        "stack",
        "core",
        "rss",
        "nproc",
        "nofile",
        "memlock",
        "as",
        "locks",
        "sigpending",
        "msgqueue",
        "nice",
        "rtprio",
        "rttime",
    ];
    for (resource, name) in (0..).zip(NAMES) {
        let mut limit = [0; 2];
        // SAFETY: `struct rlimit` is two words.
        let done = sys::answer(unsafe { sys::getrlimit(resource, &raw mut limit) });
        let shown_limit =
            |value: u64| if value == u64::MAX { "unlimited".to_owned() } else { value.to_string() };
        fact(name, shown(done.map(|_| format!("{} {}", shown_limit(limit[0]), shown_limit(limit[1])))));
    }
}

/// The environment, in its order.
pub fn environment() {
    for (name, value) in std::env::vars_os() {
        fact("env", format!("{}={}", name.to_string_lossy(), value.to_string_lossy()));
    }
}
