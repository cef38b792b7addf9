//! Address management (IPAM) of networks: parsing the subnet flags by docker's rules, and the pool of
//! addresses that containers of a subnet may get.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::network::SubnetSpec;
use dhow_error::{Failure, invalid};

/// docker's default pools (`default-address-pools`): base, prefix length, and prefix length of the subnets
/// cut from it.
const POOLS: [(Ipv4Addr, u8, u8); 6] = [
    (Ipv4Addr::new(172, 17, 0, 0), 16, 16),
    (Ipv4Addr::new(172, 18, 0, 0), 16, 16),
    (Ipv4Addr::new(172, 19, 0, 0), 16, 16),
    (Ipv4Addr::new(172, 20, 0, 0), 14, 16),
    (Ipv4Addr::new(172, 24, 0, 0), 13, 16),
    (Ipv4Addr::new(192, 168, 0, 0), 16, 20),
];

/// What the flags say about one subnet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolSpec {
    pub subnet: Option<IpNet>,
    /// `--ip-range`: allocate only from this part.
    pub range: Option<IpNet>,
    pub gateway: Option<IpAddr>,
    /// `--aux-address`: reserved addresses, by name.
    pub reserved: BTreeMap<String, IpAddr>,
}

/// Combines `--subnet`, `--ip-range`, `--gateway` and `--aux-address`; the latter three belong to the subnet
/// that contains them. Errors in docker's words.
pub fn consolidate(
    subnets: &[String],
    ranges: &[String],
    gateways: &[String],
    reserved: &[(String, String)],
) -> Result<Vec<PoolSpec>, Failure> {
    // docker pairs the flags by address, but never allows more of them than subnets.
    if subnets.len() < ranges.len() || subnets.len() < gateways.len() {
        return Err(invalid("every ip-range or gateway must have a corresponding subnet"));
    }
    let mut pools: Vec<PoolSpec> = Vec::new();
    for text in subnets {
        let net = parse_net(text)?;
        if pools.iter().filter_map(|pool| pool.subnet).any(|other| overlap(&other, &net)) {
            return Err(invalid("multiple overlapping subnet configuration is not supported"));
        }
        if net.trunc() != net {
            return Err(malformed(&format!("invalid subnet {net}: it should be {}", net.trunc())));
        }
        if is_special(&net) {
            return Err(malformed(&format!("invalid subnet {net}: its addresses are not those of hosts")));
        }
        pools.push(PoolSpec { subnet: Some(net), ..PoolSpec::default() });
    }
    for text in ranges {
        let range = parse_net(text)?;
        let (pool, net) = find_pool(&mut pools, range.network(), || format!("range {text}"))?;
        if let Some(other) = pool.range.replace(range) {
            return Err(invalid(format!(
                "cannot configure multiple ranges ({range}, {other}) on the same subnet ({net})"
            )));
        }
        if range.trunc() != range {
            return Err(malformed(&format!("invalid ip-range {range}: it should be {}", range.trunc())));
        }
        // Its network address is in the subnet, so only a shorter prefix can make it exceed the subnet.
        if range.prefix_len() < net.prefix_len() {
            let why = format!("CIDR block is bigger than its parent subnet {net}");
            return Err(malformed(&format!("invalid ip-range {range}: {why}")));
        }
    }
    for text in gateways {
        let gateway = parse_ip(text)?;
        let (pool, net) = find_pool(&mut pools, gateway, || format!("gateway {text}"))?;
        if let Some(other) = pool.gateway.replace(gateway) {
            return Err(invalid(format!(
                "cannot configure multiple gateways ({gateway}, {other}) for the same subnet ({net})"
            )));
        }
    }
    for (name, text) in reserved {
        let address = parse_ip(text)?;
        let (pool, _) = find_pool(&mut pools, address, || format!("aux-address {text}"))?;
        pool.reserved.insert(name.clone(), address);
    }
    Ok(pools)
}

/// Whether it overlaps ranges that an interface cannot use: loopback, multicast, reserved, link-local (RFC
/// 6890).
fn is_special(net: &IpNet) -> bool {
    let v4 = [[0, 0, 0, 0], [127, 0, 0, 0], [224, 0, 0, 0], [240, 0, 0, 0]].into_iter().zip([8, 8, 4, 4]);
    let v4 = v4.filter_map(|(base, length)| Some(IpNet::V4(Ipv4Net::new(base.into(), length).ok()?)));
    // ::/80 holds the unspecified address, loopback and the IPv4-mapped addresses.
    let v6 = [0, 0xff00, 0xfe80].into_iter().zip([80, 8, 10]);
    let v6 = v6.filter_map(|(first, length)| {
        Some(IpNet::V6(Ipv6Net::new([first, 0, 0, 0, 0, 0, 0, 0].into(), length).ok()?))
    });
    v4.chain(v6).any(|special| overlap(&special, net))
}

