//! The table of container names, as each client sees it. The rules are docker's:
//!
//! - A client resolves containers on its own networks; the first network that knows a name wins. The default
//!   network has no names.
//! - A container is known by its name, its host name, its short ID and its aliases on that network, and to
//!   clients with a link to it by the link's alias. Each of them also works with `.NETWORK` appended.
//! - Names are case-insensitive. Several containers may share one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::{DnsClient, DnsMembership};
use dhow_model::dns_message::{kind, parse_reverse_name};

/// Digits of a short ID.
const SHORT: usize = 12;

/// What a name resolves to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NameAnswer {
    Addresses(Vec<IpAddr>),
    /// The name of the container with the queried address.
    Name(String),
    /// The name exists, but has no records of this type.
    NoRecords,
}

/// The names on all networks.
#[derive(Debug, Default)]
pub(crate) struct NameTable {
    clients: HashMap<u64, Arc<DnsClient>>,
    networks: HashMap<String, NetworkNames>,
    /// Counts answers, to rotate the addresses.
    turn: usize,
}

/// The names and addresses of one network, with the keys of their containers.
#[derive(Debug, Default)]
struct NetworkNames {
    names: HashMap<String, Vec<u64>>,
    ids: HashMap<String, u64>,
    addresses: HashMap<IpAddr, u64>,
}

impl NetworkNames {
    /// The containers with this ID or name.
    fn called(&self, text: &str) -> Vec<u64> {
        let named = || self.names.get(&text.to_ascii_lowercase()).cloned().unwrap_or_default();
        self.ids.get(text).map_or_else(named, |key| vec![*key])
    }
}

impl NameTable {
    pub(crate) fn get(&self, key: u64) -> Option<&Arc<DnsClient>> {
        self.clients.get(&key)
    }

    /// Adds a container, replacing what was stored under `key`.
    pub(crate) fn insert(&mut self, key: u64, client: Arc<DnsClient>) {
        self.remove(key);
        for membership in named_memberships(&client) {
            let network = self.networks.entry(membership.network.id.clone()).or_default();
            for name in names_of(&client, membership) {
                network.names.entry(name).or_default().push(key);
            }
            network.ids.insert(client.id.clone(), key);
            network.addresses.extend(membership.endpoint.addresses().map(|address| (address, key)));
        }
        self.clients.insert(key, client);
    }

    pub(crate) fn remove(&mut self, key: u64) {
        let Some(client) = self.clients.remove(&key) else { return };
        for membership in named_memberships(&client) {
            let Some(network) = self.networks.get_mut(&membership.network.id) else { continue };
            for name in names_of(&client, membership) {
                if let Some(keys) = network.names.get_mut(&name) {
                    keys.retain(|other| *other != key);
                    if keys.is_empty() {
                        network.names.remove(&name);
                    }
                }
            }
            // Another container may have taken the ID or address over; its entry stays.
            network.ids.retain(|_, other| *other != key);
            network.addresses.retain(|_, other| *other != key);
            if network.ids.is_empty() {
                self.networks.remove(&membership.network.id);
            }
        }
    }

    /// Resolves `name`, in lower case, for the client `key`; `None` if it is no name of its networks.
    pub(crate) fn resolve(&mut self, key: u64, name: &str, kind: u16) -> Option<NameAnswer> {
        let client = Arc::clone(self.clients.get(&key)?);
        if kind == kind::PTR
            && let Some(address) = parse_reverse_name(name)
        {
            return self.reverse(&client, address);
        }
        // `a.b.c` may be a name, or `a.b` on the network `c`, or `a` on the network `b.c`.
        let dots = name.rmatch_indices('.').map(|(end, _)| end);
        let (membership, keys) = std::iter::once(name.len()).chain(dots).find_map(|end| {
            let (name, network) = (name.get(..end)?, name.get(end + 1..));
            let mut on = named_memberships(&client)
                .filter(|on| network.is_none_or(|network| on.network.name.eq_ignore_ascii_case(network)));
            on.find_map(|on| Some((on, self.keys_of_name(on, name)?)))
        })?;
        let mut addresses: Vec<IpAddr> =
            keys.iter().filter_map(|key| self.address(*key, membership, kind)).collect();
        addresses.sort_unstable();
        addresses.dedup();
        if addresses.is_empty() {
            return Some(NameAnswer::NoRecords);
        }
        self.turn = self.turn.wrapping_add(1);
        let first = self.turn % addresses.len();
        addresses.rotate_left(first);
        Some(NameAnswer::Addresses(addresses))
    }

