//! One network at work: its gateway with everything that serves it, made when the first container comes and gone with
//! the last.

use std::collections::HashSet;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result};

use crate::error::{Failure, Kind};
use crate::model::network::{Endpoint, Mac, NetworkSpec};
use crate::network::egress::{self, Egress};
use crate::network::gateway::Gateway;
use crate::network::relay::Relay;
use crate::network::rung::{Ladder, Rung};
use crate::network::way::{self, For, Held, Way};

/// A network. Making it begins at once, in a thread of its own; who needs it waits for that.
pub(super) struct Bridge {
    pub(super) spec: Arc<NetworkSpec>,
    making: Mutex<Option<JoinHandle<Result<Works>>>>,
    works: OnceLock<Result<Works, Failure>>,
    /// The hardware addresses on it: the gateway knows containers by them.
    taken: Mutex<HashSet<Mac>>,
}

/// What serves a network. Dropped in this order.
pub(super) struct Works {
    pub(super) egress: Arc<Egress>,
    /// The way out, which an internal network does not have.
    pub(super) way: Option<Box<dyn Way>>,
    gateway: Gateway,
}

impl Bridge {
    /// Begins to make it.
    pub(super) fn begin(spec: NetworkSpec, ladder: &Arc<Ladder>, relay: &Arc<Relay>) -> Result<Self> {
        let spec = Arc::new(spec);
        let (network, ladder, relay) = (spec.clone(), ladder.clone(), relay.clone());
        let making = std::thread::Builder::new()
            .name("network".into())
            .stack_size(STACK)
            .spawn(move || Ok(ladder.climb(|rung| Works::make(&network, rung, &relay))?.1))
            .context("starting a thread")?;
        Ok(Self { spec, making: Mutex::new(Some(making)), works: OnceLock::new(), taken: Mutex::default() })
    }

    fn taken(&self) -> MutexGuard<'_, HashSet<Mac>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What serves it, once it is made.
    pub(super) fn works(&self) -> Result<&Works, Failure> {
        let works = self.works.get_or_init(|| {
            let making = self.making.lock().ok().and_then(|mut making| making.take());
            let made = making.map(JoinHandle::join);
            match made {
                Some(Ok(made)) => made
                    .with_context(|| format!("cannot set up network {}", self.spec.name))
                    .map_err(|error| Failure::of(&error)),
                _ => Err(Failure::new(Kind::Other, format!("setting up network {} failed", self.spec.name))),
            }
        });
        works.as_ref().map_err(Clone::clone)
    }
}

/// Bytes of stack for making a network.
const STACK: usize = 256 << 10;

impl Works {
    fn make(spec: &NetworkSpec, rung: Rung, relay: &Arc<Relay>) -> Result<Self> {
        let mut gateway = Gateway::open(spec, rung)?;
        let egress = Egress::new(spec);
        let what = For { spec, egress: &egress, relay };
        let way = if spec.internal { None } else { Some(way::open(rung, &mut gateway, what)?) };
        Ok(Self { egress, way, gateway })
    }
}

/// A container's place on a network; dropped when it leaves.
pub(super) struct Seat {
    /// Before the bridge, which may be gone with it.
    _joined: Option<Held>,
    bridge: Arc<Bridge>,
    pub(super) endpoint: Endpoint,
    stay: egress::Stay,
}

impl Seat {
    /// Connects the network namespace `container` as `endpoint` says; `member` is who it is to the network's policy.
    pub(super) fn take(
        bridge: Arc<Bridge>,
        endpoint: Endpoint,
        member: egress::Member,
        container: BorrowedFd<'_>,
    ) -> Result<Self> {
        let doing = || format!("cannot connect to network {}", bridge.spec.name);
        let works = bridge.works()?;
        if !bridge.taken().insert(endpoint.mac) {
            let message = format!("a container on it has the hardware address {} already", endpoint.mac);
            return Err(Failure::new(Kind::Conflict, message)).with_context(doing);
        }
        let joined = works.gateway.plug(container.as_fd(), &endpoint).and_then(|()| {
            let joined = works.way.as_ref().map(|way| way.join(&endpoint, &member)).transpose();
            // The first error is the one to tell.
            joined.inspect_err(|_| drop(works.gateway.unplug(&endpoint)))
        });
        match joined {
            Ok(joined) => Ok(Self { _joined: joined, stay: works.egress.join(member), bridge, endpoint }),
            Err(error) => {
                bridge.taken().remove(&endpoint.mac);
                Err(error).with_context(doing)
            }
        }
    }

    /// The container's default route goes through this network from now on, or no longer.
    pub(super) fn lead(&mut self, leads: bool, container: BorrowedFd<'_>) -> Result<()> {
        if leads && !self.endpoint.default_route {
            self.bridge.works()?.gateway.lead(container, &self.endpoint)?;
        }
        // The route that it was has been replaced, or will be.
        self.endpoint.default_route = leads;
        Ok(())
    }

    /// The container has another name from now on.
    pub(super) fn rename(&mut self, name: &str) {
        self.stay.rename(name);
    }

    /// Disconnects a container that goes on.
    pub(super) fn leave(&self) -> Result<()> {
        self.bridge.works()?.gateway.unplug(&self.endpoint)
    }

    /// The network.
    pub(super) fn bridge(&self) -> &Arc<Bridge> {
        &self.bridge
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Ok(works) = self.bridge.works() else { return };
        let addresses = addresses(&self.endpoint);
        works.gateway.abandon(&self.endpoint);
        self.bridge.taken().remove(&self.endpoint.mac);
        if let Some(way) = &works.way {
            addresses.into_iter().for_each(|address| way.forget(address));
        }
    }
}

/// A container's own addresses on a network.
pub(super) fn addresses(endpoint: &Endpoint) -> Vec<std::net::IpAddr> {
    let v4 = endpoint.v4.iter().map(|net| net.addr().into());
    v4.chain(endpoint.v6.iter().map(|net| net.addr().into())).collect()
}
