//! `--network` and the flags for a container's first network, with docker's rules on how they combine. Errors
//! in docker's words.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::csv;
use super::namespace::parse_container;
use crate::container::NetworkMode;
use crate::network::{self, INTERFACE_NAME, MacAddress, NetworkAttachment};
use dhow_error::{Failure, invalid, unsupported};

/// Endpoint option: sysctls of the interface.
const SYSCTLS: &str = "com.docker.network.endpoint.sysctls";

/// The flags as given.
#[derive(Clone, Debug, Default)]
pub struct RawNetworkFlags {
    /// Short or long form.
    pub networks: Vec<String>,
    pub aliases: Vec<String>,
    pub ip: Option<Ipv4Addr>,
    pub ip6: Option<Ipv6Addr>,
    pub mac: Option<MacAddress>,
    pub links: Vec<(String, String)>,
    pub link_local: Vec<IpAddr>,
}

impl RawNetworkFlags {
    /// The network mode and, with [`NetworkMode::Networks`], the networks. The mode is `None` without any
    /// flag.
    pub fn resolve(self) -> Result<(Option<NetworkMode>, Vec<NetworkAttachment>), Failure> {
        if self.is_empty() {
            return Ok((None, Vec::new()));
        }
        let mut networks = self.networks.iter().map(|text| parse(text)).collect::<Result<Vec<_>, _>>()?;
        if networks.is_empty() {
            networks
                .push(NetworkAttachment { network: network::DEFAULT.into(), ..NetworkAttachment::default() });
        }
        if let Some(first) = networks.first_mut() {
            self.merge_into(first)?;
        }
        check_combination(&networks)?;
        // Only a sole network can be other than user-defined, as just checked.
        let Some(first) = networks.first() else { return Ok((None, networks)) };
        let mode = match parse_container(&first.network, "--network")? {
            Some(container) => NetworkMode::Container(container),
            None if first.network == "host" => NetworkMode::Host,
            None if first.network == "none" => NetworkMode::None,
            None => NetworkMode::Networks,
        };
        if mode == NetworkMode::Networks {
            return Ok((Some(mode), networks));
        }
        check_without_networks(&mode, first)?;
        Ok((Some(mode), Vec::new()))
    }

    fn is_empty(&self) -> bool {
        let lists = self.networks.is_empty() && self.aliases.is_empty() && self.links.is_empty();
        lists && self.link_local.is_empty() && self.ip.is_none() && self.ip6.is_none() && self.mac.is_none()
    }

    /// Single-network flags apply to the first network, and must not repeat what its long form sets.
    fn merge_into(self, first: &mut NetworkAttachment) -> Result<(), Failure> {
        let conflict =
            |options: &str| Err(invalid(format!("conflicting options: cannot specify both {options}")));
        if !first.aliases.is_empty() && !self.aliases.is_empty() {
            return conflict("--network-alias and per-network alias");
        }
        if first.ip.is_some() && self.ip.is_some() {
            return conflict("--ip and per-network IPv4 address");
        }
        if first.ip6.is_some() && self.ip6.is_some() {
            return conflict("--ip6 and per-network IPv6 address");
        }
        if first.mac.is_some() && self.mac.is_some() {
            return conflict("--mac-address and per-network MAC address");
        }
        if !first.link_local.is_empty() && !self.link_local.is_empty() {
            return conflict("--link-local-ip and per-network link-local IP addresses");
        }
        first.aliases.extend(self.aliases);
        // The long form has no key for links, so these cannot conflict.
        first.links.extend(self.links);
        first.link_local.extend(self.link_local);
        // At most one of both is set, as checked above.
        first.ip = first.ip.or(self.ip);
        first.ip6 = first.ip6.or(self.ip6);
        first.mac = first.mac.or(self.mac);
        Ok(())
    }
}

/// Whether a network was created by a user.
pub fn is_user_defined(name: &str) -> bool {
    !matches!(name, network::DEFAULT | "default" | "host" | "none") && !name.starts_with("container:")
}