    /// The containers called `name` on the network of `membership`, as the client that is on it sees it.
    fn keys_of_name(&self, membership: &DnsMembership, name: &str) -> Option<Vec<u64>> {
        let network = self.networks.get(&membership.network.id)?;
        let linked = membership.endpoint.links.iter().filter(|(alias, _)| alias.eq_ignore_ascii_case(name));
        let linked: Vec<u64> = linked.flat_map(|(_, other)| network.called(other)).collect();
        if linked.is_empty() { network.names.get(name).cloned() } else { Some(linked) }
    }

    /// A container's address on the network of `membership`, of the queried type.
    fn address(&self, key: u64, membership: &DnsMembership, kind: u16) -> Option<IpAddr> {
        let client = self.clients.get(&key)?;
        let other = client.memberships.iter().find(|other| other.network.id == membership.network.id)?;
        match kind {
            kind::A => other.endpoint.v4.map(|net| net.addr().into()),
            kind::AAAA => other.endpoint.v6.map(|net| net.addr().into()),
            _ => None,
        }
    }

    fn reverse(&self, client: &DnsClient, address: IpAddr) -> Option<NameAnswer> {
        named_memberships(client).find_map(|on| {
            let key = self.networks.get(&on.network.id)?.addresses.get(&address)?;
            Some(NameAnswer::Name(format!("{}.{}", self.clients.get(key)?.name, on.network.name)))
        })
    }
}

/// The networks of a container that have names.
fn named_memberships(client: &DnsClient) -> impl Iterator<Item = &DnsMembership> {
    client.memberships.iter().filter(|membership| !membership.network.is_default())
}

