//! Addresses of containers: symbolic links `networks/<id>/leases/<address>` → ID of the container that has
//! the address.
//!
//! # Allocation and release
//!
//! Creating the link claims the address, so containers that start at the same time need no lock against each
//! other. A lease is valid while its container's lock is held. A container that stops releases its addresses,
//! except those requested by `--ip`: they stay reserved until it is removed, so that no other container gets
//! one by chance.
//!
//! Leases left by a killed supervisor are reclaimed on demand, holding both the lock `leases-ID` and the dead
//! container's lock, so that neither another process that reclaims nor a restart of that container can
//! interfere. Nobody else removes a link that belongs to another container.
//!
//! A network is removed by a process that holds its lock exclusively and found no valid lease; addresses are
//! allocated under the shared lock, after checking that the network exists.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;

use anyhow::Context as _;
use ipnet::{Ipv4Net, Ipv6Net};
use rustix::fs::{AtFlags, Dir, Mode as FileMode, OFlags};
use rustix::io::Errno;

use super::Store;
use super::containers::check_id;
use super::lock::{FileLock, LockMode};
use super::networks::no_such_network;
use crate::fs::{ignore_missing, is_missing, list_dir, with_dir};
use dhow_error::{Failure, FailureKind, invalid};
use dhow_model::container::ContainerSpec;
use dhow_model::flags::sysctl::is_without_v6;
use dhow_model::ipam::AddressPool;
use dhow_model::network::{INTERFACE_NAME, MacAddress, NetworkAttachment, NetworkEndpoint, NetworkSpec};
use dhow_model::new_network::PREFIX;
use dhow_sys::random;

const DEFAULT_INTERFACE_PREFIX: &str = "eth";

impl Store {
    /// Allocates endpoints on all networks of a container that is about to start, in the order of its spec.
    /// The caller holds the container's lock. `previous` are the endpoints of its last run, whose addresses
    /// are reused if they are free.
    pub fn join_networks(
        &self,
        spec: &ContainerSpec,
        previous: &[NetworkEndpoint],
    ) -> anyhow::Result<Vec<(NetworkSpec, NetworkEndpoint)>> {
        let mut joined: Vec<(NetworkSpec, NetworkEndpoint)> = Vec::with_capacity(spec.networks.len());
        for attachment in &spec.networks {
            let present: Vec<&NetworkEndpoint> = joined.iter().map(|(_, endpoint)| endpoint).collect();
            let last = previous.iter().find(|endpoint| endpoint.network == attachment.network);
            match self.allocate_endpoint(spec, attachment, &present, last) {
                Ok(attached) => joined.push(attached),
                Err(error) => {
                    let joined: Vec<NetworkEndpoint> =
                        joined.into_iter().map(|(_, endpoint)| endpoint).collect();
                    self.leave_networks(spec, &joined)?;
                    return Err(error);
                }
            }
        }
        elect_default_route(spec, &mut joined);
        Ok(joined)
    }

    /// Allocates one more endpoint for a running container, not yet with the default route; `present` are its
    /// current endpoints. The caller holds the container's lock.
    pub fn join_network(
        &self,
        spec: &ContainerSpec,
        attachment: &NetworkAttachment,
        present: &[NetworkEndpoint],
        previous: Option<&NetworkEndpoint>,
    ) -> anyhow::Result<(NetworkSpec, NetworkEndpoint)> {
        let present: Vec<&NetworkEndpoint> = present.iter().collect();
        self.allocate_endpoint(spec, attachment, &present, previous)
    }

