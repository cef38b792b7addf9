//! The egress policy: what the containers of one network may reach. Implements [`FlowPolicy`].
//!
//! # Rules
//!
//! - The host's loopback, and every other address that means the host itself to the host's kernel, is
//!   refused. The gateway's own address leads to the host's loopback for containers with `--add-host
//!   NAME:host-gateway`; for others it is refused, too.
//! - Addresses of the network's own subnets do not leave it, and nothing leaves an internal network.
//! - With `--egress-allow`, only what a rule names is reached. A rule for a name allows the addresses that
//!   the network's own DNS gave to one of its containers for this name, CNAMEs included, until their TTL
//!   expires and some minutes longer ([`learned`]). All names are resolved, allowed or not: the policy holds
//!   connections back, not what a container can leak through DNS queries.
//! - A packet whose source is no container's address is refused: nobody would be accountable for it.
//!
//! Everything is refused at once, as a closed port would.

pub(crate) mod learned;
pub(crate) mod log;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Instant;

use ipnet::IpNet;

use self::learned::LearnedAddresses;
use self::log::{EgressLog, EgressRecord};
use super::policy::{EgressFlow, FlowPolicy, FlowProtocol, FlowVerdict};
use super::sync::{lock, read_lock, write_lock};
use dhow_model::network::{self, NetworkSpec};

/// Names remembered for the log, per container.
const MAX_RESOLVED_NAMES: usize = 1024;

/// The egress policy of one network.
#[derive(Debug)]
pub(crate) struct EgressPolicy {
    internal: bool,
    subnets: Vec<IpNet>,
    gateways: Vec<IpAddr>,
    rules: Option<Vec<network::EgressRule>>,
    members: RwLock<HashMap<IpAddr, Arc<MemberEntry>>>,
    learned: RwLock<LearnedAddresses>,
}

/// A container on the network.
#[derive(Clone, Debug, Default)]
pub(crate) struct EgressMember {
    pub name: String,
    /// All of its addresses on the network.
    pub addresses: Vec<IpAddr>,
    /// Whether the gateway's address leads to the host's loopback.
    pub host_gateway: bool,
    /// Its egress log, if it has one.
    pub log: Option<Arc<EgressLog>>,
}

#[derive(Debug)]
struct MemberEntry {
    member: EgressMember,
    /// For the log: the name that was resolved to an address.
    resolved: Mutex<HashMap<IpAddr, String>>,
}

/// A container's membership in the network; dropping it ends the membership.
#[derive(Debug)]
pub(crate) struct EgressMembership {
    network: Arc<EgressPolicy>,
    entry: Arc<MemberEntry>,
}

impl EgressPolicy {
    /// The policy of the network `spec`.
    pub(crate) fn new(spec: &NetworkSpec) -> Arc<Self> {
        let (v4, v6) = (spec.v4.as_ref(), spec.v6.as_ref());
        let nets = [v4.map(|subnet| IpNet::from(subnet.net)), v6.map(|subnet| IpNet::from(subnet.net))];
        let gateways = [v4.map(|subnet| subnet.gateway.into()), v6.map(|subnet| subnet.gateway.into())];
        Arc::new(Self {
            internal: spec.internal,
            subnets: nets.into_iter().flatten().collect(),
            gateways: gateways.into_iter().flatten().collect(),
            rules: spec.egress.clone(),
            members: RwLock::default(),
            learned: RwLock::default(),
        })
    }

    /// Adds a container. Must be called before its first packet. Takes its addresses over from previous
    /// members.
    pub(crate) fn join(self: &Arc<Self>, member: EgressMember) -> EgressMembership {
        let entry = Arc::new(MemberEntry { member, resolved: Mutex::default() });
        let mut members = write_lock(&self.members);
        for address in &entry.member.addresses {
            members.insert(*address, Arc::clone(&entry));
        }
        drop(members);
        EgressMembership { network: Arc::clone(self), entry }
    }

    pub(crate) fn restricts(&self) -> bool {
        self.rules.is_some()
    }

