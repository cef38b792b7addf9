//! Networks: an immutable record each, and a symbolic link with its name.
//!
//! Networks are created and removed one at a time, so names and subnets are chosen with all others known. The
//! link is created before the record and removed after it: wherever a process dies, at most a dangling link
//! is left, and the next network with that name replaces it.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::atomic::{self, Durability};
use super::containers::check_id;
use super::lock::{FileLock, LockMode};
use super::{Store, timestamp_now};
use crate::fs::{ignore_missing, list_dir, random_hex, read_record, with_dir};
use dhow_error::{Failure, FailureKind, invalid, not_found};
use dhow_model::event::{EngineEvent, EventKind};
use dhow_model::ipam::{self, PoolSpec, overlap};
use dhow_model::network::{self, NetworkSpec, SubnetSpec};
use dhow_model::new_network::{NewNetwork, driver_options};
use dhow_sys::{random, routes};

/// How many random IPv6 prefixes are tried; a collision is practically impossible.
const MAX_PREFIX_ATTEMPTS: usize = 8;

/// How many containers are listed when a network is in use.
const MAX_SHOWN_MEMBERS: usize = 8;

/// The minimum link MTU of IPv6 in bytes (RFC 8200, section 5).
const MIN_MTU_V6: u32 = 1280;

impl Store {
    /// The default network, created on first use.
    pub fn default_network(&self) -> anyhow::Result<NetworkSpec> {
        if let Some(network) = self.network_by_name(network::DEFAULT)? {
            return Ok(network);
        }
        let _lock = self.lock_networks()?;
        if let Some(network) = self.network_by_name(network::DEFAULT)? {
            return Ok(network);
        }
        let new = NewNetwork { name: network::DEFAULT.into(), v6: true, ..NewNetwork::default() };
        self.make_network(&new)
    }

    pub fn network(&self, id: &str) -> anyhow::Result<Option<NetworkSpec>> {
        if check_id(id).is_err() {
            return Ok(None);
        }
        read_record(&self.network_dir(id).join("network.json"))
    }

    fn network_by_name(&self, name: &str) -> anyhow::Result<Option<NetworkSpec>> {
        read_record(&self.networks_dir().join("by-name").join(name).join("network.json"))
    }

    /// Resolves user input: a name, an ID, or a unique ID prefix. The default network is created if it does
    /// not exist yet.
    pub fn find_network(&self, text: &str) -> anyhow::Result<NetworkSpec> {
        if text == network::DEFAULT || text == "default" {
            return self.default_network();
        }
        if dhow_model::new_network::check_name(text).is_err() {
            return Err(no_such_network(text));
        }
        if let Some(network) = self.network(text)? {
            return Ok(network);
        }
        if let Some(network) = self.network_by_name(text)? {
            return Ok(network);
        }
        let mut matching = self.network_ids()?.into_iter().filter(|id| id.starts_with(text));
        let first = matching.next().ok_or_else(|| no_such_network(text))?;
        if matching.next().is_some() {
            let message =
                format!("network {text} is ambiguous ({} matches found on ID prefix)", 2 + matching.count());
            return Err(invalid(message).into());
        }
        self.network(&first)?.ok_or_else(|| no_such_network(text))
    }

    /// All existing networks, ordered by name.
    pub fn networks(&self) -> anyhow::Result<Vec<NetworkSpec>> {
        let mut networks = Vec::new();
        for id in self.network_ids()? {
            networks.extend(self.network(&id)?);
        }
        networks.sort_by(|a: &NetworkSpec, b| a.name.cmp(&b.name));
        Ok(networks)
    }

    fn network_ids(&self) -> anyhow::Result<Vec<String>> {
        let mut names = list_dir(&self.networks_dir()).context("cannot list the networks")?;
        names.retain(|name| check_id(name).is_ok());
        Ok(names)
    }

