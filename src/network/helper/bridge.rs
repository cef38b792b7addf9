//! A network in use: its gateway and everything that serves it, created for the first container and dropped
//! with the last.

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

/// A network in use. A thread starts to set it up at once; whoever needs it waits for that.
pub(super) struct Bridge {
    pub(super) spec: Arc<NetworkSpec>,
    making: Mutex<Option<JoinHandle<Result<Works>>>>,
    works: OnceLock<Result<Works, Failure>>,
    /// The hardware addresses in use: the gateway tells containers apart by them.
    taken: Mutex<HashSet<Mac>>,
}

/// What serves a network. Fields are dropped in this order.
pub(super) struct Works {
    pub(super) egress: Arc<Egress>,
    /// `None` for an internal network.
    pub(super) way: Option<Box<dyn Way>>,
    gateway: Gateway,
}

impl Bridge {
    /// Starts to set the network up.
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

    /// What serves the network, once it is set up.
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

/// Stack size of the thread that sets a network up, in bytes.
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

/// A container attached to a network; dropping it detaches the container.
pub(super) struct Seat {
    /// Declared before `bridge`, which may be dropped with it.
    _joined: Option<Held>,
    bridge: Arc<Bridge>,
    pub(super) endpoint: Endpoint,
    stay: egress::Stay,
}

impl Seat {
    /// Attaches the network namespace `container` as `endpoint`; `member` describes it to the egress policy.
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
            // Report the first error.
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

    /// Makes this network the container's default route, or notes that it no longer is.
    pub(super) fn lead(&mut self, leads: bool, container: BorrowedFd<'_>) -> Result<()> {
        if leads && !self.endpoint.default_route {
            self.bridge.works()?.gateway.lead(container, &self.endpoint)?;
        }
        // The kernel replaces the old route when another network becomes the default.
        self.endpoint.default_route = leads;
        Ok(())
    }

    pub(super) fn rename(&mut self, name: &str) {
        self.stay.rename(name);
    }

    /// Detaches a container that goes on running.
    pub(super) fn leave(&self) -> Result<()> {
        self.bridge.works()?.gateway.unplug(&self.endpoint)
    }

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
