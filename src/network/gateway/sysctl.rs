//! Sysctls below `/proc/sys/net` in the network namespace of the calling thread.

use std::io;

use anyhow::Context as _;
use rustix::fs::{Mode, OFlags};

use crate::backend::NetworkBackend;

/// For which backends a failed write is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SysctlNeed {
    /// Those with listeners in the kernel.
    Listeners,
    /// Those that use `tproxy` rules.
    Tproxy,
    /// None; it is an improvement.
    Better,
}

use SysctlNeed::{Better, Listeners, Tproxy};

impl SysctlNeed {
    /// Whether the backend `backend` does not work without the setting.
    fn is_for(self, backend: Option<NetworkBackend>) -> bool {
        let listeners = backend.is_some_and(NetworkBackend::has_listeners);
        match self {
            Listeners => listeners,
            Tproxy => listeners && backend != Some(NetworkBackend::Redirect),
            Better => false,
        }
    }
}

type SysctlTable = &'static [(&'static str, &'static str, SysctlNeed)];

/// For the gateway's namespace, whatever the families.
const GATEWAY: SysctlTable = &[
    // Early demux ties a packet to a socket on input, and such a packet is dropped when it is forwarded: a
    // SYN would be lost if its four-tuple was in use shortly before.
    ("ipv4/tcp_early_demux", "0", Tproxy),
    // TIME_WAIT is kept by the ends, the host and the container.
    ("ipv4/tcp_max_tw_buckets", "0", Better),
    // A cookie's ACK has no socket yet, so the rules cannot match it. Without cookies, an overflowing SYN is
    // retransmitted.
    ("ipv4/tcp_syncookies", "0", Better),
    // No packet is lost between relay and container, so there is no bandwidth to probe for.
    ("ipv4/tcp_congestion_control", "reno", Better),
    // The forwarder's packets arrive by another interface than the one their answers take.
    ("ipv4/conf/all/rp_filter", "0", Listeners),
    // Routed-packet rules need not see bridged frames. They are correct if they do, so nothing breaks when
    // br_netfilter is loaded later, with its own defaults.
    ("bridge/bridge-nf-call-iptables", "0", Better),
    ("bridge/bridge-nf-call-ip6tables", "0", Better),
];

/// For IPv6. Interfaces created later get no link-local address; nobody would use it.
const GATEWAY_V6: SysctlTable =
    &[("ipv6/conf/default/accept_dad", "0", Better), ("ipv6/conf/default/addr_gen_mode", "1", Better)];

/// For conntrack, once rules have loaded it: a half-closed connection may stay silent as long as any other.
const TRACKING: SysctlTable = &[
    ("netfilter/nf_conntrack_tcp_timeout_fin_wait", "432000", Better),
    ("netfilter/nf_conntrack_tcp_timeout_close_wait", "432000", Better),
];

const NO_V6: SysctlTable = &[("ipv6/conf/default/disable_ipv6", "1", Better)];
const V6: SysctlTable = &[("ipv6/conf/default/disable_ipv6", "0", Better)];

const BASE: &str = "/proc/sys/net";
const FORWARDING_V6: &str = "ipv6/conf/all/forwarding";
const FIRST_PORT: &str = "ipv4/ip_unprivileged_port_start";
const PINGERS: &str = "ipv4/ping_group_range";
const CONGESTION_CONTROL: &str = "ipv4/tcp_congestion_control";

/// Sets the sysctls of a gateway's namespace, before it has interfaces.
pub(crate) fn apply_gateway(backend: NetworkBackend, v6: bool) -> anyhow::Result<()> {
    apply(GATEWAY, Some(backend))?;
    apply(if v6 { GATEWAY_V6 } else { NO_V6 }, Some(backend))
}

/// Enables IPv6 forwarding. For IPv4 it is set per interface, by netlink.
pub(crate) fn enable_v6_forwarding() -> bool {
    write_sysctl(FORWARDING_V6, "1").is_ok()
}

/// Whether the kernel has IPv6.
pub(super) fn has_v6() -> bool {
    rustix::fs::access(format!("{BASE}/{FORWARDING_V6}"), rustix::fs::Access::EXISTS).is_ok()
}