    /// Creates a network, choosing free subnets if none were requested. Errors of kind conflict if the name
    /// is taken, denied if a subnet is in use.
    pub fn create_network(&self, new: &NewNetwork) -> anyhow::Result<NetworkSpec> {
        new.check()?;
        let _lock = self.lock_networks()?;
        if self.network_by_name(&new.name)?.is_some() {
            let message = format!("network with name {} already exists", new.name);
            return Err(Failure::new(FailureKind::Conflict, message).into());
        }
        self.make_network(new)
    }

    /// The caller holds the lock of all networks and has checked that the name is free.
    fn make_network(&self, new: &NewNetwork) -> anyhow::Result<NetworkSpec> {
        let others = self.networks()?;
        let used: Vec<IpNet> = others.iter().flat_map(subnets).collect();
        let options = driver_options(&new.options)?;
        if new.v6 && options.mtu.is_some_and(|mtu| mtu < MIN_MTU_V6) {
            return Err(invalid(format!("IPv6 needs an MTU of {MIN_MTU_V6} at least")).into());
        }
        let spec = NetworkSpec {
            id: random_hex(32).context("cannot get random numbers for a network's ID")?,
            name: new.name.clone(),
            created: timestamp_now(),
            internal: new.internal,
            v4: if new.without_v4 { None } else { Some(choose_v4(new.pool(false), &used)?) },
            v6: if new.v6 { Some(choose_v6(new.pool(true), &used)?) } else { None },
            options: new.options.clone(),
            ipam_options: new.ipam_options.clone(),
            labels: new.labels.clone(),
            egress: new.egress.clone(),
            mtu: options.mtu,
            no_icc: options.no_icc,
            attachable: new.attachable,
            v4_asked: !new.without_v4 && new.pool(false).is_some(),
            v6_asked: new.v6 && new.pool(true).is_some(),
        };
        self.write_network(&spec).with_context(|| format!("cannot create network {}", spec.name))?;
        self.record_event(event("create", &spec));
        Ok(spec)
    }

    fn write_network(&self, spec: &NetworkSpec) -> anyhow::Result<()> {
        let temp = self.temp_dir()?;
        // Part of the rename, so that a network never lacks it.
        std::fs::create_dir(temp.path().join("leases"))?;
        atomic::write_json(&temp.path().join("network.json"), spec, Durability::Synced)?;
        let names = self.networks_dir().join("by-name");
        let link = names.join(&spec.name);
        // An existing link is dangling.
        ignore_missing(std::fs::remove_file(&link))?;
        with_dir(&names, || std::os::unix::fs::symlink(Path::new("..").join(&spec.id), &link))?;
        temp.rename_to(&self.network_dir(&spec.id))?;
        Ok(())
    }

    /// Removes a network without running containers.
    pub fn remove_network(&self, network: &NetworkSpec) -> anyhow::Result<()> {
        if network.is_default() {
            let message = format!("{} is a pre-defined network and cannot be removed", network.name);
            return Err(Failure::new(FailureKind::Denied, message).into());
        }
        // Lock order: networks, then the network.
        let _networks = self.lock_networks()?;
        let lock = self.lock_network(&network.id, LockMode::Exclusive)?;
        if self.network(&network.id)?.is_none() {
            lock.remove_file()?;
            return Err(no_such_network(&network.name));
        }
        // With the lock held exclusively no container can be allocating an address.
        let members = self.active_members(&network.id)?;
        if !members.is_empty() {
            return Err(self.network_in_use(network, &members).into());
        }
        let doing = || format!("cannot remove network {}", network.name);
        self.discard(&self.network_dir(&network.id)).with_context(doing)?;
        ignore_missing(std::fs::remove_file(self.networks_dir().join("by-name").join(&network.name)))
            .with_context(doing)?;
        ignore_missing(std::fs::remove_file(self.lock_path("leases", &network.id))).with_context(doing)?;
        lock.remove_file().with_context(doing)?;
        self.record_event(event("destroy", network));
        Ok(())
    }

