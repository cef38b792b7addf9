//! What `network create` asks for, and the options of the bridge driver.

use std::collections::BTreeMap;

use super::boolean;
use super::ipam::PoolSpec;
use super::network::{EgressRule, HOST_BINDING};
use dhow_error::{Failure, FailureKind, invalid, not_found, unsupported};

/// Driver option: MTU.
pub const MTU: &str = "com.docker.network.driver.mtu";
/// Driver option: whether containers can reach each other.
pub const ICC: &str = "com.docker.network.bridge.enable_icc";
/// Driver option: prefix of interface names in containers.
pub const PREFIX: &str = "com.docker.network.container_iface_prefix";
/// Reserved names.
const PREDEFINED: [&str; 4] = ["bridge", "default", "host", "none"];

/// A `network create` request.
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "one flag of the command each")]
pub struct NewNetwork {
    pub name: String,
    /// `--internal`: no route to the outside, no published ports.
    pub internal: bool,
    /// For swarm services; stored, without effect.
    pub attachable: bool,
    /// `--ipv4=false`.
    pub without_v4: bool,
    /// `--ipv6`: enable IPv6, with a generated subnet if none is given.
    pub v6: bool,
    /// At most one of each family.
    pub pools: Vec<PoolSpec>,
    /// Driver options as given.
    pub options: BTreeMap<String, String>,
    /// `--ipam-opt` as given.
    pub ipam_options: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    /// `--egress-allow`; `None` permits all destinations.
    pub egress: Option<Vec<EgressRule>>,
}

impl NewNetwork {
    /// Validates the name and the combination of families.
    pub fn check(&self) -> Result<(), Failure> {
        check_name(&self.name)?;
        if self.without_v4 && !self.v6 {
            return Err(invalid("IPv4 or IPv6 must be enabled"));
        }
        for (family, is_v6) in [("IPv4", false), ("IPv6", true)] {
            let of_family =
                self.pools.iter().filter(|pool| pool.subnet.is_some_and(|net| net.addr().is_ipv6() == is_v6));
            if of_family.count() > 1 {
                return Err(unsupported(format!("a network has one {family} subnet at most")));
            }
        }
        Ok(())
    }

    /// The subnet settings of one family.
    pub fn pool(&self, is_v6: bool) -> Option<&PoolSpec> {
        self.pools.iter().find(|pool| pool.subnet.is_some_and(|net| net.addr().is_ipv6() == is_v6))
    }
}

/// A valid network name: a letter or digit, then letters, digits, `_`, `.` and `-`; not predefined.
pub fn check_name(name: &str) -> Result<(), Failure> {
    if PREDEFINED.contains(&name) {
        let message = format!("operation is not permitted on predefined {name} network");
        return Err(Failure::new(FailureKind::Denied, message));
    }
    let rest = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    let valid = (1..=200).contains(&name.len())
        && name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
        && name.bytes().all(rest);
    if valid {
        return Ok(());
    }
    Err(invalid(format!(
        "invalid network name \"{}\", only [a-zA-Z0-9][a-zA-Z0-9_.-]* are allowed",
        name.escape_debug()
    )))
}

/// Fails for all drivers except bridge, saying why.
pub fn check_driver(driver: &str) -> Result<(), Failure> {
    match driver {
        "" | "bridge" => Ok(()),
        "host" => Err(Failure::new(FailureKind::Denied, "only one instance of \"host\" network is allowed")),
        "null" | "none" => {
            Err(Failure::new(FailureKind::Denied, "only one instance of \"null\" network is allowed"))
        }
        "overlay" => Err(unsupported(
            "This node is not a swarm manager: the driver overlay is for swarms, and dhow is none",
        )
        .hint("a network of one host is a bridge, the default")),
        "macvlan" | "ipvlan" => Err(unsupported(format!(
            "the driver {driver} puts containers on an interface of the host, which only root may do"
        ))
        .hint("a bridge, the default, publishes ports with -p; --network host shares the host's interfaces")),
        other => {
            let other = other.escape_debug();
            Err(not_found(format!("could not find plugin {other} in v1 plugin registry: plugin not found"))
                .hint("there is the driver bridge"))
        }
    }
}

