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
    /// The same; a kernel that has no such setting does not do what it would turn off.
    TproxyIfThere,
    /// It is better with it.
    Better,
}

use Need::{Better, Listeners, Tproxy, TproxyIfThere};

impl Need {
    /// Whether the way `rung` does not work without the setting, which is not there at all or cannot be made.
    fn is_for(self, rung: Option<Rung>, missing: bool) -> bool {
        let listeners = rung.is_some_and(Rung::has_listeners);
        match self {
            Listeners => listeners,
            Tproxy => listeners && rung != Some(Rung::Redirect),
            TproxyIfThere => Tproxy.is_for(rung, missing) && !missing,
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
    // No packet is lost between the relay and a container, so nothing is to be measured first.
    ("ipv4/tcp_congestion_control", "reno", Better),
    // What the gate sends back comes by another way than it went.
    ("ipv4/conf/all/rp_filter", "0", Listeners),
    // Rules for what is routed must not see what is bridged: `tproxy` works on the former only.
    ("bridge/bridge-nf-call-iptables", "0", TproxyIfThere),
    ("bridge/bridge-nf-call-ip6tables", "0", TproxyIfThere),
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
    Ok(())
}

fn set(settings: Settings, rung: Option<Rung>) -> anyhow::Result<()> {
    for (name, value, need) in settings {
        match make(name, value) {
            Err(error) if need.is_for(rung, error.kind() == io::ErrorKind::NotFound) => {
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
