//! What a process can see of its own isolation: the text that the demo prints.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use super::STARTED;
use dhow_model::environment::Environment;

/// The demo's program: dhow's executable under another name.
pub const PROGRAM: &str = "dhow-demo";

/// Nanoseconds of CLOCK_MONOTONIC, which is not namespaced here, so inside and outside agree.
pub(super) fn monotonic_now() -> i128 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)
}

pub fn isolation_report(environment: &Environment) -> String {
    let started = monotonic_now();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut text = String::from("dhow demo: this container from inside\n");
    for (title, facts) in [
        ("start", start(environment, started)),
        ("identity", identity(&status)),
        ("namespaces", namespaces()),
        ("root", root()),
        ("capabilities", capabilities(&status)),
        ("confinement", confinement(&status)),
        ("network", network()),
    ] {
        let mut title = title;
        for fact in facts {
            let _ = writeln!(text, "  {title:<13} {fact}");
            title = "";
        }
    }
    text
}

fn start(environment: &Environment, now: i128) -> Vec<String> {
    let command_start: Option<i128> = environment.text(STARTED).and_then(|text| text.parse().ok());
    match command_start {
        Some(command_start) => {
            vec![format!("{:.1} ms from the command to this program", (now - command_start) as f64 / 1e6)]
        }
        None => vec!["not measured: the image was not started by its own name".into()],
    }
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.map_or("?", str::trim)
}

fn identity(status: &str) -> Vec<String> {
    let first = |name: &str| field(status, name).split_whitespace().next().unwrap_or("?").to_owned();
    let pid = std::process::id();
    let mut facts = vec![format!("uid {} gid {} pid {pid}", first("Uid"), first("Gid"))];
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    for line in map.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [inside, outside, count] = words.as_slice() {
            facts.push(format!("user {inside} here is user {outside} outside ({count} of them)"));
        }
    }
    facts
}

fn namespaces() -> Vec<String> {
    let names = ["user", "mnt", "pid", "ipc", "uts", "net", "cgroup"];
    let ids = names.iter().filter_map(|name| fs::read_link(format!("/proc/self/ns/{name}")).ok());
    let ids: Vec<String> = ids.map(|id| id.to_string_lossy().into_owned()).collect();
    ids.chunks(3).map(|chunk| chunk.join(" ")).collect()
}

fn root() -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut facts = Vec::new();
    let mut kinds = BTreeSet::new();
    for line in mounts.lines() {
        let Some((mount, source)) = line.split_once(" - ") else { continue };
        let target = mount.split(' ').nth(4).unwrap_or("?");
        let kind = source.split(' ').next().unwrap_or("?");
        if target == "/" {
            // overlay shows one `lowerdir=a:b:c`, or one `lowerdir+=` for each layer, depending on how it was
            // mounted.
            let layers = source.matches("lowerdir").count().max(usize::from(source.contains("lowerdir=")));
            let layers = if layers == 1 {
                source
                    .split("lowerdir=")
                    .nth(1)
                    .map_or(1, |dirs| dirs.split(',').next().unwrap_or("").split(':').count())
            } else {
                layers
            };
            facts.push(format!("/ is {kind}, {layers} read-only layer(s) below a writable one"));
        }
        kinds.insert(kind);
    }
    let kinds: Vec<&str> = kinds.into_iter().collect();
    facts.push(format!("{} mounts of {}", mounts.lines().count(), kinds.join(", ")));
    facts
}

fn capabilities(status: &str) -> Vec<String> {
    let count = |name: &str| u64::from_str_radix(field(status, name), 16).map_or(0, u64::count_ones);
    vec![format!("{} effective, {} in the bounding set", count("CapEff"), count("CapBnd"))]
}

fn confinement(status: &str) -> Vec<String> {
    let seccomp = match field(status, "Seccomp") {
        "2" => format!("seccomp: {} filter(s)", field(status, "Seccomp_filters")),
        _ => "seccomp: none".into(),
    };
    vec![format!("{seccomp}, no_new_privs {}", field(status, "NoNewPrivs"))]
}

fn network() -> Vec<String> {
    let table = fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let names: Vec<&str> =
        table.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim())).collect();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    vec![format!(
        "host name {host}, interfaces: {}",
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    )]
}
