//! Limits of processes (setrlimit(2)): those that dhow itself works under, and those of containers (`--ulimit`).

use dhow_model::container::UlimitSpec;
use dhow_sys::rlimit::{self, RlimitResource};

/// Makes the best of the limits that this process was started with; once, before anything else.
pub fn prepare_own() {
    // A layer takes a descriptor while it is mounted, and a connection several. What runs in containers gets the limit
    // that the user has.
    rlimit::raise_open_files();
    // A file that may not grow further (`ulimit -f`) is then an error as on a full disk; by default the signal kills.
    let _ = dhow_sys::signal::ignore(libc::SIGXFSZ);
}

/// The limits of a container's process: name, soft and hard limit.
pub(crate) fn plan(limits: &[UlimitSpec]) -> Vec<(String, u64, u64)> {
    let mut planned: Vec<_> = limits.iter().map(numbers).collect();
    // Unless it was asked for, the user's own in place of what dhow made of it.
    if let Some((soft, hard)) =
        rlimit::inherited_open_files().filter(|_| !planned.iter().any(|limit| limit.0 == FILES))
    {
        planned.push((FILES.into(), soft, hard));
    }
    planned
}

const FILES: &str = "nofile";

fn numbers(limit: &UlimitSpec) -> (String, u64, u64) {
    // -1 is docker's way to say unlimited, which is RLIM_INFINITY, the largest value.
    let value = |number: i64| u64::try_from(number).unwrap_or(u64::MAX);
    (limit.name.clone(), value(limit.soft), value(limit.hard))
}

/// Warnings about limits that this account cannot set. Containers get as much of them as it may.
pub fn warnings(limits: &[UlimitSpec]) -> Vec<String> {
    let warning = |limit: &UlimitSpec| {
        let (name, _, hard) = numbers(limit);
        let (_, most) = RlimitResource::by_name(&name)?.get().ok()?;
        (hard > most).then(|| {
            format!(
                "--ulimit {name}: this account may have {most} at most (`ulimit -H`), and so may the container; root can \
                 raise that in /etc/security/limits.conf"
            )
        })
    };
    limits.iter().filter_map(warning).collect()
}
