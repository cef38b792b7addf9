//! Settings below `/proc/sys/net` of the network namespace that the calling thread is in.

use std::io;

use anyhow::Context as _;
use rustix::fs::{Mode, OFlags};

/// Whether a setting has to exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// The gateway does not work without it.
    Must,
    /// A kernel without it does not do what it would turn off.
    IfThere,
}

use Need::{IfThere, Must};

/// What the gateway's namespace needs, whichever the families.
const GATEWAY: &[(&str, &str, Need)] = &[
    // A packet that was tied to a socket on its way in is dropped where it is forwarded: first segments would be lost
    // whose four numbers were in use shortly before.
    ("ipv4/tcp_early_demux", "0", Must),
    // Connections in TIME_WAIT are the host's and the container's business.
    ("ipv4/tcp_max_tw_buckets", "0", Must),
    // No packet is lost between the relay and a container, so nothing is to be measured first.
    ("ipv4/tcp_congestion_control", "reno", Must),
    ("ipv4/conf/all/rp_filter", "0", Must),
    // Rules for what is routed must not see what is bridged: `tproxy` works on the former only.
    ("bridge/bridge-nf-call-iptables", "0", IfThere),
    ("bridge/bridge-nf-call-ip6tables", "0", IfThere),
];

/// What it needs for IPv6. What is made afterwards has no link-local addresses, which nobody would use.
const GATEWAY_V6: &[(&str, &str, Need)] = &[
    ("ipv6/conf/all/forwarding", "1", Must),
    ("ipv6/conf/default/accept_dad", "0", Must),
    ("ipv6/conf/default/addr_gen_mode", "1", Must),
];

const NO_V6: &[(&str, &str, Need)] = &[("ipv6/conf/default/disable_ipv6", "1", IfThere)];
const V6: &[(&str, &str, Need)] = &[("ipv6/conf/default/disable_ipv6", "0", IfThere)];

const CONGESTION_CONTROL: &str = "ipv4/tcp_congestion_control";

/// Makes the settings of a gateway's namespace, before it has interfaces.
pub(super) fn of_gateway(v6: bool) -> anyhow::Result<()> {
    set(GATEWAY)?;
    set(if v6 { GATEWAY_V6 } else { NO_V6 })
}

/// Makes those of a container's, before it gets an interface: that one has IPv6 only if the network has.
pub(super) fn of_container(v6: bool) -> anyhow::Result<()> {
    set(if v6 { V6 } else { NO_V6 })?;
    // The host's choice for the internet, `bbr` above all, paces what needs no pacing. What a user chose stays.
    let mut buffer = [0; 16];
    let length = open(CONGESTION_CONTROL, OFlags::RDONLY)
        .and_then(|file| Ok(rustix::io::read(&file, &mut buffer)?))
        .unwrap_or_default();
    if buffer.get(..length).is_some_and(|name| name.starts_with(b"bbr")) {
        set(&[(CONGESTION_CONTROL, "reno", Must)])?;
    }
    Ok(())
}

fn set(settings: &[(&str, &str, Need)]) -> anyhow::Result<()> {
    for (name, value, need) in settings {
        let done = open(name, OFlags::WRONLY)
            .and_then(|file| Ok(rustix::io::write(&file, value.as_bytes())?))
            .map(drop);
        match done {
            Err(error) if *need == IfThere && error.kind() == io::ErrorKind::NotFound => {}
            done => done.with_context(|| format!("cannot set net/{name} to {value}"))?,
        }
    }
    Ok(())
}

fn open(name: &str, flags: OFlags) -> io::Result<std::os::fd::OwnedFd> {
    let path = format!("/proc/sys/net/{name}");
    Ok(rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty())?)
}