fn find_pool(
    pools: &mut [PoolSpec],
    address: IpAddr,
    describe: impl Fn() -> String,
) -> Result<(&mut PoolSpec, IpNet), Failure> {
    let pool = pools.iter_mut().find_map(|pool| {
        let net = pool.subnet.filter(|net| net.contains(&address))?;
        Some((pool, net))
    });
    pool.ok_or_else(|| invalid(format!("no matching subnet for {}", describe().escape_debug())))
}

fn parse_net(text: &str) -> Result<IpNet, Failure> {
    text.parse().map_err(|_| invalid(format!("invalid CIDR address: {}", text.escape_debug())))
}

fn parse_ip(text: &str) -> Result<IpAddr, Failure> {
    text.parse().map_err(|_| invalid(format!("invalid IP address: {}", text.escape_debug())))
}

fn malformed(why: &str) -> Failure {
    invalid(format!("invalid network config: {why}"))
}

/// Whether the blocks have an address in common; CIDR blocks do only if one contains the other.
pub fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}

/// docker's default subnets, in its order of allocation.
pub fn default_subnets() -> impl Iterator<Item = Ipv4Net> {
    POOLS.into_iter().flat_map(|(base, length, size)| {
        // The lengths in the table are valid, so no entry is dropped.
        Ipv4Net::new(base, length).into_iter().flat_map(move |pool| pool.subnets(size).into_iter().flatten())
    })
}

/// A unique local prefix (RFC 4193, section 3.2.2) with the given random bits.
pub fn local_prefix(random: [u8; 7]) -> Ipv6Net {
    let [a, b, c, d, e, f, g] = random;
    let base = Ipv6Addr::from([0xfd, a, b, c, d, e, f, g, 0, 0, 0, 0, 0, 0, 0, 0]);
    // Cannot fail: 64 is a valid length.
    Ipv6Net::new(base, 64).unwrap_or_default()
}

impl SubnetSpec<Ipv4Net, Ipv4Addr> {
    /// The subnet `net` with the requested gateway and range; the gateway defaults to its first address.
    pub fn v4(net: Ipv4Net, spec: &PoolSpec) -> Result<Self, Failure> {
        let pool = UsableRange::v4(net).within(spec, IpNet::V4(net))?;
        let v4 = |address: &IpAddr| match address {
            IpAddr::V4(address) => Some(*address),
            IpAddr::V6(_) => None,
        };
        Ok(Self {
            net,
            gateway: spec.gateway.as_ref().and_then(v4).unwrap_or(Ipv4Addr::from_bits(narrow(pool.first))),
            range: match spec.range {
                Some(IpNet::V4(range)) => Some(range),
                _ => None,
            },
            reserved: of_family(&spec.reserved, v4),
        })
    }

    /// The addresses available to containers.
    pub fn pool(&self) -> AddressPool {
        let mut block = UsableRange::v4(self.net);
        if let Some(range) = self.range {
            block.narrow(range.network().to_bits().into(), range.broadcast().to_bits().into());
        }
        let excluded = self.reserved.values().chain([&self.gateway]).map(|a| a.to_bits().into()).collect();
        AddressPool { first: block.first, last: block.last, excluded }
    }
}

impl SubnetSpec<Ipv6Net, Ipv6Addr> {
    /// The subnet `net` with the requested gateway and range; the gateway defaults to its first address.
    pub fn v6(net: Ipv6Net, spec: &PoolSpec) -> Result<Self, Failure> {
        let pool = UsableRange::v6(net).within(spec, IpNet::V6(net))?;
        let v6 = |address: &IpAddr| match address {
            IpAddr::V6(address) => Some(*address),
            IpAddr::V4(_) => None,
        };
        Ok(Self {
            net,
            gateway: spec.gateway.as_ref().and_then(v6).unwrap_or(Ipv6Addr::from_bits(pool.first)),
            range: match spec.range {
                Some(IpNet::V6(range)) => Some(range),
                _ => None,
            },
            reserved: of_family(&spec.reserved, v6),
        })
    }