    fn allocate_endpoint(
        &self,
        spec: &ContainerSpec,
        attachment: &NetworkAttachment,
        present: &[&NetworkEndpoint],
        previous: Option<&NetworkEndpoint>,
    ) -> anyhow::Result<(NetworkSpec, NetworkEndpoint)> {
        let container = spec.id.as_str();
        let name = if attachment.name.is_empty() { &attachment.network } else { &attachment.name };
        let _lock = self.lock_network(&attachment.network, LockMode::Shared)?;
        let network = self.network(&attachment.network)?.ok_or_else(|| no_such_network(name))?;
        // Names are stored unresolved: the other container may start later, or be restarted with another
        // address.
        let links = attachment.links.iter().map(|(other, alias)| (alias.clone(), other.clone())).collect();
        let interface = choose_interface_name(&network, attachment, present)?;
        let leases = AddressLeases::open(self, &network, container)?;
        let v4 = leases.allocate_v4(attachment.ip, previous.and_then(|endpoint| endpoint.v4))?;
        let v6 = match is_without_v6(&spec.sysctls) {
            true => Ok(None),
            false => leases.allocate_v6(attachment.ip6, previous.and_then(|endpoint| endpoint.v6)),
        };
        let v6 = match v6 {
            Ok(v6) => v6,
            Err(error) => {
                // A static address stays reserved for the container, a dynamic one must not leak.
                if let Some(v4) = v4.filter(|_| attachment.ip.is_none()) {
                    self.release_lease(container, &network.id, v4.addr().into())?;
                }
                return Err(error);
            }
        };
        let endpoint = NetworkEndpoint {
            network: network.id.clone(),
            interface,
            v4,
            v6,
            mac: match attachment.mac {
                Some(mac) => mac,
                None => choose_mac(v4.map(|net| net.addr()))?,
            },
            aliases: attachment.aliases.clone(),
            links,
            link_local: attachment.link_local.clone(),
            default_route: false,
        };
        Ok((network, endpoint))
    }

    /// Releases the addresses of an endpoint that a running container was disconnected from.
    pub fn leave_network(&self, container: &str, endpoint: &NetworkEndpoint) -> anyhow::Result<()> {
        self.release_matching(container, endpoint, |_| true)
    }

    /// Releases addresses when a container stops. Those requested by `--ip` stay reserved until it is
    /// removed.
    pub fn leave_networks(&self, spec: &ContainerSpec, endpoints: &[NetworkEndpoint]) -> anyhow::Result<()> {
        for endpoint in endpoints {
            self.release_matching(&spec.id, endpoint, |address| {
                !is_static(spec, &endpoint.network, address)
            })?;
        }
        Ok(())
    }

    fn release_matching(
        &self,
        container: &str,
        endpoint: &NetworkEndpoint,
        should_release: impl Fn(IpAddr) -> bool,
    ) -> anyhow::Result<()> {
        for address in endpoint.addresses().filter(|address| should_release(*address)) {
            self.release_lease(container, &endpoint.network, address)?;
        }
        Ok(())
    }

    /// Reserves the static addresses of a new container, as far as they are free.
    pub fn reserve_addresses(&self, spec: &ContainerSpec) -> anyhow::Result<()> {
        for (network, address) in static_addresses(spec) {
            let leases = self.network_dir(network).join("leases");
            match std::os::unix::fs::symlink(&spec.id, leases.join(address.to_string())) {
                // Whether the address is taken or the network gone is reported when the container starts.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists || is_missing(&error) => {}
                other => other.with_context(|| format!("cannot reserve the address {address}"))?,
            }
        }
        Ok(())
    }

    /// Releases all addresses of a container that is being removed; `endpoints` are those of its last run.
    pub fn release_addresses(
        &self,
        spec: &ContainerSpec,
        endpoints: &[NetworkEndpoint],
    ) -> anyhow::Result<()> {
        for (network, address) in static_addresses(spec) {
            self.release_lease(&spec.id, network, address)?;
        }
        endpoints.iter().try_for_each(|endpoint| self.leave_network(&spec.id, endpoint))
    }

    fn release_lease(&self, container: &str, network: &str, address: IpAddr) -> anyhow::Result<()> {
        if check_id(network).is_err() {
            return Ok(());
        }
        let link = self.network_dir(network).join("leases").join(address.to_string());
        // Only our own link: the address may have been reclaimed and given to another container.
        if std::fs::read_link(&link).is_ok_and(|holder| holder.as_os_str() == container) {
            ignore_missing(std::fs::remove_file(&link))
                .with_context(|| format!("cannot give the address {address} back"))?;
        }
        Ok(())
    }