fn check_combination(networks: &[NetworkAttachment]) -> Result<(), Failure> {
    for (index, attachment) in networks.iter().enumerate() {
        if networks.iter().take(index).any(|other| other.network == attachment.network) {
            return Err(invalid(format!(
                "network \"{}\" is specified multiple times",
                attachment.network.escape_debug()
            )));
        }
        if !is_user_defined(&attachment.network) && !attachment.aliases.is_empty() {
            return Err(invalid("network-scoped aliases are only supported for user-defined networks"));
        }
        if !is_user_defined(&attachment.network) && (attachment.ip.is_some() || attachment.ip6.is_some()) {
            return Err(invalid("user specified IP address is supported on user defined networks only"));
        }
    }
    // docker allows several networks only if all are user-defined.
    let user_defined = networks.iter().filter(|attachment| is_user_defined(&attachment.network)).count();
    if user_defined != 0 && user_defined != networks.len() || user_defined == 0 && networks.len() > 1 {
        return Err(invalid(
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
        ));
    }
    Ok(())
}

/// Endpoint settings make no sense without networks.
fn check_without_networks(mode: &NetworkMode, attachment: &NetworkAttachment) -> Result<(), Failure> {
    if !attachment.links.is_empty() {
        let kind = match mode {
            NetworkMode::Container(_) => "container type network",
            NetworkMode::Host => "host type networking",
            _ => return Err(invalid("links are only supported for user-defined networks")),
        };
        let message = format!(
            "conflicting options: {kind} can't be used with links. This would result in undefined behavior"
        );
        return Err(invalid(message));
    }
    if attachment.mac.is_some() {
        return Err(invalid("conflicting options: mac-address and the network mode"));
    }
    if !attachment.link_local.is_empty()
        || !attachment.driver_options.is_empty()
        || attachment.gateway_priority != 0
    {
        return Err(invalid("conflicting options: options of a network and the network mode"));
    }
    Ok(())
}

/// Parses a `--network`: a name or ID, or `name=NAME,alias=…,…`.
pub fn parse(text: &str) -> Result<NetworkAttachment, Failure> {
    if !text.contains('=') {
        if text.trim().is_empty() {
            return Err(invalid("--network: no name set for network"));
        }
        return Ok(NetworkAttachment { network: text.to_owned(), ..NetworkAttachment::default() });
    }
    let malformed = |why: String| invalid(format!("invalid --network `{}`: {why}", text.escape_debug()));
    let mut attachment = NetworkAttachment::default();
    for field in csv::fields(text)? {
        let (key, value) = field
            .split_once('=')
            .ok_or_else(|| malformed(format!("invalid field {}", field.escape_debug())))?;
        let value = value.trim();
        match key.trim().to_ascii_lowercase().as_str() {
            "name" => value.clone_into(&mut attachment.network),
            "alias" => attachment.aliases.push(value.to_owned()),
            "ip" => attachment.ip = Some(parse_v4(value)?),
            "ip6" => attachment.ip6 = Some(parse_v6(value)?),
            "mac-address" => attachment.mac = Some(value.parse().map_err(malformed)?),
            "link-local-ip" => attachment.link_local.push(parse_link_local(value)?),
            "driver-opt" => {
                let (name, value) = parse_driver_option(value)?;
                attachment.driver_options.insert(name, value);
            }
            "gw-priority" => {
                let wrong = |_| malformed(format!("invalid gw-priority: {}", value.escape_debug()));
                attachment.gateway_priority = value.parse().map_err(wrong)?;
            }
            other => return Err(malformed(format!("invalid field key {}", other.escape_debug()))),
        }
    }
    if attachment.network.is_empty() {
        return Err(malformed("no name set for network".into()));
    }
    Ok(attachment)
}

