//! Settings below `/proc/sys/net` of the network namespace that the calling thread is in.

use std::io;

use anyhow::Context as _;
use rustix::fs::{Mode, OFlags};

use crate::network::rung::Rung;

/// Whether a setting has to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// Only without a listener in the kernel can it be done without.
    Listeners,
    /// Only `tproxy` needs it.
    Tproxy,
    /// It is better with it.
    Better,
}

use Need::{Better, Listeners, Tproxy};

impl Need {
    /// Whether the way `rung` does not work without the setting.
    fn is_for(self, rung: Option<Rung>) -> bool {
        let listeners = rung.is_some_and(Rung::has_listeners);
        match self {
            Listeners => listeners,
            Tproxy => listeners && rung != Some(Rung::Redirect),
            Better => false,
        }
    }
}

type Settings = &'static [(&'static str, &'static str, Need)];

/// What the gateway's namespace needs, whichever the families.
const GATEWAY: Settings = &[
    // A packet that was tied to a socket on its way in is dropped where it is forwarded: first segments would be lost
    // whose four numbers were in use shortly before.
    ("ipv4/tcp_early_demux", "0", Tproxy),
    // Connections in TIME_WAIT are the host's and the container's business.
    ("ipv4/tcp_max_tw_buckets", "0", Better),
    // Without it no answer belongs to a socket that is not there yet; what does not find room is sent again.
    ("ipv4/tcp_syncookies", "0", Better),
    // No packet is lost between the relay and a container, so nothing is to be measured first.
    ("ipv4/tcp_congestion_control", "reno", Better),
    // What the gate sends back comes by another way than it went.
    ("ipv4/conf/all/rp_filter", "0", Listeners),
    // Rules for what is routed need not see what is bridged. They come to the same if they do, so that nothing breaks where
    // the module is loaded, with its own defaults, when containers run.
    ("bridge/bridge-nf-call-iptables", "0", Better),
    ("bridge/bridge-nf-call-ip6tables", "0", Better),
];

/// What it needs for IPv6. What is made afterwards has no link-local addresses, which nobody would use.
const GATEWAY_V6: Settings =
    &[("ipv6/conf/default/accept_dad", "0", Better), ("ipv6/conf/default/addr_gen_mode", "1", Better)];

/// What connections that are translated need once rules have had the kernel track them: one that is closed in one
/// direction may be silent for as long as any other.
const TRACKING: Settings = &[
    ("netfilter/nf_conntrack_tcp_timeout_fin_wait", "432000", Better),
    ("netfilter/nf_conntrack_tcp_timeout_close_wait", "432000", Better),
];

const NO_V6: Settings = &[("ipv6/conf/default/disable_ipv6", "1", Better)];
const V6: Settings = &[("ipv6/conf/default/disable_ipv6", "0", Better)];

const BASE: &str = "/proc/sys/net";
const FORWARDING_V6: &str = "ipv6/conf/all/forwarding";
const FIRST_PORT: &str = "ipv4/ip_unprivileged_port_start";
const PINGERS: &str = "ipv4/ping_group_range";
const CONGESTION_CONTROL: &str = "ipv4/tcp_congestion_control";

/// Makes the settings of a gateway's namespace, before it has interfaces.
pub(super) fn of_gateway(rung: Rung, v6: bool) -> anyhow::Result<()> {
    set(GATEWAY, Some(rung))?;
    set(if v6 { GATEWAY_V6 } else { NO_V6 }, Some(rung))
}

/// Has the gateway's namespace pass packets of IPv6 on. That of IPv4 is set for each interface, without a file.
pub(super) fn forward_v6() -> bool {
    make(FORWARDING_V6, "1").is_ok()
}

/// Whether the kernel knows IPv6.
pub(super) fn has_v6() -> bool {
    rustix::fs::access(format!("{BASE}/{FORWARDING_V6}"), rustix::fs::Access::EXISTS).is_ok()
}

/// Makes those of a gateway that tracks connections, after its rules.
pub(super) fn of_tracking() -> anyhow::Result<()> {
    set(TRACKING, None)
}

/// Makes those of a container's, before it gets an interface: that one has IPv6 only if the network has.
pub(super) fn of_container(v6: bool) -> anyhow::Result<()> {
    set(if v6 { V6 } else { NO_V6 }, None)?;
    // The host's choice for the internet, `bbr` above all, paces what needs no pacing. What a user chose stays.
    let mut buffer = [0; 16];
    let length = open(CONGESTION_CONTROL, OFlags::RDONLY)
        .and_then(|file| Ok(rustix::io::read(&file, &mut buffer)?))
        .unwrap_or_default();
    if buffer.get(..length).is_some_and(|name| name.starts_with(b"bbr")) {
        set(&[(CONGESTION_CONTROL, "reno", Better)], None)?;
    }
    // As docker has it: users other than root may listen anywhere and ping.
    if is(FIRST_PORT, "1024") {
        set(&[(FIRST_PORT, "0", Better)], None)?;
    }
    // Nobody, as it is at first, is shown as it is or by groups that are not of this user namespace.
    if ["1\t0", "65534\t65534"].iter().any(|nobody| is(PINGERS, nobody)) {
        let map = std::fs::read_to_string("/proc/thread-self/gid_map").unwrap_or_default();
        // Better than nothing, and not needed by root.
        let _ = make(PINGERS, &format!("0 {}", last_group(&map)));
    }
    Ok(())
}

/// The last group of those that a map of user_namespaces(7) has in a row from 0 on.
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
    // The greatest that the setting takes.
    end.saturating_sub(1).min(i32::MAX.unsigned_abs())
}

fn set(settings: Settings, rung: Option<Rung>) -> anyhow::Result<()> {
    for (name, value, need) in settings {
        match make(name, value) {
            Err(error) if need.is_for(rung) => {
                return Err(error).with_context(|| format!("cannot set net/{name} to {value}"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn make(name: &str, value: &str) -> io::Result<()> {
    let done = open(name, OFlags::WRONLY).and_then(|file| Ok(rustix::io::write(&file, value.as_bytes())?));
    done.map(drop).or_else(|error| if is(name, value) { Ok(()) } else { Err(error) })
}

/// Whether a setting, which cannot be made, is made already.
fn is(name: &str, value: &str) -> bool {
    let mut buffer = [0; 32];
    let read = open(name, OFlags::RDONLY).and_then(|file| Ok(rustix::io::read(&file, &mut buffer)?));
    read.ok()
        .and_then(|length| buffer.get(..length))
        .is_some_and(|text| text.trim_ascii() == value.as_bytes())
}

fn open(name: &str, flags: OFlags) -> io::Result<std::os::fd::OwnedFd> {
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