/// Parsed driver options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DriverOptions {
    /// In bytes.
    pub mtu: Option<u32>,
    /// Containers cannot reach each other.
    pub no_icc: bool,
    /// Options without effect.
    pub warnings: Vec<String>,
}

/// Parses the bridge driver's options. Unsupported options that would affect connectivity are errors, others
/// warnings.
pub fn driver_options(options: &BTreeMap<String, String>) -> Result<DriverOptions, Failure> {
    let mut parsed = DriverOptions::default();
    for (key, value) in options {
        let wrong = || invalid(format!("invalid value for {key}: {}", value.escape_debug()));
        match key.as_str() {
            MTU => {
                // The minimum of IPv4 (RFC 791), and the maximum that the IP length field can express.
                let mtu = value.parse::<u32>().ok().filter(|mtu| *mtu == 0 || (68..=65535).contains(mtu));
                // 0 stands for the default, as in docker.
                parsed.mtu = Some(mtu.ok_or_else(wrong)?).filter(|mtu| *mtu != 0);
            }
            ICC => parsed.no_icc = !boolean::parse_any_case(value).ok_or_else(wrong)?,
            PREFIX if is_prefix(value) => {}
            HOST_BINDING if value.parse::<std::net::IpAddr>().is_ok() => {}
            PREFIX | HOST_BINDING => return Err(wrong()),
            "com.docker.network.bridge.enable_ip_masquerade"
                if boolean::parse_any_case(value) == Some(true) => {}
            "com.docker.network.bridge.gateway_mode_ipv4" | "com.docker.network.bridge.gateway_mode_ipv6"
                if value.is_empty() || value == "nat" => {}
            "com.docker.network.bridge.enable_ip_masquerade"
            | "com.docker.network.bridge.gateway_mode_ipv4"
            | "com.docker.network.bridge.gateway_mode_ipv6"
            | "com.docker.network.bridge.inhibit_ipv4" => {
                return Err(unsupported(format!(
                    "option {key}={}: containers reach the outside as the user who runs them, by the host's own addresses",
                    value.escape_debug()
                )));
            }
            other => parsed.warnings.push(format!("option {} has no effect", other.escape_debug())),
        }
    }
    Ok(parsed)
}

/// The kernel limits names to 15 bytes (IFNAMSIZ), including the number appended.
fn is_prefix(text: &str) -> bool {
    (1..=10).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Result<DriverOptions, Failure> {
        driver_options(&pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn names() {
        for good in ["a", "my_net.1-x", "0"] {
            check_name(good).unwrap();
        }
        for bad in ["", "-a", "a b", "a/b", "..", "bridge", "host", "none", "default", "ä"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn drivers() {
        check_driver("bridge").unwrap();
        for (driver, why) in [
            ("overlay", "swarm"),
            ("macvlan", "only root"),
            ("host", "only one instance"),
            ("none", "only one instance"),
            ("weave", "plugin not found"),
        ] {
            let error = check_driver(driver).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn options_of_the_driver() {
        let read =
            options(&[(MTU, "1400"), (ICC, "false"), ("com.docker.network.bridge.name", "br0")]).unwrap();
        assert_eq!((read.mtu, read.no_icc, read.warnings.len()), (Some(1400), true, 1));
        for bad in [
            (MTU, "12"),
            (MTU, "70000"),
            (ICC, "maybe"),
            (PREFIX, "much too long a name"),
            ("com.docker.network.bridge.enable_ip_masquerade", "false"),
            ("com.docker.network.bridge.gateway_mode_ipv4", "routed"),
        ] {
            assert!(options(&[bad]).is_err(), "{bad:?}");
        }
    }
}