/// Validates endpoint options; returns warnings.
pub fn check_driver_options(options: &BTreeMap<String, String>) -> Result<Vec<String>, Failure> {
    let mut warnings = Vec::new();
    for (name, value) in options {
        match name.as_str() {
            INTERFACE_NAME if is_interface(value) => {}
            INTERFACE_NAME => {
                return Err(invalid(format!("invalid name of an interface: {}", value.escape_debug())));
            }
            SYSCTLS => {
                return Err(unsupported(format!("driver option {SYSCTLS} is not known to this version"))
                    .hint("--sysctl sets those of all interfaces, such as net.ipv4.conf.all.log_martians"));
            }
            other => warnings.push(format!("driver option {} has no effect", other.escape_debug())),
        }
    }
    Ok(warnings)
}

/// A valid interface name for the kernel (`dev_valid_name`, net/core/dev.c), except `lo`.
fn is_interface(name: &str) -> bool {
    let bad = |byte: u8| !byte.is_ascii_graphic() || b"/:%".contains(&byte);
    (1..=15).contains(&name.len()) && !["lo", ".", ".."].contains(&name) && !name.bytes().any(bad)
}

/// `NAME=VALUE` of `--driver-opt`.
pub fn parse_driver_option(text: &str) -> Result<(String, String), Failure> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err(invalid("invalid key value pair format in driver options")),
    }
}

/// `--ip`.
pub fn parse_v4(text: &str) -> Result<Ipv4Addr, Failure> {
    text.trim().parse().map_err(|_| invalid(format!("invalid IPv4 address: {}", text.escape_debug())))
}

/// `--ip6`.
pub fn parse_v6(text: &str) -> Result<Ipv6Addr, Failure> {
    text.trim().parse().map_err(|_| invalid(format!("invalid IPv6 address: {}", text.escape_debug())))
}

/// `--link-local-ip`: 169.254.0.0/16 (RFC 3927) or fe80::/10 (RFC 4291).
pub fn parse_link_local(text: &str) -> Result<IpAddr, Failure> {
    let is_local = |address: &IpAddr| match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    let address = text.trim().parse().ok().filter(is_local);
    address.ok_or_else(|| invalid(format!("invalid link-local IP address: {}", text.escape_debug())))
}