    /// The addresses available to containers.
    pub fn pool(&self) -> AddressPool {
        let mut block = UsableRange::v6(self.net);
        if let Some(range) = self.range {
            block.narrow(range.network().to_bits(), range.broadcast().to_bits());
        }
        let excluded = self.reserved.values().chain([&self.gateway]).map(|a| a.to_bits()).collect();
        AddressPool { first: block.first, last: block.last, excluded }
    }
}

fn of_family<A>(
    addresses: &BTreeMap<String, IpAddr>,
    family: impl Fn(&IpAddr) -> Option<A>,
) -> BTreeMap<String, A> {
    addresses.iter().filter_map(|(name, address)| Some((name.clone(), family(address)?))).collect()
}

/// The low 32 bits: an IPv4 address.
fn narrow(bits: u128) -> u32 {
    u32::try_from(bits & u128::from(u32::MAX)).unwrap_or_default()
}

/// The usable addresses of a subnet: without the network address and, for IPv4, the broadcast address.
struct UsableRange {
    first: u128,
    last: u128,
}

impl UsableRange {
    fn v4(net: Ipv4Net) -> Self {
        let bits = |address: Ipv4Addr| u128::from(address.to_bits());
        Self { first: bits(net.network()) + 1, last: bits(net.broadcast()).saturating_sub(1) }
    }

    fn v6(net: Ipv6Net) -> Self {
        Self { first: net.network().to_bits().saturating_add(1), last: net.broadcast().to_bits() }
    }

    fn narrow(&mut self, first: u128, last: u128) {
        self.first = self.first.max(first);
        self.last = self.last.min(last);
    }

    /// Checks that there is room for a gateway and a container, and that the requested gateway is usable.
    fn within(self, spec: &PoolSpec, net: IpNet) -> Result<Self, Failure> {
        // One address for the gateway and at least one for a container.
        if self.first >= self.last {
            return Err(malformed(&format!("subnet {net} has no room for a gateway and a container")));
        }
        let bits = |address: &IpAddr| match address {
            IpAddr::V4(address) => address.to_bits().into(),
            IpAddr::V6(address) => address.to_bits(),
        };
        if let Some(gateway) = &spec.gateway
            && !(self.first..=self.last).contains(&bits(gateway))
        {
            let why = format!("parent subnet {net} has no such host");
            return Err(malformed(&format!("invalid gateway {gateway}: {why}")));
        }
        Ok(self)
    }
}

/// The addresses available to containers, in order of allocation; as numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressPool {
    first: u128,
    last: u128,
    excluded: BTreeSet<u128>,
}

impl AddressPool {
    /// Whether it may be allocated automatically.
    pub fn contains(&self, address: u128) -> bool {
        (self.first..=self.last).contains(&address) && !self.excluded.contains(&address)
    }

