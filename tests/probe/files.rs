//! What the file system shows: namespaces, descriptors, mounts, devices, paths, network interfaces.

use std::ffi::{CString, c_ulong};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::sys;
use crate::{fact, shown};

/// The namespaces by kind, as `kind:[inode]`.
pub fn namespaces() {
    for kind in ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"] {
        fact(
            kind,
            shown(fs::read_link(format!("/proc/self/ns/{kind}")).map(|target| target.display().to_string())),
        );
    }
}

/// Open descriptors with what they are; that of the listing itself is left out.
pub fn descriptors() {
    let Ok(list) = fs::read_dir("/proc/self/fd") else { return fact("descriptor", "!") };
    let mut found: Vec<(u32, String)> = list
        .flatten()
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.parse().ok()?;
            Some((number, fs::read_link(entry.path()).ok()?.display().to_string()))
        })
        .filter(|(_, target)| !(target.starts_with("/proc/") && target.ends_with("/fd")))
        .collect();
    found.sort();
    for (number, target) in found {
        fact("descriptor", format!("{number} {target}"));
    }
}

/// Mounts in their order: `target type source options super-options root propagation`.
pub fn mounts() {
    let text = fs::read_to_string("/proc/self/mountinfo");
    let Ok(text) = text else { return fact("mount", shown(text)) };
    for line in text.lines() {
        let (before, after) = line.split_once(" - ").unwrap_or((line, ""));
        let before: Vec<&str> = before.split(' ').collect();
        let after: Vec<&str> = after.split(' ').collect();
        let [_, _, _, root, target, options, propagation @ ..] = before.as_slice() else { continue };
        let [kind, source, super_options] = after.as_slice() else { continue };
        let propagation = if propagation.is_empty() { "private".to_owned() } else { propagation.join(",") };
        fact("mount", format!("{target} {kind} {source} {options} {super_options} {root} {propagation}"));
    }
}

/// Everything below /dev.
pub fn devices() {
    let mut pending = vec![PathBuf::from("/dev")];
    let mut paths = Vec::new();
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                pending.push(entry.path());
            }
            paths.push(entry.path());
        }
    }
    paths.sort();
    for path in paths {
        fact("device", format!("{} {}", path.display(), description(&path)));
    }
}

/// `kind mode uid:gid`, and for a device its numbers, for a link its target.
fn description(path: &Path) -> String {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) => return shown::<u8>(Err(error)),
    };
    let kind = meta.file_type();
    let (major, minor) = (meta.rdev() >> 8 & 0xfff, meta.rdev() & 0xff | meta.rdev() >> 12 & 0xf_ff00);
    let (name, more) = if kind.is_char_device() {
        ("char", format!(" {major}:{minor}"))
    } else if kind.is_block_device() {
        ("block", format!(" {major}:{minor}"))
    } else if kind.is_symlink() {
        ("link", format!(" {}", shown(fs::read_link(path).map(|target| target.display().to_string()))))
    } else if kind.is_dir() {
        ("directory", String::new())
    } else if kind.is_fifo() {
        ("fifo", String::new())
    } else if kind.is_socket() {
        ("socket", String::new())
    } else {
        ("file", String::new())
    };
    format!("{name} {:04o} {}:{}{more}", meta.mode() & 0o7777, meta.uid(), meta.gid())
}

/// What can be done with `path`: `read` is the bytes or entries that a first read gives, `write` whether it can be
/// opened for writing (a directory: whether a file can be made in it).
pub fn path(path: &str) {
    let place = Path::new(path);
    let is_dir = place.is_dir();
    let read = if is_dir { fs::read_dir(place).map(Iterator::count) } else { first_bytes(place) };
    let write = if is_dir { make_in(place) } else { OpenOptions::new().write(true).open(place).map(drop) };
    fact(
        "path",
        format!("{path} read={} write={} {}", shown(read), shown(write.map(|()| "yes")), description(place)),
    );
}

fn first_bytes(path: &Path) -> io::Result<usize> {
    let mut buffer = [0; 4096];
    File::open(path)?.read(&mut buffer)
}

fn make_in(dir: &Path) -> io::Result<()> {
    let template = dir.join(".probe-XXXXXX").display().to_string();
    let template = CString::new(template)?.into_raw();
    // SAFETY: the string ends with six X and a zero and stays allocated; mkstemp writes only to the X.
    let made = unsafe { sys::answer(sys::mkstemp(template)) };
    if let Ok(fd) = made {
        // SAFETY: the descriptor was just made and is nobody else's; the name is what mkstemp wrote.
        unsafe { (sys::close(fd), sys::unlink(template)) };
    }
    // SAFETY: it came from `into_raw`.
    drop(unsafe { CString::from_raw(template) });
    made.map(drop)
}

/// Interfaces with their flags, by asking the kernel for the names that /proc lists.
pub fn network() {
    let text = fs::read_to_string("/proc/self/net/dev");
    let Ok(text) = text else { return fact("interface", shown(text)) };
    for name in text.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim()) {
        let flags = interface_flags(name);
        let up = flags.map(|flags| if flags & 1 == 0 { "down" } else { "up" });
        fact("interface", format!("{name} {}", shown(up)));
    }
}

fn interface_flags(name: &str) -> io::Result<u16> {
    const INET: i32 = 2;
    const DATAGRAM: i32 = 2;
    const GET_FLAGS: c_ulong = 0x8913;
    let mut request = [0_u8; 40];
    for (to, from) in request.iter_mut().take(15).zip(name.bytes()) {
        *to = from;
    }
    // SAFETY: takes numbers only.
    let fd = sys::answer(unsafe { sys::socket(INET, DATAGRAM, 0) })?;
    // SAFETY: `struct ifreq` has 40 bytes on 64-bit machines.
    let done = sys::answer(unsafe { sys::ioctl(fd, GET_FLAGS, sys::pointer(&mut request)) });
    // SAFETY: the descriptor was made above.
    unsafe { sys::close(fd) };
    done.map(|_| u16::from_ne_bytes([request[16], request[17]]))
}