    /// docker's message, which lists the containers; limited to the first few.
    fn network_in_use(&self, network: &NetworkSpec, members: &BTreeSet<String>) -> Failure {
        let listed = members.iter().take(MAX_SHOWN_MEMBERS).map(|id| {
            let name = self.container(id).ok().flatten().map(|dir| dir.spec().name.clone());
            format!("name:\"{}\" id:\"{}\"", name.unwrap_or_default(), id.get(..12).unwrap_or(id))
        });
        let mut listed: Vec<String> = listed.collect();
        if members.len() > MAX_SHOWN_MEMBERS {
            listed.push(format!("and {} more", members.len() - MAX_SHOWN_MEMBERS));
        }
        let message = format!(
            "error while removing network: network {} id {} has active endpoints ({})",
            network.name,
            network.id,
            listed.join(", ")
        );
        Failure::new(FailureKind::InUse, message).hint("`dhow network disconnect` takes a container off it")
    }

    fn lock_networks(&self) -> anyhow::Result<FileLock> {
        FileLock::acquire(&self.plain_lock_path("networks"), LockMode::Exclusive)
            .context("cannot lock the networks")
    }

    pub(super) fn lock_network(&self, id: &str, mode: LockMode) -> anyhow::Result<FileLock> {
        FileLock::acquire(&self.lock_path("network", id), mode)
            .with_context(|| format!("cannot lock network {id}"))
    }
}

fn event(action: &str, network: &NetworkSpec) -> EngineEvent {
    EngineEvent::new(EventKind::Network, action, &network.id)
        .with("name", &network.name)
        .with("type", "bridge")
}

pub(super) fn no_such_network(text: &str) -> anyhow::Error {
    not_found(format!("network {} not found", text.escape_debug())).into()
}

fn subnets(network: &NetworkSpec) -> Vec<IpNet> {
    let v4 = network.v4.as_ref().map(|subnet| IpNet::V4(subnet.net));
    v4.into_iter().chain(network.v6.as_ref().map(|subnet| IpNet::V6(subnet.net))).collect()
}

/// The requested subnet, unless a network overlaps with it; else a default subnet used by no network and no
/// host route.
fn choose_v4(
    requested: Option<&PoolSpec>,
    used: &[IpNet],
) -> anyhow::Result<SubnetSpec<Ipv4Net, std::net::Ipv4Addr>> {
    if let Some((pool, IpNet::V4(net))) = requested.and_then(|pool| Some((pool, pool.subnet?))) {
        check_free(&IpNet::V4(net), used)?;
        return Ok(SubnetSpec::v4(net, pool)?);
    }
    let host_routes = routes::routed_networks();
    // Routes of the host count as used, or containers could not reach those networks.
    let is_free =
        |net: &Ipv4Net| !used.iter().chain(&host_routes).any(|other| overlap(other, &IpNet::V4(*net)));
    let exhausted = || {
        Failure::new(FailureKind::Full, "all predefined address pools have been fully subnetted")
            .hint("remove networks that are not needed, or give a --subnet")
    };
    let net = ipam::default_subnets().find(is_free).ok_or_else(exhausted)?;
    Ok(SubnetSpec::v4(net, &PoolSpec::default())?)
}

fn choose_v6(
    requested: Option<&PoolSpec>,
    used: &[IpNet],
) -> anyhow::Result<SubnetSpec<Ipv6Net, std::net::Ipv6Addr>> {
    if let Some((pool, IpNet::V6(net))) = requested.and_then(|pool| Some((pool, pool.subnet?))) {
        check_free(&IpNet::V6(net), used)?;
        return Ok(SubnetSpec::v6(net, pool)?);
    }
    let host_routes = routes::routed_networks();
    for _ in 0..MAX_PREFIX_ATTEMPTS {
        // RFC 4193, section 3.2.2: the global ID of a unique local prefix is random.
        let random = random::random_bytes().context("cannot get random numbers for a network's prefix")?;
        let net = ipam::local_prefix(random);
        if !used.iter().chain(&host_routes).any(|other| overlap(other, &IpNet::V6(net))) {
            return Ok(SubnetSpec::v6(net, &PoolSpec::default())?);
        }
    }
    Err(Failure::new(FailureKind::Full, "no unique local IPv6 prefix is free")
        .hint("give an IPv6 --subnet")
        .into())
}