    /// Addresses not in `taken`, in ascending order.
    pub fn free<'a>(&'a self, taken: &'a BTreeSet<u128>) -> impl Iterator<Item = u128> + 'a {
        (self.first..=self.last).filter(|at| !self.excluded.contains(at) && !taken.contains(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    fn ask(
        subnets: &[&str],
        ranges: &[&str],
        gateways: &[&str],
        aux: &[&str],
    ) -> Result<Vec<PoolSpec>, String> {
        let aux: Vec<_> = aux.iter().map(|at| ("x".to_owned(), (*at).to_owned())).collect();
        consolidate(&texts(subnets), &texts(ranges), &texts(gateways), &aux).map_err(|why| why.to_string())
    }

    fn v4(net: &str, asked: &PoolSpec) -> SubnetSpec<Ipv4Net, Ipv4Addr> {
        SubnetSpec::v4(net.parse().unwrap(), asked).unwrap()
    }

    fn address(bits: u128) -> String {
        Ipv4Addr::from_bits(narrow(bits)).to_string()
    }

    #[test]
    fn what_belongs_together_is_brought_together() {
        let pools = ask(
            &["10.1.0.0/16", "2001:db8::/64"],
            &["10.1.4.0/24"],
            &["2001:db8::9", "10.1.0.9"],
            &["10.1.4.1"],
        );
        let pools = pools.unwrap();
        assert_eq!(pools.len(), 2);
        assert_eq!(pools[0].gateway, Some("10.1.0.9".parse().unwrap()));
        assert_eq!(pools[0].range, Some("10.1.4.0/24".parse().unwrap()));
        assert_eq!(pools[0].reserved["x"], "10.1.4.1".parse::<IpAddr>().unwrap());
        assert_eq!(pools[1].gateway, Some("2001:db8::9".parse().unwrap()));
    }

    #[test]
    fn what_does_not_fit_is_refused_in_dockers_words() {
        let refused = |result: Result<Vec<PoolSpec>, String>, why: &str| {
            let error = result.unwrap_err();
            assert!(error.contains(why), "{error}");
        };
        refused(
            ask(&[], &["10.1.0.0/24"], &[], &[]),
            "every ip-range or gateway must have a corresponding subnet",
        );
        refused(ask(&["10.1.0.0/16", "10.1.2.0/24"], &[], &[], &[]), "multiple overlapping subnet");
        refused(ask(&["10.1.0.0"], &[], &[], &[]), "invalid CIDR address: 10.1.0.0");
        refused(ask(&["10.1.0.5/16"], &[], &[], &[]), "it should be 10.1.0.0/16");
        for special in ["0.0.0.0/0", "127.1.0.0/16", "224.0.0.0/24", "::/64", "ff02::/64", "fe80::/64"] {
            refused(ask(&[special], &[], &[], &[]), "not those of hosts");
        }
        refused(
            ask(&["10.1.0.0/16"], &["10.2.0.0/24"], &[], &[]),
            "no matching subnet for range 10.2.0.0/24",
        );
        refused(ask(&["10.1.0.0/16"], &["10.1.0.0/8"], &[], &[]), "range");
        refused(ask(&["10.1.0.0/16"], &[], &["10.2.0.1"], &[]), "no matching subnet for gateway 10.2.0.1");
        refused(
            ask(&["10.1.0.0/16"], &[], &[], &["10.2.0.1"]),
            "no matching subnet for aux-address 10.2.0.1",
        );
        refused(ask(&["10.1.0.0/16"], &[], &["here"], &[]), "invalid IP address: here");
        assert!(SubnetSpec::v4("10.1.0.0/32".parse().unwrap(), &PoolSpec::default()).is_err());
        assert!(SubnetSpec::v4("10.1.0.0/31".parse().unwrap(), &PoolSpec::default()).is_err());
        let gateway = PoolSpec { gateway: Some("10.1.0.255".parse().unwrap()), ..PoolSpec::default() };
        assert!(SubnetSpec::v4("10.1.0.0/24".parse().unwrap(), &gateway).is_err());
    }

    #[test]
    fn addresses_come_in_order_and_special_ones_never() {
        let none = BTreeSet::new();
        let subnet = v4("10.1.0.0/29", &PoolSpec::default());
        assert_eq!(subnet.gateway.to_string(), "10.1.0.1");
        let all: Vec<_> = subnet.pool().free(&none).map(address).collect();
        assert_eq!(all, ["10.1.0.2", "10.1.0.3", "10.1.0.4", "10.1.0.5", "10.1.0.6"]);
        let asked = &ask(&["10.1.0.0/16"], &["10.1.4.0/30"], &["10.1.0.9"], &["10.1.4.1"]).unwrap()[0];
        let subnet = v4("10.1.0.0/16", asked);
        assert_eq!(subnet.gateway.to_string(), "10.1.0.9");
        let taken = BTreeSet::from([u128::from(Ipv4Addr::new(10, 1, 4, 2).to_bits())]);
        let all: Vec<_> = subnet.pool().free(&taken).map(address).collect();
        assert_eq!(all, ["10.1.4.0", "10.1.4.3"]);
        let v6 = SubnetSpec::v6("2001:db8::/64".parse().unwrap(), &PoolSpec::default()).unwrap();
        let first: Vec<_> = v6.pool().free(&none).take(2).map(Ipv6Addr::from_bits).collect();
        assert_eq!(first, ["2001:db8::2".parse::<Ipv6Addr>().unwrap(), "2001:db8::3".parse().unwrap()]);
    }

    #[test]
    fn the_pools_are_dockers() {
        let all: Vec<_> = default_subnets().collect();
        assert_eq!(all.len(), 15 + 16);
        assert_eq!(all[0].to_string(), "172.17.0.0/16");
        assert_eq!(all[14].to_string(), "172.31.0.0/16");
        assert_eq!(all[15].to_string(), "192.168.0.0/20");
        let net = local_prefix([1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(net.to_string(), "fd01:203:405:607::/64");
    }
}