/// Sets the conntrack sysctls of a gateway, after its rules were loaded.
pub(crate) fn apply_conntrack() -> anyhow::Result<()> {
    apply(TRACKING, None)
}

/// Sets the sysctls of a container's namespace, before it gets an interface, which has IPv6 only if the
/// network has.
pub(crate) fn apply_container(v6: bool) -> anyhow::Result<()> {
    apply(if v6 { V6 } else { NO_V6 }, None)?;
    // The host's choice for the internet, above all `bbr`, paces traffic that needs no pacing. A user's own
    // choice stays.
    let mut buffer = [0; 16];
    let length = open_sysctl(CONGESTION_CONTROL, OFlags::RDONLY)
        .and_then(|file| Ok(rustix::io::read(&file, &mut buffer)?))
        .unwrap_or_default();
    if buffer.get(..length).is_some_and(|name| name.starts_with(b"bbr")) {
        apply(&[(CONGESTION_CONTROL, "reno", Better)], None)?;
    }
    // As docker does: any user may listen on any port and send pings.
    if has_value(FIRST_PORT, "1024") {
        apply(&[(FIRST_PORT, "0", Better)], None)?;
    }
    // The default range is empty. It reads as `1 0`, or as overflow ids if those groups are not mapped here.
    if ["1\t0", "65534\t65534"].iter().any(|nobody| has_value(PINGERS, nobody)) {
        let map = std::fs::read_to_string("/proc/thread-self/gid_map").unwrap_or_default();
        // Best effort; root does not need it.
        let _ = write_sysctl(PINGERS, &format!("0 {}", last_group(&map)));
    }
    Ok(())
}

/// The last group of a user_namespaces(7) map that is reached without a gap from 0.
fn last_group(map: &str) -> u32 {
    let mut extents: Vec<(u32, u32)> = map
        .lines()
        .filter_map(|line| {
            let mut numbers = line.split_whitespace().map(str::parse);
            Some((numbers.next()?.ok()?, numbers.nth(1)?.ok()?))
        })
        .collect();
    extents.sort_unstable();
    let end = extents.iter().fold(
        0_u32,
        |end, (first, count)| {
            if *first == end { end.saturating_add(*count) } else { end }
        },
    );
    // The kernel accepts no larger value.
    end.saturating_sub(1).min(i32::MAX.unsigned_abs())
}

fn apply(settings: SysctlTable, backend: Option<NetworkBackend>) -> anyhow::Result<()> {
    for (name, value, need) in settings {
        match write_sysctl(name, value) {
            Err(error) if need.is_for(backend) => {
                return Err(error).with_context(|| format!("cannot set net/{name} to {value}"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn write_sysctl(name: &str, value: &str) -> io::Result<()> {
    let result =
        open_sysctl(name, OFlags::WRONLY).and_then(|file| Ok(rustix::io::write(&file, value.as_bytes())?));
    result.map(drop).or_else(|error| if has_value(name, value) { Ok(()) } else { Err(error) })
}

/// Whether a sysctl has this value already, so that a failed write does not matter.
fn has_value(name: &str, value: &str) -> bool {
    let mut buffer = [0; 32];
    let read = open_sysctl(name, OFlags::RDONLY).and_then(|file| Ok(rustix::io::read(&file, &mut buffer)?));
    read.ok()
        .and_then(|length| buffer.get(..length))
        .is_some_and(|text| text.trim_ascii() == value.as_bytes())
}

fn open_sysctl(name: &str, flags: OFlags) -> io::Result<std::os::fd::OwnedFd> {
    let path = format!("{BASE}/{name}");
    Ok(rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_end_where_their_row_does() {
        assert_eq!(last_group("         0       1000          1\n         1     100000      65536\n"), 65536);
        assert_eq!(last_group("0 1000 1\n"), 0);
        assert_eq!(last_group("5 1000 1\n0 7 2\nx y z\n"), 1);
        assert_eq!(last_group("0 0 4294967295\n"), 2_147_483_647);
        assert_eq!(last_group(""), 0);
    }
}