    /// IDs of containers on the network that are running or about to. The caller holds the network's lock
    /// exclusively.
    pub(super) fn active_members(&self, network: &str) -> anyhow::Result<BTreeSet<String>> {
        let mut members = BTreeSet::new();
        let dir = self.network_dir(network).join("leases");
        for address in list_dir(&dir).context("cannot list the addresses of a network")? {
            let Ok(holder) = std::fs::read_link(dir.join(address)) else { continue };
            let Some(holder) = holder.to_str().filter(|holder| check_id(holder).is_ok()) else { continue };
            if !members.contains(holder)
                && FileLock::is_held(&self.containers_dir().join(holder).join("lock"))?
            {
                members.insert(holder.to_owned());
            }
        }
        Ok(members)
    }
}

/// The addresses requested by `--ip` and `--ip6`, with their networks.
fn static_addresses(spec: &ContainerSpec) -> impl Iterator<Item = (&str, IpAddr)> {
    spec.networks.iter().filter(|attachment| check_id(&attachment.network).is_ok()).flat_map(|attachment| {
        let v4 = attachment.ip.map(IpAddr::V4);
        let v6 = attachment.ip6.map(IpAddr::V6);
        v4.into_iter().chain(v6).map(|address| (attachment.network.as_str(), address))
    })
}

fn is_static(spec: &ContainerSpec, network: &str, address: IpAddr) -> bool {
    static_addresses(spec).any(|one| one == (network, address))
}

/// Chooses the endpoint with the default route: the highest gateway priority, then, as in docker, the first
/// network name. Internal networks are skipped.
pub fn elect_default_route(spec: &ContainerSpec, joined: &mut [(NetworkSpec, NetworkEndpoint)]) {
    for (_, endpoint) in joined.iter_mut() {
        endpoint.default_route = false;
    }
    let priority = |network: &NetworkSpec| {
        let attachment = spec.networks.iter().find(|attachment| attachment.network == network.id);
        attachment.map_or(0, |attachment| attachment.gateway_priority)
    };
    let best = joined
        .iter_mut()
        .filter(|(network, _)| !network.internal)
        .min_by(|(a, _), (b, _)| priority(b).cmp(&priority(a)).then_with(|| a.name.cmp(&b.name)));
    if let Some((_, endpoint)) = best {
        endpoint.default_route = true;
    }
}

/// The requested interface name, else the first unused `<prefix>N`.
fn choose_interface_name(
    network: &NetworkSpec,
    attachment: &NetworkAttachment,
    present: &[&NetworkEndpoint],
) -> Result<String, Failure> {
    let is_taken = |name: &str| present.iter().any(|other| other.interface == name);
    match attachment.driver_options.get(INTERFACE_NAME) {
        Some(name) if is_taken(name) => {
            let message = format!("the container has an interface {} already", name.escape_debug());
            return Err(Failure::new(FailureKind::Conflict, message));
        }
        Some(name) => return Ok(name.clone()),
        None => {}
    }
    let prefix = network.options.get(PREFIX).map_or(DEFAULT_INTERFACE_PREFIX, String::as_str);
    let mut number = 0_u32;
    loop {
        let name = format!("{prefix}{number}");
        if !is_taken(&name) {
            return Ok(name);
        }
        number += 1;
    }
}

/// docker's rule: 02:42 followed by the IPv4 address, so that neighbour tables stay correct when an address
/// moves to another container; without IPv4 a random, locally administered address.
fn choose_mac(v4: Option<Ipv4Addr>) -> anyhow::Result<MacAddress> {
    let [a, b, c, d] = match v4 {
        Some(address) => address.octets(),
        None => random::random_bytes().context("cannot get random numbers for a hardware address")?,
    };
    Ok(MacAddress([0x02, 0x42, a, b, c, d]))
}

/// The leases of one network, on behalf of one container.
struct AddressLeases<'a> {
    store: &'a Store,
    network: &'a NetworkSpec,
    container: &'a str,
    dir: OwnedFd,
}

