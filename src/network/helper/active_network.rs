//! A network in use: its gateway and everything that serves it, created for the first container and dropped
//! with the last.

use std::collections::HashSet;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result};

use crate::backend::{BackendSelector, NetworkBackend};
use crate::datapath::{self, Datapath, DatapathContext, DropGuard};
use crate::egress::{self, EgressPolicy};
use crate::gateway::Gateway;
use crate::relay::TcpRelay;
use crate::sync::lock;
use dhow_error::{Failure, FailureKind};
use dhow_model::network::{MacAddress, NetworkEndpoint, NetworkSpec};

/// A network in use. A thread starts to set it up at once; whoever needs it waits for that.
pub(crate) struct ActiveNetwork {
    pub spec: Arc<NetworkSpec>,
    setup_thread: Mutex<Option<JoinHandle<Result<NetworkServices>>>>,
    services: OnceLock<Result<NetworkServices, Failure>>,
    /// The hardware addresses in use: the gateway tells containers apart by them.
    macs_in_use: Mutex<HashSet<MacAddress>>,
}

/// What serves a network. Fields are dropped in this order.
pub(crate) struct NetworkServices {
    pub egress: Arc<EgressPolicy>,
    /// `None` for an internal network.
    pub datapath: Option<Box<dyn Datapath>>,
    gateway: Gateway,
}

impl ActiveNetwork {
    /// Starts to set the network up.
    pub(super) fn start(
        spec: NetworkSpec,
        selector: &Arc<BackendSelector>,
        relay: &Arc<TcpRelay>,
    ) -> Result<Self> {
        let spec = Arc::new(spec);
        let (network, selector, relay) = (spec.clone(), selector.clone(), relay.clone());
        let thread = std::thread::Builder::new()
            .name("network".into())
            .stack_size(STACK)
            .spawn(move || {
                Ok(selector.select(|backend| NetworkServices::start(&network, backend, &relay))?.1)
            })
            .context("starting a thread")?;
        Ok(Self {
            spec,
            setup_thread: Mutex::new(Some(thread)),
            services: OnceLock::new(),
            macs_in_use: Mutex::default(),
        })
    }

    fn lock_macs(&self) -> MutexGuard<'_, HashSet<MacAddress>> {
        lock(&self.macs_in_use)
    }

    /// What serves the network, once it is set up.
    pub(super) fn services(&self) -> Result<&NetworkServices, Failure> {
        let services = self.services.get_or_init(|| {
            let thread = self.setup_thread.lock().ok().and_then(|mut thread| thread.take());
            let result = thread.map(JoinHandle::join);
            match result {
                Some(Ok(result)) => result
                    .with_context(|| format!("cannot set up network {}", self.spec.name))
                    .map_err(|error| Failure::from_chain(&error)),
                // The thread has panicked.
                _ => Err(Failure::new(
                    FailureKind::Other,
                    format!("setting up network {} failed", self.spec.name),
                )),
            }
        });
        services.as_ref().map_err(Clone::clone)
    }
}

/// Stack size of the thread that sets a network up, in bytes.
const STACK: usize = 256 << 10;

impl NetworkServices {
    fn start(spec: &NetworkSpec, backend: NetworkBackend, relay: &Arc<TcpRelay>) -> Result<Self> {
        let mut gateway = Gateway::open(spec, backend)?;
        let egress = EgressPolicy::new(spec);
        let context = DatapathContext { spec, egress: &egress, relay };
        let datapath =
            if spec.internal { None } else { Some(datapath::open_datapath(backend, &mut gateway, context)?) };
        Ok(Self { egress, datapath, gateway })
    }
}

/// A container attached to a network; dropping it detaches the container.
pub(crate) struct AttachedEndpoint {
    /// Declared before `network`, which may be dropped with it.
    _datapath_guard: Option<DropGuard>,
    network: Arc<ActiveNetwork>,
    pub endpoint: NetworkEndpoint,
    membership: egress::EgressMembership,
}

impl AttachedEndpoint {
    /// Attaches the network namespace `container` as `endpoint`; `member` describes it to the egress policy.
    pub(super) fn attach(
        network: Arc<ActiveNetwork>,
        endpoint: NetworkEndpoint,
        member: egress::EgressMember,
        container: BorrowedFd<'_>,
    ) -> Result<Self> {
        let doing = || format!("cannot connect to network {}", network.spec.name);
        let services = network.services()?;
        if !network.lock_macs().insert(endpoint.mac) {
            let message = format!("a container on it has the hardware address {} already", endpoint.mac);
            return Err(Failure::new(FailureKind::Conflict, message)).with_context(doing);
        }
        let guard = services.gateway.attach(container.as_fd(), &endpoint).and_then(|()| {
            let guard =
                services.datapath.as_ref().map(|datapath| datapath.join(&endpoint, &member)).transpose();
            // Report the first error.
            guard.inspect_err(|_| drop(services.gateway.detach(&endpoint)))
        });
        match guard {
            Ok(guard) => Ok(Self {
                _datapath_guard: guard,
                membership: services.egress.join(member),
                network,
                endpoint,
            }),
            Err(error) => {
                network.lock_macs().remove(&endpoint.mac);
                Err(error).with_context(doing)
            }
        }
    }

    /// Makes this network the container's default route, or notes that it no longer is.
    pub(crate) fn set_default_route(&mut self, is_default: bool, container: BorrowedFd<'_>) -> Result<()> {
        if is_default && !self.endpoint.default_route {
            self.network.services()?.gateway.set_default_route(container, &self.endpoint)?;
        }
        // The kernel replaces the old route when another network becomes the default.
        self.endpoint.default_route = is_default;
        Ok(())
    }

    pub(super) fn rename(&mut self, name: &str) {
        self.membership.rename(name);
    }

    /// Detaches a container that goes on running.
    pub(super) fn detach(&self) -> Result<()> {
        self.network.services()?.gateway.detach(&self.endpoint)
    }

    pub(super) fn network(&self) -> &Arc<ActiveNetwork> {
        &self.network
    }
}

impl Drop for AttachedEndpoint {
    fn drop(&mut self) {
        let Ok(services) = self.network.services() else { return };
        services.gateway.detach_later(&self.endpoint);
        self.network.lock_macs().remove(&self.endpoint.mac);
        if let Some(datapath) = &services.datapath {
            self.endpoint.addresses().for_each(|address| datapath.forget(address));
        }
    }
}