/// `--link CONTAINER[:ALIAS]`.
pub fn parse_link(text: &str) -> Result<(String, String), Failure> {
    if text.is_empty() {
        return Err(invalid("empty string specified for links"));
    }
    let (container, alias) = text.split_once(':').unwrap_or((text, text));
    // docker's listings prefix names with a slash.
    let container = container.strip_prefix('/').unwrap_or(container);
    let alias = alias.rsplit('/').next().unwrap_or(alias);
    if container.is_empty() || alias.is_empty() || alias.contains(':') {
        return Err(invalid(format!("bad format for links: {}", text.escape_debug())));
    }
    Ok((container.to_owned(), alias.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> RawNetworkFlags {
        RawNetworkFlags {
            networks: texts.iter().map(|text| (*text).to_owned()).collect(),
            ..RawNetworkFlags::default()
        }
    }

    fn refused(flags: RawNetworkFlags, why: &str) {
        let error = flags.clone().resolve().unwrap_err().to_string();
        assert!(error.contains(why), "{flags:?}: {error}");
    }

    #[test]
    fn modes() {
        let mode = |texts: &[&str]| networks(texts).resolve().unwrap().0;
        assert_eq!(mode(&[]), None);
        assert_eq!(mode(&["none"]), Some(NetworkMode::None));
        assert_eq!(mode(&["name=host"]), Some(NetworkMode::Host));
        assert_eq!(mode(&["container:x"]), Some(NetworkMode::Container("x".into())));
        assert_eq!(mode(&["default"]), Some(NetworkMode::Networks));
        assert_eq!(mode(&["bridge"]), Some(NetworkMode::Networks));
        let (mode, both) = networks(&["one", "two"]).resolve().unwrap();
        assert_eq!(mode, Some(NetworkMode::Networks));
        assert_eq!(both.iter().map(|one| one.network.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    }

    #[test]
    fn the_long_form_says_everything() {
        let text = "name=back,alias=db,alias=Store,ip=198.51.100.9,ip6=2001:db8::9,mac-address=02:42:c6:33:64:09,\
                    link-local-ip=169.254.1.1,driver-opt=a=b,gw-priority=-2";
        let read = parse(text).unwrap();
        assert_eq!(
            (read.network.as_str(), read.aliases.as_slice()),
            ("back", ["db".into(), "Store".into()].as_slice())
        );
        assert_eq!(read.ip.unwrap().to_string(), "198.51.100.9");
        assert_eq!(read.ip6.unwrap().to_string(), "2001:db8::9");
        assert_eq!(read.mac.unwrap().to_string(), "02:42:c6:33:64:09");
        assert_eq!(read.link_local, ["169.254.1.1".parse::<IpAddr>().unwrap()]);
        assert_eq!((read.driver_options["a"].as_str(), read.gateway_priority), ("b", -2));
        for bad in [
            "",
            " ",
            "alias=x",
            "name=x,foo=bar",
            "name=x,alias",
            "name=x,ip=::1",
            "name=x,ip6=1.2.3.4",
            "name=x,mac-address=1",
            "name=x,gw-priority=high",
            "name=x,link-local-ip=192.0.2.1",
            "name=x,driver-opt=a",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let ip = Some(Ipv4Addr::new(198, 51, 100, 9));
        let link = vec![("db".to_owned(), "store".to_owned())];
        let mac = "02:42:c6:33:64:09".parse::<MacAddress>().ok();
        refused(networks(&["one", "one"]), "network \"one\" is specified multiple times");
        for mix in [["one", "bridge"], ["host", "one"], ["none", "host"], ["container:x", "one"]] {
            refused(networks(&mix), "both user-defined and non-user-defined");
        }
        for name in ["bridge", "default", "host", "none", "container:x"] {
            refused(RawNetworkFlags { ip, ..networks(&[name]) }, "user defined networks only");
            refused(
                RawNetworkFlags { aliases: vec!["a".into()], ..networks(&[name]) },
                "user-defined networks",
            );
        }
        refused(RawNetworkFlags { ip, ..RawNetworkFlags::default() }, "user defined networks only");
        refused(
            RawNetworkFlags { ip, ..networks(&["name=one,ip=198.51.100.8"]) },
            "--ip and per-network IPv4",
        );
        refused(
            RawNetworkFlags { mac, ..networks(&["name=one,mac-address=02:42:c6:33:64:08"]) },
            "--mac-address",
        );
        refused(RawNetworkFlags { links: link.clone(), ..networks(&["host"]) }, "host type networking");
        refused(
            RawNetworkFlags { links: link.clone(), ..networks(&["container:x"]) },
            "container type network",
        );
        refused(RawNetworkFlags { mac, ..networks(&["host"]) }, "mac-address and the network mode");
        let (mode, networks) =
            RawNetworkFlags { links: link, mac, ..RawNetworkFlags::default() }.resolve().unwrap();
        assert_eq!((mode, networks[0].network.as_str()), (Some(NetworkMode::Networks), "bridge"));
        assert_eq!(networks[0].mac, mac);
    }

    #[test]
    fn options_of_a_place_are_known_or_named() {
        let check =
            |name: &str, value: &str| check_driver_options(&[(name.to_owned(), value.to_owned())].into());
        assert_eq!(check(INTERFACE_NAME, "up0").unwrap(), [""; 0]);
        assert_eq!(check("colour", "red").unwrap(), ["driver option colour has no effect"]);
        for bad in ["", "lo", "a/b", "sixteen-letters-", "a b"] {
            assert!(check(INTERFACE_NAME, bad).is_err(), "{bad}");
        }
        assert!(check(SYSCTLS, "x=1").is_err());
    }

    #[test]
    fn links() {
        let link = |text: &str| parse_link(text).map(|(a, b)| format!("{a} {b}"));
        assert_eq!(link("db").unwrap(), "db db");
        assert_eq!(link("db:store").unwrap(), "db store");
        assert_eq!(link("/db:/web/store").unwrap(), "db store");
        for bad in ["", ":", "db:", ":x", "a:b:c"] {
            assert!(link(bad).is_err(), "{bad}");
        }
    }
}