impl<'a> AddressLeases<'a> {
    fn open(store: &'a Store, network: &'a NetworkSpec, container: &'a str) -> anyhow::Result<Self> {
        let path = store.network_dir(&network.id).join("leases");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = with_dir(&path, || Ok(rustix::fs::open(&path, flags, FileMode::empty())?))
            .with_context(|| format!("cannot open the addresses of network {}", network.name))?;
        Ok(Self { store, network, container, dir })
    }

    fn allocate_v4(
        &self,
        fixed: Option<Ipv4Addr>,
        previous: Option<Ipv4Net>,
    ) -> anyhow::Result<Option<Ipv4Net>> {
        let Some(subnet) = &self.network.v4 else { return self.no_address(fixed.map(IpAddr::V4)) };
        let is_possible = |address: &Ipv4Addr| {
            subnet.net.contains(address)
                && ![subnet.gateway, subnet.net.network(), subnet.net.broadcast()].contains(address)
        };
        let to_ip = |bits: u128| IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(bits).unwrap_or_default()));
        let bits = |address: Ipv4Addr| u128::from(address.to_bits());
        let address = match fixed {
            Some(address) if !is_possible(&address) => return Err(self.no_subnet(address.into())),
            Some(address) => self.allocate_static(address.into())?,
            None => self.allocate(&subnet.pool(), previous.map(|net| bits(net.addr())), &to_ip)?,
        };
        match address {
            IpAddr::V4(address) => Ok(Some(Ipv4Net::new(address, subnet.net.prefix_len())?)),
            IpAddr::V6(_) => Ok(None),
        }
    }

    fn allocate_v6(
        &self,
        fixed: Option<Ipv6Addr>,
        previous: Option<Ipv6Net>,
    ) -> anyhow::Result<Option<Ipv6Net>> {
        let Some(subnet) = &self.network.v6 else { return self.no_address(fixed.map(IpAddr::V6)) };
        let is_possible = |address: &Ipv6Addr| {
            subnet.net.contains(address) && ![subnet.gateway, subnet.net.network()].contains(address)
        };
        let to_ip = |bits: u128| IpAddr::V6(Ipv6Addr::from_bits(bits));
        let address = match fixed {
            Some(address) if !is_possible(&address) => return Err(self.no_subnet(address.into())),
            Some(address) => self.allocate_static(address.into())?,
            None => self.allocate(&subnet.pool(), previous.map(|net| net.addr().to_bits()), &to_ip)?,
        };
        match address {
            IpAddr::V6(address) => Ok(Some(Ipv6Net::new(address, subnet.net.prefix_len())?)),
            IpAddr::V4(_) => Ok(None),
        }
    }

    /// There is no subnet of this family: an error only if an address of it was requested.
    fn no_address<N>(&self, fixed: Option<IpAddr>) -> anyhow::Result<Option<N>> {
        match fixed {
            Some(address) => Err(self.no_subnet(address)),
            None => Ok(None),
        }
    }

    fn no_subnet(&self, address: IpAddr) -> anyhow::Error {
        let message = format!(
            "invalid endpoint settings: no configured subnet or ip-range of network {} contains the IP address {address}",
            self.network.name
        );
        invalid(message).into()
    }

    /// Claims the requested address; an error of kind conflict if a running container has it.
    fn allocate_static(&self, address: IpAddr) -> anyhow::Result<IpAddr> {
        let in_use = || {
            let message = format!("Address already in use: {address} on network {}", self.network.name);
            Failure::new(FailureKind::Conflict, message)
        };
        if self.try_claim(address)? {
            return Ok(address);
        }
        let _lock = self.lock()?;
        self.reclaim(&address.to_string(), true)?;
        if self.try_claim(address)? { Ok(address) } else { Err(in_use().into()) }
    }

    /// Claims the previous address if possible, else the first free one.
    fn allocate(
        &self,
        pool: &AddressPool,
        previous: Option<u128>,
        to_ip: &dyn Fn(u128) -> IpAddr,
    ) -> anyhow::Result<IpAddr> {
        if let Some(address) = previous.filter(|address| pool.contains(*address)).map(to_ip)
            && self.try_claim(address)?
        {
            return Ok(address);
        }
        if let Some(address) = self.allocate_free(pool, to_ip)? {
            return Ok(address);
        }
        // The pool is exhausted: reclaim addresses of dead containers and try again.
        let _lock = self.lock()?;
        for name in self.names()? {
            self.reclaim(&name, false)?;
        }
        self.allocate_free(pool, to_ip)?.ok_or_else(|| {
            let family = if to_ip(0).is_ipv4() { "IPv4" } else { "IPv6" };
            let message = format!(
                "no available {family} addresses on this network's address pools: {} ({})",
                self.network.name, self.network.id
            );
            Failure::new(FailureKind::Full, message).into()
        })
    }

    fn allocate_free(
        &self,
        pool: &AddressPool,
        to_ip: &dyn Fn(u128) -> IpAddr,
    ) -> anyhow::Result<Option<IpAddr>> {
        let taken: BTreeSet<u128> = self.names()?.iter().filter_map(|name| bits_of(name)).collect();
        for address in pool.free(&taken).map(to_ip) {
            if self.try_claim(address)? {
                return Ok(Some(address));
            }
        }
        Ok(None)
    }

    /// Claims the address; also `true` if this container already has it.
    fn try_claim(&self, address: IpAddr) -> anyhow::Result<bool> {
        let name = address.to_string();
        match rustix::fs::symlinkat(self.container, &self.dir, &name) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(self.holder(&name).as_deref() == Some(self.container)),
            Err(error) => Err(error).with_context(|| format!("cannot take the address {address}")),
        }
    }

    fn holder(&self, name: &str) -> Option<String> {
        rustix::fs::readlinkat(&self.dir, name, Vec::new()).ok()?.into_string().ok()
    }

    fn names(&self) -> anyhow::Result<Vec<String>> {
        // A descriptor of its own: the read position belongs to the open file description.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(&self.dir, ".", flags, FileMode::empty())?;
        let mut names = Vec::new();
        for entry in Dir::new(dir).context("cannot list the addresses of a network")? {
            if let Ok(name) = entry?.file_name().to_str()
                && !name.starts_with('.')
            {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    fn lock(&self) -> anyhow::Result<FileLock> {
        FileLock::acquire(&self.store.lock_path("leases", &self.network.id), LockMode::Exclusive)
            .with_context(|| format!("cannot lock the addresses of network {}", self.network.name))
    }

    /// Removes a lease whose holder is not running. A static reservation of a stopped container is kept
    /// unless this very address was requested (`by_name`). The caller holds the lease lock.
    fn reclaim(&self, name: &str, by_name: bool) -> anyhow::Result<()> {
        let Some(holder) = self.holder(name) else { return Ok(()) };
        let mut holder_lock = None;
        if check_id(&holder).is_ok() {
            let path = self.store.containers_dir().join(&holder);
            match FileLock::try_existing(&path.join("lock"), LockMode::Exclusive) {
                // Locked: the holder is running.
                Ok(None) => return Ok(()),
                Ok(lock) => holder_lock = lock,
                // The holder was removed without its lease.
                Err(error) if is_missing(&error) => {}
                Err(error) => return Err(error.into()),
            }
            let is_reserved = || -> anyhow::Result<bool> {
                let spec = self.store.container(&holder)?;
                let address = name.parse::<IpAddr>().ok();
                Ok(spec
                    .zip(address)
                    .is_some_and(|(dir, address)| is_static(dir.spec(), &self.network.id, address)))
            };
            if !by_name && holder_lock.is_some() && is_reserved()? {
                return Ok(());
            }
        }
        match rustix::fs::unlinkat(&self.dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error).context("cannot take an address back"),
        }
        // The holder stays locked until its link is gone, so that it cannot start with this address.
        drop(holder_lock);
        Ok(())
    }
}

fn bits_of(name: &str) -> Option<u128> {
    match name.parse().ok()? {
        IpAddr::V4(address) => Some(address.to_bits().into()),
        IpAddr::V6(address) => Some(address.to_bits()),
    }
}

#[cfg(test)]
mod tests;
