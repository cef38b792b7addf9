//! Resource usage of a container without a cgroup of its own, summed up from /proc.

use std::fs;

use super::cgroup::ResourceUsage;

/// Clock ticks per second in /proc: `USER_HZ`, a constant of the kernel's ABI.
const TICKS: u64 = 100;

/// The sum over `pids`. CPU time of ended children counts as far as their parents have reaped them.
pub fn usage_of_processes(pids: &[i32]) -> ResourceUsage {
    let mut sum = ResourceUsage {
        cpu: Some(0),
        memory: Some(0),
        memory_limit: None,
        pids: Some(0),
        read: Some(0),
        written: Some(0),
    };
    for pid in pids {
        let text = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let stat = text("stat");
        add(&mut sum.cpu, cpu(&stat));
        add(&mut sum.pids, field(&stat, 20));
        // Pss divides shared pages among their users, so the sum is what the container really uses.
        // Unreadable: fall back to Rss.
        let memory =
            kilobytes(&text("smaps_rollup"), "Pss:").or_else(|| kilobytes(&text("status"), "VmRSS:"));
        add(&mut sum.memory, memory.unwrap_or_default().saturating_mul(1024));
        let io = text("io");
        add(&mut sum.read, number(&io, "read_bytes:").unwrap_or_default());
        add(&mut sum.written, number(&io, "write_bytes:").unwrap_or_default());
    }
    sum
}

/// The [`ResourceUsage::cpu`] of [`usage_of_processes`] alone.
pub fn cpu_of_processes(pids: &[i32]) -> u64 {
    let stat = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    pids.iter().map(|pid| cpu(&stat(pid))).fold(0, u64::saturating_add)
}

/// Bytes received and sent by all interfaces but loopback in the network namespace of process `pid`.
pub fn network_bytes(pid: i32) -> (u64, u64) {
    let table = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    sum_of_interfaces(&table)
}

fn sum_of_interfaces(table: &str) -> (u64, u64) {
    let mut sum = (0_u64, 0_u64);
    for (name, counters) in table.lines().filter_map(|line| line.split_once(':')) {
        if name.trim() == "lo" {
            continue;
        }
        let counters: Vec<u64> = counters.split_whitespace().map(|word| word.parse().unwrap_or(0)).collect();
        // Eight columns for what was received and eight for what was sent; bytes come first.
        sum.0 = sum.0.saturating_add(counters.first().copied().unwrap_or_default());
        sum.1 = sum.1.saturating_add(counters.get(8).copied().unwrap_or_default());
    }
    sum
}

fn add(sum: &mut Option<u64>, value: u64) {
    *sum = sum.map(|sum| sum.saturating_add(value));
}

/// Microseconds.
fn cpu(stat: &str) -> u64 {
    ticks(stat).saturating_mul(1_000_000 / TICKS)
}

/// User and system time of the process and of the children it has waited for (proc_pid_stat(5)).
fn ticks(stat: &str) -> u64 {
    (14..=17).map(|number| field(stat, number)).fold(0, u64::saturating_add)
}

fn field(stat: &str, number: usize) -> u64 {
    dhow_sys::process::stat_field(stat, number).unwrap_or_default()
}

fn number(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
}

fn kilobytes(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.trim().strip_suffix("kB")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_proc_are_read() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 5 0 99 1000 2";
        assert_eq!((ticks(stat), field(stat, 20)), (100, 5));
        assert_eq!(ticks("nonsense"), 0);
        let table = "Inter-| Receive | Transmit\n face |bytes\n    lo: 5 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0\n  eth0: 100 2 0 0 0 0 0 0 30 1 0 0 0 0 0 0\n  eth1:1 1 0 0 0 0 0 0 2 1 0 0 0 0 0 0\n";
        assert_eq!(sum_of_interfaces(table), (101, 32));
        assert_eq!(kilobytes("Rss: 8 kB\nPss:        12 kB\n", "Pss:"), Some(12));
    }

    #[test]
    fn this_process_uses_something() {
        let own = usage_of_processes(&[std::process::id().cast_signed()]);
        assert!(own.memory.unwrap() > 0 && own.pids.unwrap() > 0);
        assert_eq!(usage_of_processes(&[]).memory, Some(0));
    }
}