    /// Records that DNS is about to tell the container with the address `client` that `name` (lower case, no
    /// trailing dot) has these addresses, each with its TTL in seconds. Answers of a server that the
    /// container could influence are not `trusted`, and allow nothing.
    pub(crate) fn learn_answer(
        &self,
        client: IpAddr,
        name: &str,
        addresses: &[(IpAddr, u32)],
        trusted: bool,
    ) {
        if let Some(entry) = self.member(client)
            && entry.member.log.is_some()
        {
            let mut resolved = lock(&entry.resolved);
            if resolved.len() + addresses.len() > MAX_RESOLVED_NAMES {
                // For the log only: what is forgotten is logged without a name.
                resolved.clear();
            }
            resolved.extend(addresses.iter().map(|(address, _)| (*address, name.to_owned())));
        }
        let rules = self.rules.iter().flatten().enumerate();
        let allowing =
            rules.filter(|(_, rule)| trusted && rule.host.allows_name(name)).map(|(index, _)| index);
        for index in allowing {
            let mut learned = write_lock(&self.learned);
            let now = Instant::now();
            for (address, seconds) in addresses {
                learned.learn(*address, index, *seconds, now);
            }
        }
    }

    fn member(&self, address: IpAddr) -> Option<Arc<MemberEntry>> {
        read_lock(&self.members).get(&address).cloned()
    }

    fn decide(&self, flow: &EgressFlow, member: &EgressMember) -> FlowVerdict {
        let address = flow.target.ip();
        if is_never_allowed(address) || !self.allows(flow) {
            return FlowVerdict::Refuse;
        }
        if self.gateways.contains(&address) {
            let host: IpAddr = match address {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            };
            return match member.host_gateway {
                true => FlowVerdict::Pass((host, flow.target.port()).into()),
                false => FlowVerdict::Refuse,
            };
        }
        if self.subnets.iter().any(|net| net.contains(&address)) {
            return FlowVerdict::Refuse;
        }
        FlowVerdict::Pass(flow.target)
    }

    /// Whether the network's rules allow it.
    fn allows(&self, flow: &EgressFlow) -> bool {
        if self.internal {
            return false;
        }
        let Some(rules) = &self.rules else { return true };
        let address = flow.target.ip();
        // Echo requests have no port, so any rule for the host applies.
        let port = |rule: &network::EgressRule| {
            flow.protocol == FlowProtocol::Echo || rule.port.is_none_or(|port| port == flow.target.port())
        };
        if rules.iter().any(|rule| rule.host.allows_address(address) && port(rule)) {
            return true;
        }
        let learned = read_lock(&self.learned);
        learned.rules(address, Instant::now()).any(|at| rules.get(at).is_some_and(port))
    }
}

/// Addresses that are never connected to: to the host's kernel they mean the host itself, everyone on a link,
/// or nothing without an interface.
fn is_never_allowed(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            // 0.0.0.0/8 is "this network", and 0.0.0.0 is the host itself (RFC 1122, section 3.2.1.3).
            let this_network = address.octets().first() == Some(&0);
            this_network || address.is_loopback() || address.is_multicast() || address.is_broadcast()
        }
        IpAddr::V6(address) => {
            // to_ipv4() covers ::, ::1, IPv4-compatible and IPv4-mapped addresses.
            let embedded = address.to_ipv4().is_some();
            embedded || address.is_multicast() || address.is_unicast_link_local()
        }
    }
}

impl FlowPolicy for EgressPolicy {
    fn judge(&self, flow: &EgressFlow) -> FlowVerdict {
        let Some(entry) = self.member(flow.source.ip()) else { return FlowVerdict::Refuse };
        let verdict = self.decide(flow, &entry.member);
        if verdict == FlowVerdict::Refuse {
            entry.write(flow, "denied", None);
        }
        verdict
    }

    fn note(&self, flow: &EgressFlow, outcome: Result<(), &io::Error>) {
        let Some(entry) = self.member(flow.source.ip()) else { return };
        match outcome {
            Ok(()) => entry.write(flow, "reached", None),
            // Logged when it was judged.
            Err(_) if self.decide(flow, &entry.member) == FlowVerdict::Refuse => {}
            Err(error) => entry.write(flow, "failed", Some(error.to_string())),
        }
    }
}

impl MemberEntry {
    fn write(&self, flow: &EgressFlow, result: &'static str, error: Option<String>) {
        let Some(log) = &self.member.log else { return };
        let (kind, address) = match flow.protocol {
            FlowProtocol::Tcp => ("tcp", flow.target.to_string()),
            FlowProtocol::Udp => ("udp", flow.target.to_string()),
            FlowProtocol::Echo => ("icmp", flow.target.ip().to_string()),
        };
        let name = lock(&self.resolved).get(&flow.target.ip()).cloned();
        let container = self.member.name.clone();
        log.record(EgressRecord {
            container,
            kind,
            name,
            record: None,
            address: Some(address),
            result,
            error,
        });
    }
}

