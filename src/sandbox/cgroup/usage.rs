//! Resource usage of a cgroup: the numbers behind `stats`.

use std::path::Path;

use super::directory::{number, value_of};

/// Resource usage; `None` where the controller that counts it is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResourceUsage {
    /// CPU time since the start, in microseconds.
    pub cpu: Option<u64>,
    /// Bytes of memory, without inactive page cache.
    pub memory: Option<u64>,
    /// The memory limit in bytes; `None` if unlimited.
    pub memory_limit: Option<u64>,
    /// Number of processes and threads.
    pub pids: Option<u64>,
    /// Bytes read from block devices.
    pub read: Option<u64>,
    /// Bytes written to block devices.
    pub written: Option<u64>,
}

impl ResourceUsage {
    pub(super) fn read(path: &Path) -> Self {
        let text = |name: &str| std::fs::read_to_string(path.join(name)).ok();
        // docker subtracts inactive page cache, which can be reclaimed at once.
        let idle = text("memory.stat").and_then(|stat| value_of(&stat, "inactive_file")).unwrap_or_default();
        let io = text("io.stat");
        Self {
            cpu: text("cpu.stat").and_then(|stat| value_of(&stat, "usage_usec")),
            memory: number(&path.join("memory.current")).map(|used| used.saturating_sub(idle)),
            // `max` is no number, so an unlimited cgroup has none.
            memory_limit: number(&path.join("memory.max")),
            pids: number(&path.join("pids.current")),
            read: io.as_deref().map(|text| sum_of(text, "rbytes=")),
            written: io.as_deref().map(|text| sum_of(text, "wbytes=")),
        }
    }
}

/// Sums a key of `io.stat` over all devices: `8:0 rbytes=1 wbytes=2 …`.
fn sum_of(text: &str, key: &str) -> u64 {
    let words = text.split_whitespace();
    words.filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok()).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_files_that_are_there() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        assert_eq!(ResourceUsage::read(dir.path()), ResourceUsage::default());
        put("memory.current", "5000\n");
        put("memory.stat", "anon 100\ninactive_file 1000\n");
        put("memory.max", "max\n");
        put("cpu.stat", "usage_usec 77\nuser_usec 70\n");
        put("pids.current", "3\n");
        put("io.stat", "8:0 rbytes=10 wbytes=1 rios=9\n8:16 rbytes=5 wbytes=2\n");
        let expected = ResourceUsage {
            cpu: Some(77),
            memory: Some(4000),
            memory_limit: None,
            pids: Some(3),
            read: Some(15),
            written: Some(3),
        };
        assert_eq!(ResourceUsage::read(dir.path()), expected);
    }
}