fn check_free(net: &IpNet, used: &[IpNet]) -> Result<(), Failure> {
    if used.iter().any(|other| overlap(other, net)) {
        let message = "invalid pool request: Pool overlaps with other one on this address space";
        return Err(Failure::new(FailureKind::Denied, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::store;
    use dhow_error::kind_of;

    fn new(name: &str, subnets: &[&str]) -> NewNetwork {
        let subnets: Vec<String> = subnets.iter().map(|text| (*text).to_owned()).collect();
        let pools = ipam::consolidate(&subnets, &[], &[], &[]).unwrap();
        NewNetwork { name: name.into(), pools, ..NewNetwork::default() }
    }

    #[test]
    fn is_made_found_and_removed() {
        let (_dir, store) = store();
        let made = store.create_network(&new("back", &["198.51.100.0/24"])).unwrap();
        for text in ["back", &made.id, &made.id[..6]] {
            assert_eq!(store.find_network(text).unwrap(), made);
        }
        assert_eq!(made.v4.as_ref().unwrap().gateway.to_string(), "198.51.100.1");
        assert!(made.v6.is_none());
        let again = store.create_network(&new("back", &[])).unwrap_err();
        assert_eq!(again.to_string(), "network with name back already exists");
        for (net, overlaps) in
            [("198.51.100.128/25", true), ("198.51.0.0/16", true), ("198.51.101.0/24", false)]
        {
            let made = store.create_network(&new("other", &[net]));
            assert_eq!(made.is_err(), overlaps, "{net}");
        }
        store.remove_network(&made).unwrap();
        assert_eq!(kind_of(&store.find_network("back").unwrap_err()), FailureKind::NotFound);
        assert_eq!(kind_of(&store.remove_network(&made).unwrap_err()), FailureKind::NotFound);
        store.create_network(&new("back", &["198.51.100.0/24"])).unwrap();
        assert_eq!(store.networks().unwrap().len(), 2);
    }

    #[test]
    fn the_default_one_is_made_once_and_stays() {
        let (_dir, store) = store();
        let made: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| store.default_network().unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(made.iter().all(|network| *network == made[0]));
        assert_eq!(store.find_network("default").unwrap(), made[0]);
        assert!(made[0].v6.as_ref().unwrap().net.to_string().starts_with("fd"));
        assert_eq!(kind_of(&store.remove_network(&made[0]).unwrap_err()), FailureKind::Denied);
        assert!(store.find_network("host").is_err());
    }

    #[test]
    fn subnets_are_taken_in_turn_until_there_are_none() {
        let (_dir, store) = store();
        let mut seen = Vec::new();
        let full = loop {
            match store.create_network(&new(&format!("n{}", seen.len()), &[])) {
                Ok(network) => seen.push(network.v4.unwrap().net),
                Err(error) => break error,
            }
        };
        assert!(full.to_string().contains("all predefined address pools have been fully subnetted"));
        assert!((20..=31).contains(&seen.len()), "{seen:?}");
        for (index, net) in seen.iter().enumerate() {
            assert!(!seen[..index].iter().any(|other| overlap(&IpNet::V4(*other), &IpNet::V4(*net))));
        }
    }

    #[test]
    fn many_makers_of_one_name_make_one() {
        let (_dir, store) = store();
        let made = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| store.create_network(&new("same", &[])).is_ok())).collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).filter(|made| *made).count()
        });
        assert_eq!(made, 1);
        assert_eq!(store.networks().unwrap().len(), 1);
    }

    #[test]
    fn a_maker_that_died_leaves_the_name_free() {
        let (_dir, store) = store();
        let names = store.networks_dir().join("by-name");
        std::fs::create_dir_all(&names).unwrap();
        std::os::unix::fs::symlink("../nowhere", names.join("back")).unwrap();
        assert!(store.find_network("back").is_err());
        store.create_network(&new("back", &[])).unwrap();
        assert_eq!(store.find_network("back").unwrap().name, "back");
    }
}
