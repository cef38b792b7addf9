//! Docker's seccomp profile, interpreted independently of dhow's code, and compared with the results of system calls.

use serde_json::Value;

use super::probe::Facts;
use syscalls::{Arch, Syscall};

#[path = "../../../src/sandbox/seccomp/syscalls.rs"]
#[allow(dead_code, reason = "the tests need the numbers alone")]
mod syscalls;

#[cfg(target_arch = "x86_64")]
const NATIVE: Arch = Arch::X86_64;
#[cfg(target_arch = "aarch64")]
const NATIVE: Arch = Arch::Aarch64;

/// The number of a call on this machine, as an argument for the probe.
pub(crate) fn number(name: &str) -> String {
    native(name).expect("a call of this machine").to_string()
}

fn native(name: &str) -> Option<u32> {
    Syscall::find(name)?.number(NATIVE)
}

/// Compares the probe's `calls` under the profile, for a container with the capabilities `held` as far as the profile
/// asks for them, with its `calls` in the same container without a filter.
pub(crate) fn check(free: &Facts, filtered: &Facts, held: &[&str]) {
    let profile: Value = serde_json::from_str(dhow_testing::DOCKER_SECCOMP_PROFILE).expect("the profile");
    let entries = profile["syscalls"].as_array().expect("entries");
    let listed = entries.iter().flat_map(|entry| entry["names"].as_array().expect("names"));
    let numbered: Vec<(u32, &str)> =
        listed.filter_map(|name| name.as_str().and_then(|name| Some((native(name)?, name)))).collect();
    let highest = numbered.iter().map(|(number, _)| *number).max().expect("a call");
    // The kernel lets its own trampolines (uretprobe and uprobe) past every filter.
    let probes: &[u32] = if cfg!(target_arch = "x86_64") { &[335, 336] } else { &[] };
    let (mut denied, mut allowed) = (0, 0);
    for number in (0..=480_u32).filter(|number| !probes.contains(number)) {
        let key = format!("call.{number}");
        let [without] = free.all(&key) else { continue };
        let names: Vec<&str> =
            numbered.iter().filter(|(one, _)| *one == number).map(|(_, name)| *name).collect();
        let expected = match expected(&profile, &names, held) {
            _ if number > highest => "38".to_owned(),
            Some(error) => error.to_string(),
            None => without.clone(),
        };
        *(if expected == *without { &mut allowed } else { &mut denied }) += 1;
        assert_eq!(filtered.get(&key), expected, "number {number} {names:?}, without a filter {without}");
    }
    assert!(denied > 15 && allowed > 300, "{denied} denied, {allowed} allowed: the probe tried too little");
}

/// The error number that the profile returns for a native call whose arguments are all `-1`; `None` if it is allowed.
fn expected(profile: &Value, names: &[&str], held: &[&str]) -> Option<u64> {
    const ARCH: &[&str] = if cfg!(target_arch = "x86_64") { &["amd64"] } else { &["arm64"] };
    let mut verdict = profile["defaultErrnoRet"].as_u64();
    for entry in profile["syscalls"].as_array().expect("entries") {
        let (includes, excludes) = (&entry["includes"], &entry["excludes"]);
        let missing =
            |field: &str, have: &[&str]| !includes[field].is_null() && !lists(includes, field, have);
        let out = missing("arches", ARCH) || missing("caps", held) || lists(excludes, "caps", held);
        let holds = |test: &Value| match test["op"].as_str() {
            Some("SCMP_CMP_EQ") => test["value"].as_u64() == Some(u64::MAX),
            Some("SCMP_CMP_LT" | "SCMP_CMP_MASKED_EQ") => false,
            other => panic!("{other:?} is not in the profile"),
        };
        let tests = entry["args"].as_array().map_or(&[][..], Vec::as_slice);
        if !out && lists(entry, "names", names) && tests.iter().all(holds) {
            verdict = entry["errnoRet"].as_u64();
        }
    }
    verdict
}

/// Whether an entry's list contains one of `names`.
fn lists(entry: &Value, field: &str, names: &[&str]) -> bool {
    let named = |name: &Value| name.as_str().is_some_and(|name| names.contains(&name));
    entry[field].as_array().is_some_and(|list| list.iter().any(named))
}