/// A container's names on one network, in lower case and without duplicates.
fn names_of(client: &DnsClient, membership: &DnsMembership) -> Vec<String> {
    let own = [Some(client.name.as_str()), client.hostname.as_deref(), client.id.get(..SHORT)];
    let aliases = membership.endpoint.aliases.iter().map(String::as_str);
    let names = own.into_iter().flatten().chain(aliases).filter(|name| !name.is_empty());
    let mut names: Vec<String> = names.map(str::to_ascii_lowercase).collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::super::tests::{asker, member};
    use super::*;

    fn names(askers: &[(u64, DnsClient)]) -> NameTable {
        let mut names = NameTable::default();
        for (key, asker) in askers {
            names.insert(*key, Arc::new(asker.clone()));
        }
        names
    }

    fn found(names: &mut NameTable, key: u64, name: &str, kind: u16) -> String {
        match names.resolve(key, name, kind) {
            None => "unknown".into(),
            Some(NameAnswer::NoRecords) => "nothing".into(),
            Some(NameAnswer::Name(name)) => name,
            Some(NameAnswer::Addresses(mut all)) => {
                all.sort_unstable();
                all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
            }
        }
    }

    #[test]
    fn all_names_of_a_container_on_shared_networks() {
        let mut web = asker("Web", vec![member("net", "192.0.2.2/24", Some("2001:db8::2/64"))]);
        web.hostname = Some("WWW".into());
        web.memberships[0].endpoint.aliases = vec!["site.example".into()];
        let short = web.id[..12].to_owned();
        let db =
            asker("db", vec![member("net", "192.0.2.3/24", None), member("other", "198.51.100.3/24", None)]);
        let far = asker("far", vec![member("other", "198.51.100.4/24", None)]);
        let names = &mut names(&[(1, web), (2, db), (3, far)]);
        for name in ["web", "www", "site.example", &short, "web.net", "site.example.net"] {
            assert_eq!(found(names, 2, name, kind::A), "192.0.2.2", "{name}");
            assert_eq!(found(names, 1, name, kind::AAAA), "2001:db8::2", "{name}");
            assert_eq!(found(names, 3, name, kind::A), "unknown", "{name}");
        }
        assert_eq!(found(names, 1, "db", kind::AAAA), "nothing");
        assert_eq!(found(names, 1, "db", 16), "nothing");
        for name in ["far", "db.other", "web.other", "", ".net", "net", "web."] {
            assert_eq!(found(names, 1, name, kind::A), "unknown", "{name}");
        }
        assert_eq!(found(names, 2, "db.other", kind::A), "198.51.100.3");
        assert_eq!(found(names, 3, "db", kind::A), "198.51.100.3");
        assert_eq!(found(names, 1, "3.2.0.192.in-addr.arpa", kind::PTR), "db.net");
        assert_eq!(found(names, 1, "3.100.51.198.in-addr.arpa", kind::PTR), "unknown");
        assert_eq!(
            found(names, 2, &format!("2.{}8.b.d.0.1.0.0.2.ip6.arpa", "0.".repeat(23)), kind::PTR),
            "Web.net"
        );
    }

    #[test]
    fn a_shared_alias_goes_round_and_loses_those_who_leave() {
        let replica = |name: &str, address: &str| {
            let mut replica = asker(name, vec![member("net", address, None)]);
            replica.memberships[0].endpoint.aliases = vec!["service".into(), "service".into()];
            replica
        };
        let names = &mut names(&[(1, replica("a", "192.0.2.2/24")), (2, replica("b", "192.0.2.3/24"))]);
        let firsts: Vec<IpAddr> = (0..4)
            .map(|_| match names.resolve(1, "service", kind::A) {
                Some(NameAnswer::Addresses(all)) if all.len() == 2 => all[0],
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(firsts[0] != firsts[1] && firsts[0] == firsts[2] && firsts[1] == firsts[3]);
        names.insert(2, Arc::new(asker("renamed", vec![member("net", "192.0.2.3/24", None)])));
        assert_eq!(found(names, 1, "service", kind::A), "192.0.2.2");
        assert_eq!(found(names, 1, "b", kind::A), "unknown");
        assert_eq!(found(names, 1, "renamed", kind::A), "192.0.2.3");
        names.remove(2);
        assert_eq!(found(names, 1, "renamed", kind::A), "unknown");
        assert_eq!(found(names, 1, "3.2.0.192.in-addr.arpa", kind::PTR), "unknown");
        names.remove(1);
        assert!(names.networks.is_empty());
    }

    #[test]
    fn links_are_known_to_their_owner_alone_and_the_default_network_has_no_names() {
        let db = asker("db", vec![member("net", "192.0.2.2/24", None)]);
        let mut web = asker("web", vec![member("net", "192.0.2.3/24", None)]);
        web.memberships[0].endpoint.links = vec![
            ("Store".into(), db.id.clone()),
            ("base".into(), "DB".into()),
            ("gone".into(), "f".repeat(64)),
        ];
        let plain = asker("plain", vec![member("bridge", "192.0.2.130/25", None)]);
        let names = &mut names(&[(1, db), (2, web), (3, plain)]);
        assert_eq!(found(names, 2, "store", kind::A), "192.0.2.2");
        assert_eq!(found(names, 2, "store.net", kind::A), "192.0.2.2");
        assert_eq!(found(names, 2, "base", kind::A), "192.0.2.2");
        assert_eq!(found(names, 1, "store", kind::A), "unknown");
        assert_eq!(found(names, 2, "gone", kind::A), "unknown");
        assert_eq!(found(names, 3, "plain", kind::A), "unknown");
    }
}