impl EgressMembership {
    /// Renames the container. The names that it resolved are kept.
    pub(crate) fn rename(&mut self, name: &str) {
        let member = EgressMember { name: name.to_owned(), ..self.entry.member.clone() };
        let resolved = std::mem::take(&mut *lock(&self.entry.resolved));
        let renamed = Arc::new(MemberEntry { member, resolved: Mutex::new(resolved) });
        let mut members = write_lock(&self.network.members);
        for entry in members.values_mut().filter(|entry| Arc::ptr_eq(entry, &self.entry)) {
            *entry = Arc::clone(&renamed);
        }
        drop(members);
        self.entry = renamed;
    }
}

impl Drop for EgressMembership {
    fn drop(&mut self) {
        let mut members = write_lock(&self.network.members);
        // An address may belong to a later member by now.
        members.retain(|_, entry| !Arc::ptr_eq(entry, &self.entry));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use dhow_model::egress;
    use dhow_model::network::SubnetSpec;

    fn spec(rules: Option<&[&str]>) -> NetworkSpec {
        let subnet = |net: &str, gateway: &str| (net.parse().unwrap(), gateway.parse().unwrap());
        let (net, gateway) = subnet("198.51.100.0/24", "198.51.100.1");
        let v4 = SubnetSpec {
            net: match net {
                IpNet::V4(net) => net,
                IpNet::V6(_) => panic!(),
            },
            gateway,
            range: None,
            reserved: Default::default(),
        };
        let v6 = SubnetSpec {
            net: "2001:db8:1::/64".parse().unwrap(),
            gateway: "2001:db8:1::1".parse().unwrap(),
            range: None,
            reserved: Default::default(),
        };
        let egress = rules.map(|rules| rules.iter().map(|rule| egress::parse(rule).unwrap()).collect());
        NetworkSpec { v4: Some(v4), v6: Some(v6), egress, ..NetworkSpec::default() }
    }

    fn flow(kind: FlowProtocol, target: &str) -> EgressFlow {
        let target: std::net::SocketAddr = target.parse().unwrap();
        let source = if target.is_ipv4() { "198.51.100.2:4000" } else { "[2001:db8:1::2]:4000" };
        EgressFlow { protocol: kind, source: source.parse().unwrap(), target }
    }

    fn judge(egress: &EgressPolicy, target: &str) -> String {
        match egress.judge(&flow(FlowProtocol::Tcp, target)) {
            FlowVerdict::Pass(to) if to.to_string() == target => "pass".into(),
            FlowVerdict::Pass(to) => to.to_string(),
            FlowVerdict::Refuse => "refuse".into(),
        }
    }

    fn member(host_gateway: bool) -> EgressMember {
        let addresses = vec!["198.51.100.2".parse().unwrap(), "2001:db8:1::2".parse().unwrap()];
        EgressMember { name: "web".into(), addresses, host_gateway, log: None }
    }

    #[test]
    fn the_host_is_out_of_reach_except_through_the_gateway_for_those_who_may() {
        let egress = EgressPolicy::new(&spec(None));
        assert_eq!(judge(&egress, "192.0.2.1:80"), "refuse", "nobody has joined");
        let membership = egress.join(member(false));
        for target in
            ["192.0.2.1:80", "[2001:db8::1]:80", "10.0.0.1:1", "169.254.1.1:80", "255.255.255.254:1"]
        {
            assert_eq!(judge(&egress, target), "pass", "{target}");
        }
        for target in [
            "127.0.0.1:80",
            "127.255.255.255:80",
            "0.0.0.0:80",
            "0.1.2.3:80",
            "224.0.0.1:80",
            "239.1.1.1:80",
            "255.255.255.255:80",
            "[::]:80",
            "[::1]:80",
            "[::ffff:127.0.0.1]:80",
            "[::ffff:192.0.2.1]:80",
            "[::127.0.0.1]:80",
            "[ff02::1]:80",
            "[fe80::1]:80",
            "198.51.100.1:80",
            "198.51.100.77:80",
            "198.51.100.255:80",
            "[2001:db8:1::1]:80",
            "[2001:db8:1::9]:80",
        ] {
            assert_eq!(judge(&egress, target), "refuse", "{target}");
        }
        drop(membership);
        assert_eq!(judge(&egress, "192.0.2.1:80"), "refuse", "it has left");
        let _stay = egress.join(member(true));
        assert_eq!(judge(&egress, "198.51.100.1:80"), "127.0.0.1:80");
        assert_eq!(judge(&egress, "[2001:db8:1::1]:443"), "[::1]:443");
        assert_eq!(judge(&egress, "127.0.0.1:80"), "refuse");
    }

    #[test]
    fn an_internal_network_has_no_way_out() {
        let egress = EgressPolicy::new(&NetworkSpec { internal: true, ..spec(None) });
        let _stay = egress.join(member(true));
        for target in ["192.0.2.1:80", "198.51.100.1:80", "[2001:db8::1]:80"] {
            assert_eq!(judge(&egress, target), "refuse", "{target}");
        }
    }

    #[test]
    fn rules_hold_for_addresses_ports_and_names_that_were_answered() {
        let rules = [
            "203.0.113.0/28",
            "[2001:db8:2::/48]:443",
            "example.org:443",
            "*.example.org",
            "127.0.0.1",
            "198.51.100.0/24",
        ];
        let egress = EgressPolicy::new(&spec(Some(&rules)));
        let _stay = egress.join(member(true));
        for target in ["203.0.113.15:1", "[2001:db8:2::9]:443", "198.51.100.1:80"] {
            assert_ne!(judge(&egress, target), "refuse", "{target}");
        }
        let denied =
            ["203.0.113.16:1", "[2001:db8:2::9]:80", "127.0.0.1:80", "198.51.100.3:80", "192.0.2.1:443"];
        for target in denied {
            assert_eq!(judge(&egress, target), "refuse", "{target}");
        }
        let asker = "198.51.100.2".parse().unwrap();
        let answer = |last: u8| [(IpAddr::from([192, 0, 2, last]), 60)];
        egress.learn_answer(asker, "example.org", &answer(1), true);
        egress.learn_answer(asker, "example.org", &answer(2), false);
        egress.learn_answer(asker, "a.example.org", &answer(3), true);
        egress.learn_answer(asker, "example.com", &answer(4), true);
        egress.learn_answer(asker, "example.org", &[("127.0.0.1".parse().unwrap(), 60)], true);
        for (target, expected) in [
            ("192.0.2.1:443", "pass"),
            ("192.0.2.1:80", "refuse"),
            ("192.0.2.2:443", "refuse"),
            ("192.0.2.3:80", "pass"),
            ("192.0.2.4:443", "refuse"),
            ("127.0.0.1:443", "refuse"),
        ] {
            assert_eq!(judge(&egress, target), expected, "{target}");
        }
        assert_ne!(egress.judge(&flow(FlowProtocol::Echo, "192.0.2.1:0")), FlowVerdict::Refuse);
    }

    #[test]
    fn the_log_tells_what_was_asked_for_and_reached() {
        let (mut reader, writer) = io::pipe().unwrap();
        let egress = EgressPolicy::new(&spec(Some(&["example.org"])));
        let membership = egress
            .join(EgressMember { log: Some(EgressLog::start(writer.into()).unwrap()), ..member(false) });
        egress.learn_answer(
            "198.51.100.2".parse().unwrap(),
            "example.org",
            &[("192.0.2.1".parse().unwrap(), 60)],
            true,
        );
        for target in ["192.0.2.1:443", "192.0.2.9:53"] {
            egress.judge(&flow(FlowProtocol::Udp, target));
        }
        egress.note(&flow(FlowProtocol::Udp, "192.0.2.9:53"), Err(&io::Error::from_raw_os_error(111)));
        egress.note(&flow(FlowProtocol::Tcp, "192.0.2.1:443"), Ok(()));
        egress.note(&flow(FlowProtocol::Tcp, "192.0.2.1:80"), Err(&io::Error::from_raw_os_error(111)));
        egress.judge(&flow(FlowProtocol::Echo, "192.0.2.9:0"));
        drop(membership);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        let lines: Vec<&str> = text.lines().map(|line| line.split_once("\"container\"").unwrap().1).collect();
        assert_eq!(
            lines,
            [
                r#":"web","kind":"udp","address":"192.0.2.9:53","result":"denied"}"#,
                r#":"web","kind":"tcp","name":"example.org","address":"192.0.2.1:443","result":"reached"}"#,
                r#":"web","kind":"tcp","name":"example.org","address":"192.0.2.1:80","result":"failed","error":"Connection refused (os error 111)"}"#,
                r#":"web","kind":"icmp","address":"192.0.2.9","result":"denied"}"#,
            ]
        );
    }
}
